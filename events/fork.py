"""Where a run can be forked, and what a fork takes over of it.

A fork shares the records of a run up to a version and goes on from there by itself. The version lies between two steps:
every step that was begun by then has come to its end by then, so nothing that is going on is cut in two. Parallel tool
calls are one step, approvals and attempts belong to the step that they are for.
"""

from collections.abc import Sequence

from msgspec import Raw, Struct, structs

from .child_step import ChildEnded, ChildRequested
from .envelope import Recorded, encode_event
from .errors import NotFound, Refused
from .event import Event, UnknownEvent
from .model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelFellBack, ModelRequested
from .run import CLOSING_TAGS, MemoryRecalled, MemoryUnreadable, RecordCopied, RunStarted, ValueRecorded
from .tool_step import ApprovalDecided, ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested

_NOT_COPIED = frozenset({"run.started", "run.taken_over", "run.suspended"}) | CLOSING_TAGS
"""Who worked on the run and how it ended is the other run's own."""


class NotAForkPoint(Refused):
    """A step is going on at this version; the message names it, and where it is possible.

    Attributes:
        before, after: The nearest versions where the run can be forked; `after` is None when there is none.
    """

    def __init__(self, run_id: str, at: int, step: "Step", before: int, after: int | None) -> None:
        ends = f"until version {step.last}" if step.ended else "and has no end"
        near = f"version {before}" if after is None else f"version {before} or {after}"
        super().__init__(
            f"run {run_id!r} cannot be forked at version {at}: step {step.name!r} ({step.what}) goes on there, from "
            f"version {step.first} {ends}; fork it at {near}"
        )
        self.run_id = run_id
        self.at = at
        self.before = before
        self.after = after


class Step(Struct):
    """A step of a run as its history shows it: from its first version to its last."""

    name: str
    what: str
    first: int
    last: int
    open_calls: set[str]

    @property
    def ended(self) -> bool:
        return not self.open_calls


def steps_of(history: Sequence[Recorded]) -> list[Step]:
    """The steps of a run, in the order in which they were begun."""
    steps: dict[str, Step] = {}
    step_of: dict[str, str] = {}
    child_step: dict[str, str] = {}
    wanted = 0
    for recorded in history:
        event = recorded.event
        record = event.record if isinstance(event, RecordCopied) else event
        match record:
            case ValueRecorded() | MemoryRecalled() | MemoryUnreadable():
                name, what, opens, closes = record.step, "a recorded value", "", ""
            case ModelRequested():
                name, what, opens, closes = record.step, "a model call", record.call_id, ""
            case ModelCompleted() | ModelFailed():
                name, what, opens, closes = record.step, "", "", record.call_id
                wanted = len(record.reply.tool_calls) if isinstance(record, ModelCompleted) else 0
            case ModelAttemptFailed() | ModelFellBack():
                name, what, opens, closes = record.step, "", "", ""
            case ToolRequested() | ApprovalRequested():
                step_of[record.call_id] = record.step
                name, what, opens, closes = record.step, f"a call of {record.tool}", record.call_id, ""
            case ToolCompleted() | ToolFailed() | ToolOutcomeUnknown():
                name, what, opens, closes = step_of[record.call_id], "", "", record.call_id
            case ApprovalDecided():
                name, what, opens, closes = step_of[record.call_id], "", "", ""
            case ChildRequested():
                child_step[record.call_id] = record.step
                name, what, opens, closes = record.step, f"a question to {record.agent}", record.call_id, ""
            case ChildEnded():
                name, what, opens, closes = child_step[record.call_id], "", "", record.call_id
            case _:
                continue
        step = steps.setdefault(name, Step(name, what, recorded.version, 0, set()))
        step.last = recorded.version
        if opens:
            step.open_calls.add(opens)
        step.open_calls.discard(closes)
    going = history[-1].type not in CLOSING_TAGS
    if going and step_of and (last := list(steps.values())[-1]).name in step_of.values():
        # Of its parallel calls the last ones may not have begun: a destructive one waits for the others.
        missing = wanted - sum(name == last.name for name in step_of.values())
        last.open_calls.update(f"call {number} to come" for number in range(1, missing + 1))
    return list(steps.values())


def fork_points(history: Sequence[Recorded]) -> list[int]:
    """The versions at which the run can be forked."""
    steps = steps_of(history)
    return [version for version in range(1, len(history) + 1) if _going_at(version, steps) is None]


def fork_point(run_id: str, at: int | str, history: Sequence[Recorded]) -> int:
    """The version that `at` means: a version, or the end of the step of this name.

    Raises:
        NotFound: The run has no such version, or no such step.
        NotAForkPoint: A step is going on there.
    """
    steps = steps_of(history)
    if isinstance(at, str):
        named = [step for step in steps if step.name == at]
        if not named:
            known = ", ".join(step.name for step in steps) or "none"
            raise NotFound("step", at, f"run {run_id!r} has the steps: {known}")
        at = named[0].last
    if not 1 <= at <= len(history):
        raise NotFound("version", str(at), f"run {run_id!r} has {len(history)} events")
    going = _going_at(at, steps)
    if going is not None:
        points = fork_points(history)
        before = max(version for version in points if version < at)
        raise NotAForkPoint(run_id, at, going, before, next((version for version in points if version > at), None))
    return at


def copied(run_id: str, fork_id: str, model: str, history: Sequence[Recorded]) -> list[RecordCopied]:
    """The records of `history`, the beginning of run `run_id`, as they stand in its fork.

    Args:
        model: The fork's own. What another one answered names that one.
    """
    started = history[0].event
    own = started.model if isinstance(started, RunStarted) else ""
    copies: list[RecordCopied] = []
    for recorded in history:
        source = recorded.event if isinstance(recorded.event, RecordCopied) else recorded
        event = source.record if isinstance(source, RecordCopied) else source.event
        if source.type in _NOT_COPIED:
            continue
        # It is written as today's Treadle writes it, whatever it was lifted from.
        schema = source.schema if isinstance(event, UnknownEvent) else event.event_schema
        data = Raw(encode_event(_renamed(event, run_id, fork_id, own if own != model else "")))
        copies.append(RecordCopied(type=source.type, schema=schema, at=source.at, data=data))
    return copies


def _renamed(event: Event, run_id: str, fork_id: str, model: str) -> Event:
    """The event with the fork's id in its call ids, and the name of the model that it leaves out."""
    changes: dict[str, str] = {}
    for name in ("call_id", "step"):  # what a tool asks has the tool's call for its step
        made: str = getattr(event, name, "")
        if made.startswith(f"{run_id}_"):
            changes[name] = fork_id + made.removeprefix(run_id)
    if isinstance(event, ModelRequested | ModelAttemptFailed | ModelCompleted | ModelFailed) and not event.model:
        changes["model"] = model
    return structs.replace(event, **changes) if changes else event


def _going_at(version: int, steps: Sequence[Step]) -> Step | None:
    """The step that is cut in two at this version."""
    return next((step for step in steps if step.first <= version and (version < step.last or not step.ended)), None)
