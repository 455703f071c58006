"""Where a run can be forked, and what a fork takes over of it.

A fork shares the records of a run up to a version and goes on from there by itself. The version lies between two steps:
every step that was begun by then has come to its end by then, so nothing that is going on is cut in two. Parallel tool
calls are one step, approvals and attempts belong to the step that they are for. A step that waits for agents which it
has asked is not cut in two: they are forked with the run (`cut.py`, `fork_copy.py`).
"""

from collections.abc import Sequence

from msgspec import Struct

from .child_step import ChildEnded, ChildRequested
from .cut import Cut, begun_calls, cut
from .envelope import Recorded
from .errors import NotFound, Refused
from .model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelFellBack, ModelRequested
from .run import CLOSING_TAGS, MemoryRecalled, MemoryUnreadable, ValueRecorded
from .run_tree import RunTree, record_of, records_of
from .tool_step import ApprovalDecided, ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested


class NotAForkPoint(Refused):
    """The run cannot be cut at this version, since a step goes on there, say; the message says why, and where it can.

    Attributes:
        before, after: The nearest versions where the run can be forked; `after` is None when there is none.
    """

    def __init__(self, run_id: str, at: int, why: str, before: int, after: int | None) -> None:
        near = f"version {before}" if after is None else f"version {before} or {after}"
        super().__init__(f"run {run_id!r} cannot be forked at version {at}: {why}; fork it at {near}")
        self.run_id = run_id
        self.at = at
        self.before = before
        self.after = after


class Step(Struct):
    """A step of a run as its history shows it: from its first version to its last.

    Attributes:
        calls: All its calls; `open_calls` are those without an end.
    """

    name: str
    what: str
    first: int
    last: int
    open_calls: set[str]
    calls: set[str]

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
        record = record_of(recorded)
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
        step = steps.setdefault(name, Step(name, what, recorded.version, 0, set(), set()))
        step.last = recorded.version
        if opens:
            step.open_calls.add(opens)
            step.calls.add(opens)
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
    return [version for version in range(1, len(history) + 1) if _going_at(version, steps, history) is None]


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
    going = _going_at(at, steps, history)
    if going is not None:
        points = fork_points(history)
        before = max(version for version in points if version < at)
        after = next((version for version in points if version > at), None)
        ends = f"until version {going.last}" if going.ended else "and has no end"
        why = f"step {going.name!r} ({going.what}) goes on there, from version {going.first} {ends}"
        raise NotAForkPoint(run_id, at, why, before, after)
    return at


def cut_at(tree: RunTree, run_id: str, at: int | str) -> Cut:
    """The tree as it was when run `run_id` of it was at `at`, as `fork_point` takes it.

    Raises:
        NotFound, NotAForkPoint: As `fork_point`; or the run knows by then what nobody in the fork would have said, and
            the cut would be an earlier one.
    """
    branch = tree.branches[run_id]
    version = fork_point(run_id, at, branch.history)

    def holds(version: int) -> Cut | None:
        found = cut(tree, branch.moments[version - 1])
        return found if found.lines[run_id] >= version else None

    if (found := holds(version)) is not None:
        return found
    points = fork_points(branch.history)
    before = next(point for point in reversed(points) if point < version and (point == 1 or holds(point)))
    after = next((point for point in points if point > version and holds(point)), None)
    why = "by then it knows what a call had sent that goes on there, and that begins anew in a fork"
    raise NotAForkPoint(run_id, version, why, before, after)


def _going_at(version: int, steps: Sequence[Step], history: Sequence[Recorded]) -> Step | None:
    """The step that is cut in two at this version."""
    cut = [step for step in steps if step.first <= version and (version < step.last or not step.ended)]
    return next((step for step in cut if not _waits(step, history[:version])), None)


def _waits(step: Step, history: Sequence[Recorded]) -> bool:
    """Whether all that goes on in the step, as `history` ends, is agents that it has asked."""
    records = list(records_of(history))
    ended = {record.call_id for record in records if isinstance(record, ChildEnded)}
    asked = [record for record in records if isinstance(record, ChildRequested)]
    asking = {record.step for record in asked}
    open_calls = {call_id for call_id, done in begun_calls(records).items() if not done and call_id in step.calls}
    waits = any(record.step in (step.name, *step.calls) and record.call_id not in ended for record in asked)
    return open_calls <= asking and (waits or bool(open_calls))
