"""A run: one task of one agent, from its prompt to its end. Stream `run-<run_id>`.

Everything a run does to the world has an intent before it and an outcome after it, joined by one call id.
`step` names the place in the strategy that asked (see `actors/steps.py`): after a crash the strategy runs
again from the top, and what has an outcome under its step is answered from here.

The stream is told in six files, each with its events, their state and the decisions on them: here what a run is, how
it begins and ends, and the fold of all of it; `model_step.py` its model calls, `tool_step.py` its tool calls,
`child_step.py` the agents that it asks, `plan.py` its plan, `steering.py` what it is told meanwhile.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from msgspec import Raw, Struct, field, structs

from .budget import Scope
from .child_step import ChildEnded, ChildRequested, ChildStep, ChildWaits, WorkerSpawned
from .envelope import StreamName, decode_event
from .errors import Refused
from .event import Event
from .fork_terms import ForkTerms
from .message import Image, Message, OutputFormat, ToolSpec, Usage
from .model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelFellBack, ModelRequested, ModelStep
from .plan import PlanOpened, PlanWritten, RunPlan, evolve_plan
from .steering import RunSteered, known_steering
from .tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
    ToolStep,
)
from .workspace import Joined

CATEGORY = "run"


def run_stream(run_id: str) -> StreamName:
    return StreamName(f"run-{run_id}")


class RunState(StrEnum):
    """Where a run is. `interrupted` may be open (somebody may resume it) or closed (see `Run.closed`)."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    DEGRADED = "degraded"


# --- events ----------------------------------------------------------------------------------------------------------


class RunStarted(Event, tag="run.started"):
    """The task, and every input that a replay needs: what is not here comes from the session's own stream.

    Attributes:
        owner: The process that runs it (see `Journal.is_alive`).
        tools: The catalogue that the model is shown, fixed for this run.
        budgets: What its model calls are charged to beside its agent's own budgets: those of the runs that led to it.
        depth: 0 for a run that a person or a signal started, one more for each delegation.
        shown: What the caller gave beside the prompt for the model to see: inputs, knowledge, extensions.
        images: The pictures of the prompt.
        output: What the answer has to be; None for any text.
        tone: How it is to be phrased, in the words that the model is shown.
        forked_from, forked_at: The run whose beginning this one shares, and the version of it up to where; its records
            follow as `run.copied`.
        forked_to: The other model that goes on, by the name that `model=` takes; empty for the agent's own.
        conversation: What came before the prompt of a fork; other runs have it from their session.
        previous_run_id: The run before this one in its session.
        fork: What it knows of the forked tree that it is a part of; None outside of one.
        workspace: The workspace that its agent is in, if it is one that any node can open.
    """

    agent: str
    prompt: str
    owner: str
    model: str
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    strategy: str = "react"
    max_turns: int = 50
    timeout_s: float | None = None
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    signal_id: str = ""
    metadata: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    images: tuple[Image, ...] = ()
    output: OutputFormat | None = None
    tone: str = ""
    forked_from: str = ""
    forked_at: int = 0
    forked_to: str = ""
    conversation: tuple[Message, ...] = ()
    budgets: tuple[Scope, ...] = ()
    previous_run_id: str = ""
    fork: ForkTerms | None = None
    workspace: Joined | None = None


class RecordCopied(Event, tag="run.copied"):
    """A record of the run that this one was forked from, as if it had been made here.

    An event of its own, and not the record again: nothing was done for it in this run, and whoever counts calls, tokens
    or effects counts it where it happened.

    Attributes:
        type, schema, data: The record, with the call ids of this run.
        at: When it was made there.
        position: Where in the journal it was made, by whoever made it first; 0 in forks of before this was recorded.
    """

    type: str
    schema: int
    at: datetime
    data: Raw
    position: int = 0

    @property
    def record(self) -> Event:
        """The record."""
        return decode_event(self.type, self.schema, bytes(self.data))


class RunTakenOver(Event, tag="run.taken_over"):
    """Another activation goes on with this run; the former one can append nothing more."""

    owner: str
    reason: str = ""


class RunSuspended(Event, tag="run.suspended"):
    """Whoever waited for this run went away. It stays open: `resume` continues it, another prompt closes it."""

    reason: str


class MemoryRecalled(Event, tag="run.memory_recalled"):
    """What memory put before the model in this run."""

    step: str
    blocks: dict[str, str] = {}
    facts: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()


class MemoryUnreadable(Event, tag="run.memory_unreadable"):
    """The user's memory could not be read, and the run went on without; nothing was written to it.

    Attributes:
        step: `memory` when it was to be recalled, `remember` when the run was to be remembered.
        stream, version, position: Where the row is that is corrupt.
    """

    step: Literal["memory", "remember"]
    stream: str
    version: int
    position: int
    reason: str


class ValueRecorded(Event, tag="run.value_recorded"):
    """Something the strategy could not know again: a time, an id, a choice."""

    step: str
    name: str
    value: Any


class RunCompleted(Event, tag="run.completed"):
    """The run has its answer.

    Attributes:
        degraded: Why the answer is not what was asked for: another model gave it. Empty when nothing is missing.
    """

    output: str
    turns: int = 0
    usage: Usage = Usage()
    degraded: str = ""

    @property
    def state(self) -> RunState:
        return RunState.DEGRADED if self.degraded else RunState.COMPLETED


class RunFailed(Event, tag="run.failed"):
    """The run came to nothing.

    Attributes:
        kind: The exception's name; `model:` and the word of the taxonomy when a model call failed; `timeout`.
        details: What the error carries, for making it again: `status`, `request_id` … of a model's.
    """

    error: str
    kind: str = "error"
    turns: int = 0
    usage: Usage = Usage()
    details: dict[str, Any] = {}


class RunCancelled(Event, tag="run.cancelled"):
    reason: str
    by: str = ""
    turns: int = 0
    usage: Usage = Usage()


class RunInterrupted(Event, tag="run.interrupted"):
    """Stopped by a limit, with what there was so far."""

    reason: str
    output: str = ""
    turns: int = 0
    usage: Usage = Usage()


Closing: TypeAlias = RunCompleted | RunFailed | RunCancelled | RunInterrupted
CLOSING_TAGS = frozenset({"run.completed", "run.failed", "run.cancelled", "run.interrupted"})


# --- state -----------------------------------------------------------------------------------------------------------

Value: TypeAlias = ValueRecorded | MemoryRecalled | MemoryUnreadable


class Run(Struct):
    """The fold of a run's stream. Owned by one activation; `evolve` changes it in place.

    Attributes:
        estimated: The part of `usage` that nobody has confirmed.
        turns: Model calls of its story, those included that it shares with the run that it was forked from.
        spawned: The workers that it made up, by their roles.
        usage: What it used itself; `usage_of_children` what they did, with theirs.
        degraded: Why its answers are not those of the models that were to be asked: its own, or an asked agent's.
        plan: Its living plan, if it has one.
        steerings: What it was told, in this order.
    """

    started: RunStarted | None = None
    owner: str = ""
    suspended: str = ""
    models: dict[str, ModelStep] = field(default_factory=dict[str, ModelStep])
    tools: dict[str, ToolStep] = field(default_factory=dict[str, ToolStep])
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    children: dict[str, ChildStep] = field(default_factory=dict[str, ChildStep])
    spawned: dict[str, WorkerSpawned] = field(default_factory=dict[str, WorkerSpawned])
    steerings: list[RunSteered] = field(default_factory=list[RunSteered])
    turns: int = 0
    usage: Usage = Usage()
    usage_of_children: Usage = Usage()
    estimated: Usage = Usage()
    degraded: str = ""
    plan: RunPlan | None = None
    closed: Closing | None = None

    @property
    def state(self) -> RunState:
        match self.closed:
            case RunCompleted():
                return self.closed.state
            case RunFailed():
                return RunState.FAILED
            case RunCancelled():
                return RunState.CANCELLED
            case RunInterrupted():
                return RunState.INTERRUPTED
            case None:
                if self.started is None:
                    return RunState.QUEUED
                if self.suspended:
                    return RunState.INTERRUPTED
                return RunState.WAITING if self.waiting_for else RunState.RUNNING

    @property
    def waiting_for(self) -> list[ApprovalRequested]:
        """The approvals that nobody has decided on: the run's own, and those of the runs below it."""
        own = [step.approval for step in self.tools.values() if step.waiting and step.approval is not None]
        below = [
            ApprovalRequested(**structs.asdict(call))
            for child in self.children.values()
            if child.ended is None and child.waits is not None
            for call in child.waits.waiting
        ]
        return [*own, *below]

    @property
    def unheard(self) -> list[RunSteered]:
        """What it was told and no step of it has been shown: what is still to come, or came too late."""
        if not self.steerings:
            return []
        shown = [
            *(call.requested.steered for call in self.models.values()),
            *(child.requested.steered for child in self.children.values()),
        ]
        return self.steerings[max(shown, default=0) :]

    @property
    def told(self) -> tuple[str, ...]:
        """What it was told and took up: a part of its conversation."""
        return tuple(each.text for each in self.steerings[: len(self.steerings) - len(self.unheard)])


def evolve(state: Run, event: Event) -> Run:
    match event:
        case RunStarted():
            state.started, state.owner = event, event.owner
        case RecordCopied():
            _copy(event.record, state)
        case RunTakenOver():
            state.owner, state.suspended = event.owner, ""
        case RunSuspended():
            state.suspended = event.reason
        case MemoryRecalled() | MemoryUnreadable() | ValueRecorded():
            state.values[event.step] = event
        case ModelRequested():
            known = state.models.get(event.step)
            if known is None:
                state.turns += 1
                state.models[event.step] = ModelStep(event)
            else:
                known.requested = event
        case ModelCompleted():
            state.models[event.step].outcome = event
            _charge(event.reply.usage, event.reply.estimated, state)
        case ModelAttemptFailed():
            failed = state.models[event.step]
            failed.failed = (*failed.failed, event)
            _charge(event.usage, event.estimated, state)
        case ModelFellBack():
            call = state.models[event.step]
            call.alternative, call.failed_before = event.alternative, len(call.failed)
            state.degraded = state.degraded or event.reason
        case ModelFailed():
            state.models[event.step].outcome = event
            _charge(event.usage, event.estimated, state)
        case ToolRequested():
            tool = state.tools.setdefault(event.call_id, ToolStep())
            tool.requested, tool.used = event, True
        case ToolCompleted() | ToolFailed() | ToolOutcomeUnknown():
            state.tools[event.call_id].outcome = event
        case ApprovalRequested():
            step = state.tools.setdefault(event.call_id, ToolStep())
            step.approval, step.decision, step.used = event, None, False
        case ApprovalDecided():
            state.tools[event.call_id].decision = event
        case ChildRequested():
            state.children[event.call_id] = ChildStep(event)
        case ChildEnded():
            child = state.children[event.call_id]
            child.ended = event
            state.usage_of_children += event.usage
            if event.state == RunState.DEGRADED:
                state.degraded = state.degraded or f"{child.requested.role or child.requested.agent}: {event.error}"
        case ChildWaits():
            state.children[event.call_id].waits = event
        case WorkerSpawned():
            state.spawned[event.role] = event
        case PlanOpened() | PlanWritten():
            state.plan = evolve_plan(event, state.plan)
        case RunSteered():
            state.steerings.append(event)
        case RunCompleted() | RunFailed() | RunCancelled() | RunInterrupted():
            state.closed = event
        case _:
            pass  # an event of a newer Treadle: kept in the stream, unknown to this fold
    return state


def _copy(record: Event, state: Run) -> None:
    usage, of_children, estimated = state.usage, state.usage_of_children, state.estimated
    evolve(state, record)
    state.usage, state.usage_of_children, state.estimated = usage, of_children, estimated
    match record:
        case ModelRequested():
            state.models[record.step].copied = True
        case ChildRequested():
            state.children[record.call_id].copied = True
        case _:
            pass


def _charge(usage: Usage, estimated: bool, state: Run) -> None:
    state.usage += usage
    if estimated:
        state.estimated += usage


# --- decisions -------------------------------------------------------------------------------------------------------


class RunClosed(Refused):
    """The run has ended; nothing more happens in it."""

    def __init__(self, run_id: str, state: RunState) -> None:
        super().__init__(f"run {run_id!r} has ended ({state}); start a new run")
        self.run_id = run_id
        self.state = state


class TooLate(RunClosed):
    """The run has its answer, which is being recorded; nothing can be told to it any more, and nothing was recorded."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, RunState.COMPLETED)


class NothingToApprove(Refused):
    """No such call is waiting for an approval."""

    def __init__(self, run_id: str, call_id: str, waiting: list[str]) -> None:
        known = ", ".join(waiting) or "none"
        super().__init__(f"run {run_id!r}: call {call_id!r} is not waiting for an approval; waiting: {known}")
        self.run_id = run_id
        self.call_id = call_id


def decide_approval(run_id: str, call_id: str, allowed: bool, by: str, note: str, state: Run) -> list[ApprovalDecided]:
    """An answer to a waiting approval; nothing when the same answer was given before.

    Raises:
        RunClosed: The run has ended.
        NothingToApprove: The call does not wait, or was decided otherwise.
    """
    step = state.tools.get(call_id)
    if step is not None and step.decision is not None and step.decision.allowed == allowed:
        return []
    if state.closed is not None:
        raise RunClosed(run_id, state.state)
    if step is None or not step.waiting:
        raise NothingToApprove(run_id, call_id, [asked.call_id for asked in state.waiting_for])
    return [ApprovalDecided(call_id=call_id, allowed=allowed, by=by, note=note)]


def steer(run_id: str, steered: RunSteered, state: Run) -> list[RunSteered]:
    """Tell the run something; nothing when it was told that before.

    Raises:
        RunClosed: The run has ended.
        OtherSteering: It was told something else under this id.
    """
    if known_steering(run_id, steered, state):
        return []
    if state.closed is not None:
        raise RunClosed(run_id, state.state)
    return [steered]


def take_over(owner: str, reason: str, state: Run) -> list[RunTakenOver]:
    """A new activation goes on; nothing for a run that has ended."""
    return [] if state.closed is not None else [RunTakenOver(owner=owner, reason=reason)]


def close(closing: Closing, state: Run) -> list[ToolOutcomeUnknown | Closing]:
    """The end of a run; a run ends once, and the first end counts. Calls that were going on end as unknown."""
    if state.closed is not None:
        return []
    reason = f"the run ended ({closing.event_tag.removeprefix('run.')}) while it was going on"
    cut_off = [
        ToolOutcomeUnknown(call_id=call_id, reason=reason)
        for call_id, call in state.tools.items()
        if call.requested is not None and call.outcome is None
    ]
    return [*cut_off, closing]
