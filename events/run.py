"""A run: one task of one agent, from its prompt to its end. Stream `run-<run_id>`.

Everything a run does to the world has an intent before it and an outcome after it, joined by one call id.
`step` names the place in the strategy that asked (see `actors/steps.py`): after a crash the strategy runs
again from the top, and what has an outcome under its step is answered from here.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from msgspec import Raw, Struct, field

from .envelope import StreamName, decode_event
from .errors import Refused, ReplayDivergence
from .event import Event
from .message import Image, Message, ModelReply, OutputFormat, ToolSpec, Usage

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
        depth: 0 for a run that a person or a signal started, one more for each delegation.
        shown: What the caller gave beside the prompt for the model to see: inputs, knowledge, extensions.
        images: The pictures of the prompt.
        output: What the answer has to be; None for any text.
        tone: How it is to be phrased, in the words that the model is shown.
        forked_from, forked_at: The run whose beginning this one shares, and the version of it up to where; its records
            follow as `run.copied`.
        forked_to: The other model that goes on, by the name that `model=` takes; empty for the agent's own.
        conversation: What came before the prompt of a fork; other runs have it from their session.
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


class RecordCopied(Event, tag="run.copied"):
    """A record of the run that this one was forked from, as if it had been made here.

    An event of its own, and not the record again: nothing was done for it in this run, and whoever counts calls, tokens
    or effects counts it where it happened.

    Attributes:
        type, schema, data: The record, with the call ids of this run.
        at: When it was made there.
    """

    type: str
    schema: int
    at: datetime
    data: Raw

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


class ModelRequested(Event, tag="run.model_requested"):
    """A model call is about to be sent.

    Attributes:
        digest: SHA-256 (16 hex digits) of what is sent: a replay that would send something else diverges.
        attempt: 2 and more when an earlier attempt failed, or has no outcome in the journal.
        model: The model that is asked, when it is not the run's own.
        most: What the attempt may use at most, as far as that is known: charged when its answer is lost. Of models
            that cost something; on disk before the request is sent.
    """

    step: str
    call_id: str
    digest: str
    attempt: int = 1
    model: str = ""
    most: Usage = Usage()


class ModelAttemptFailed(Event, tag="run.model_attempt_failed"):
    """An attempt at a model call came to nothing, and the call goes on: with another attempt, or another model.

    Attributes:
        kind: As of `ModelFailed`; `lost` when the process died before the answer was stored, `cancelled` when nobody
            wanted it any more.
        usage: What is charged for it.
        estimated: Nobody knows what the provider charges; `usage` is the most that it may be.
        retry_at: Not before this time is it tried again; ISO 8601, empty for at once.
    """

    step: str
    call_id: str
    attempt: int
    error: str
    kind: str
    model: str = ""
    status: int = 0
    request_id: str = ""
    usage: Usage = Usage()
    estimated: bool = False
    retry_at: str = ""


class ModelFellBack(Event, tag="run.model_fell_back"):
    """The call goes on with another model, which the agent names for this case. The run's answer is `degraded`.

    Attributes:
        alternative: Which of the agent's models is asked now; its own is number 0.
    """

    step: str
    call_id: str
    alternative: int
    from_model: str
    to_model: str
    reason: str


class ModelCompleted(Event, tag="run.model_completed"):
    """The answer. `model` is who gave it, when that is not the run's own."""

    step: str
    call_id: str
    reply: ModelReply
    model: str = ""


class ModelFailed(Event, tag="run.model_failed"):
    """The call came to nothing, in its last attempt.

    Attributes:
        kind: The word of the taxonomy in `actors/model_errors.py`; the name of the exception when it is not in there.
        usage, estimated: What is charged for the last attempt, as of `ModelAttemptFailed`.
    """

    step: str
    call_id: str
    error: str
    kind: str = "error"
    model: str = ""
    status: int = 0
    request_id: str = ""
    usage: Usage = Usage()
    estimated: bool = False


class ToolRequested(Event, tag="run.tool_requested"):
    """A tool is about to be called. Durable before a tool with effects starts.

    Attributes:
        call_id: Unique for this call in all runs for ever, the same in every attempt: the idempotency key.
        model_call_id: The model's id of the call, for pairing messages.
    """

    step: str
    call_id: str
    tool: str
    args: dict[str, Any] = {}
    model_call_id: str = ""
    attempt: int = 1


class ToolCompleted(Event, tag="run.tool_completed"):
    call_id: str
    output: Any = None
    duration_ms: float = 0.0


class ToolFailed(Event, tag="run.tool_failed"):
    """The tool did not do it, as far as it says itself."""

    call_id: str
    error: str
    kind: Literal["raised", "denied", "unknown_tool", "bad_arguments", "unrecordable"] = "raised"
    duration_ms: float = 0.0


class ToolOutcomeUnknown(Event, tag="run.tool_outcome_unknown"):
    """Nobody knows whether the tool did it: it timed out, or its process died, and it must not be repeated."""

    call_id: str
    reason: str


class ApprovalRequested(Event, tag="run.approval_requested"):
    """The run waits until somebody has decided on this call.

    It comes before `run.tool_requested`: the intent is recorded when the call may start, so an intent without an
    outcome always means that the call may have happened. Then the reason is `unknown_outcome`, and allowing it
    means doing it again.
    """

    step: str
    call_id: str
    tool: str
    reason: Literal["destructive", "permission", "unknown_outcome"]
    args: dict[str, Any] = {}


class ApprovalDecided(Event, tag="run.approval_decided"):
    """An answer, bound to the call."""

    call_id: str
    allowed: bool
    by: str = ""
    note: str = ""


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


RunEvent: TypeAlias = (
    RunStarted
    | RecordCopied
    | RunTakenOver
    | RunSuspended
    | MemoryRecalled
    | MemoryUnreadable
    | ValueRecorded
    | ModelRequested
    | ModelAttemptFailed
    | ModelFellBack
    | ModelCompleted
    | ModelFailed
    | ToolRequested
    | ToolCompleted
    | ToolFailed
    | ToolOutcomeUnknown
    | ApprovalRequested
    | ApprovalDecided
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunInterrupted
)

Closing: TypeAlias = RunCompleted | RunFailed | RunCancelled | RunInterrupted
CLOSING_TAGS = frozenset({"run.completed", "run.failed", "run.cancelled", "run.interrupted"})


# --- state -----------------------------------------------------------------------------------------------------------

Outcome: TypeAlias = ToolCompleted | ToolFailed | ToolOutcomeUnknown


NO_FAULT = ("lost", "cancelled")
"""Kinds of failed attempts that tell nothing of the model: its answer was lost on our side, or not wanted any more."""

Value: TypeAlias = ValueRecorded | MemoryRecalled | MemoryUnreadable


class ModelStep(Struct, gc=False):
    """One call. `failed` are the attempts that came to nothing.

    Attributes:
        copied: It was made, and charged, by the run that this one was forked from.
        alternative: The number of the model that is asked now.
        failed_before: How many attempts had failed when it came to be asked.
    """

    requested: ModelRequested
    copied: bool = False
    failed: tuple[ModelAttemptFailed, ...] = ()
    alternative: int = 0
    failed_before: int = 0
    outcome: ModelCompleted | ModelFailed | None = None

    @property
    def unanswered(self) -> bool:
        """The last attempt has neither an answer nor a failure."""
        ended = self.failed[-1].attempt if self.failed else 0
        return self.outcome is None and self.requested.attempt > ended

    @property
    def retry_at(self) -> str:
        """The time before which it is not tried again; empty when there is none."""
        return self.failed[-1].retry_at if self.failed else ""

    @property
    def tries(self) -> int:
        """How often the model that is asked now has failed; what was lost or cancelled does not count."""
        return sum(each.kind not in NO_FAULT for each in self.failed[self.failed_before :])


class ToolStep(Struct, gc=False):
    """One call. `requested` is None while the call still needs its approval: it has not been started then.

    Attributes:
        used: The approval has been used up by an attempt; a further attempt needs a new one.
    """

    requested: ToolRequested | None = None
    approval: ApprovalRequested | None = None
    decision: ApprovalDecided | None = None
    used: bool = False
    outcome: Outcome | None = None

    @property
    def waiting(self) -> bool:
        return self.approval is not None and self.decision is None and self.outcome is None


class Run(Struct):
    """The fold of a run's stream. Owned by one activation; `evolve` changes it in place.

    Attributes:
        estimated: The part of `usage` that nobody has confirmed.
        turns: Model calls of its story, those included that it shares with the run that it was forked from.
        usage: What it used itself.
        degraded: Why its answers are not those of the model that it was to ask.
    """

    started: RunStarted | None = None
    owner: str = ""
    suspended: str = ""
    models: dict[str, ModelStep] = field(default_factory=dict[str, ModelStep])
    tools: dict[str, ToolStep] = field(default_factory=dict[str, ToolStep])
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    turns: int = 0
    usage: Usage = Usage()
    estimated: Usage = Usage()
    degraded: str = ""
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
        """The approvals that nobody has decided on."""
        return [step.approval for step in self.tools.values() if step.waiting and step.approval is not None]


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
        case RunCompleted() | RunFailed() | RunCancelled() | RunInterrupted():
            state.closed = event
        case _:
            pass  # an event of a newer Treadle: kept in the stream, unknown to this fold
    return state


def _copy(record: Event, state: Run) -> None:
    usage, estimated = state.usage, state.estimated
    evolve(state, record)
    state.usage, state.estimated = usage, estimated
    if isinstance(record, ModelRequested):
        state.models[record.step].copied = True


def usage_of(event: ModelCompleted | ModelAttemptFailed | ModelFailed) -> Usage:
    """What an attempt is charged."""
    return event.reply.usage if isinstance(event, ModelCompleted) else event.usage


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


class NothingToApprove(Refused):
    """No such call is waiting for an approval."""

    def __init__(self, run_id: str, call_id: str, waiting: list[str]) -> None:
        known = ", ".join(waiting) or "none"
        super().__init__(f"run {run_id!r}: call {call_id!r} is not waiting for an approval; waiting: {known}")
        self.run_id = run_id
        self.call_id = call_id


def request_model(run_id: str, step: str, digest: str, state: Run) -> list[ModelRequested]:
    """The intent of a model call; nothing when its answer is recorded.

    Raises:
        ReplayDivergence: Another call was recorded at this step.
    """
    call_id = f"{run_id}_{step}"
    known = state.models.get(step)
    if known is None:
        if step in state.values:
            raise ReplayDivergence(run_id, step, state.values[step].event_tag, "a model call")
        return [ModelRequested(step=step, call_id=call_id, digest=digest)]
    if known.requested.digest != digest:
        raise ReplayDivergence(
            run_id, step, f"a model call with digest {known.requested.digest}", f"one with digest {digest}"
        )
    if known.outcome is not None:
        return []
    return [ModelRequested(step=step, call_id=call_id, digest=digest, attempt=known.requested.attempt + 1)]


def give_up(step: str, kind: str, error: str, state: Run, *, sent: bool = True) -> list[ModelAttemptFailed]:
    """The end of an attempt whose answer nobody waits for any more; nothing when it has an answer, or has failed.

    Args:
        sent: It is charged at the most that it may have used; False when it certainly was not sent.
    """
    call = state.models.get(step)
    if call is None or not call.unanswered:
        return []
    asked = call.requested
    usage = asked.most if sent else Usage()
    return [
        ModelAttemptFailed(
            step=step,
            call_id=asked.call_id,
            attempt=asked.attempt,
            model=asked.model,
            error=error,
            kind=kind,
            usage=usage,
            estimated=usage != Usage(),
        )
    ]


def attempt_id(call_id: str, attempt: int) -> str:
    """What an attempt at a call is charged under."""
    return call_id if attempt == 1 else f"{call_id}.{attempt}"


def check_tool(run_id: str, step: str, call_id: str, tool: str, args: dict[str, Any], state: Run) -> ToolStep:
    """What the history has of a call; an empty step when it has nothing.

    Raises:
        ReplayDivergence: Another call was recorded at this step.
    """
    known = state.tools.get(call_id)
    if known is None:
        if step in state.models or step in state.values:
            raise ReplayDivergence(run_id, step, "another kind of step", f"{tool}({args!r})")
        return ToolStep()
    recorded = known.requested or known.approval
    if recorded is not None and (recorded.tool, recorded.args) != (tool, args):
        raise ReplayDivergence(run_id, step, f"{recorded.tool}({recorded.args!r})", f"{tool}({args!r})")
    return known


def request_tool(
    step: str, call_id: str, tool: str, args: dict[str, Any], model_call_id: str, state: Run
) -> list[ToolRequested]:
    """The intent of the next attempt at a call; nothing when its outcome is recorded."""
    known = state.tools.get(call_id, _NO_STEP)
    if known.outcome is not None:
        return []
    attempt = known.requested.attempt + 1 if known.requested is not None else 1
    return [
        ToolRequested(step=step, call_id=call_id, tool=tool, args=args, model_call_id=model_call_id, attempt=attempt)
    ]


_NO_STEP = ToolStep()


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
