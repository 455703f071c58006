"""Tool calls of a run, and the approvals they wait for. In the stream of `run.py`.

First the approval, then the intent, then the outcome. Whether an answer to an approval still counts is for the run to
say, which may have ended: `decide_approval` is there.
"""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from .errors import ReplayDivergence
from .event import Event

if TYPE_CHECKING:
    from .run import Run

# --- events ----------------------------------------------------------------------------------------------------------


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

    Attributes:
        until: When nobody has answered by then, the answer is no; ISO 8601, empty for no limit.
        run_id: In a list of what a run waits for, the run below it whose call that is; empty for its own, and as an
            event.
    """

    step: str
    call_id: str
    tool: str
    reason: Literal["destructive", "permission", "unknown_outcome"]
    args: dict[str, Any] = {}
    until: str = ""
    run_id: str = ""


class ApprovalDecided(Event, tag="run.approval_decided"):
    """An answer, bound to the call."""

    call_id: str
    allowed: bool
    by: str = ""
    note: str = ""


Outcome: TypeAlias = ToolCompleted | ToolFailed | ToolOutcomeUnknown


# --- state -----------------------------------------------------------------------------------------------------------


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


# --- decisions -------------------------------------------------------------------------------------------------------


def check_tool(run_id: str, step: str, call_id: str, tool: str, args: dict[str, Any], state: "Run") -> ToolStep:
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
    step: str, call_id: str, tool: str, args: dict[str, Any], model_call_id: str, state: "Run"
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
