"""The steps of a run as people look at them: each call to a model or a tool with its outcome and its duration."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ...events.envelope import Recorded
from ...events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested
from ...events.run import RecordCopied
from ...events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
)

Outcome = Literal["completed", "failed", "denied", "unknown", "waiting", "open"]


class StepRow(Struct):
    """One call.

    Attributes:
        step: The name of its step, as `fork --at step:NAME` takes it. The calls of one turn share it.
        name: The tool; of a model call the model, when it is not the run's own.
        attempts: 0 while it waits for its approval.
        outcome: `waiting` for an approval, `open` without an outcome so far.
        result: The answer of the model, the output of the tool, or why it, or its last attempt, failed.
        requested_at, ended_at: From the last attempt to its outcome.
    """

    call_id: str
    step: str
    kind: Literal["model", "tool"]
    name: str
    args: dict[str, Any]
    attempts: int
    outcome: Outcome
    requested_at: datetime
    ended_at: datetime | None = None
    result: Any = None
    approved_by: str = ""

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds; None while it has no outcome."""
        return None if self.ended_at is None else (self.ended_at - self.requested_at).total_seconds() * 1000


def steps_of(events: Iterable[Recorded]) -> list[StepRow]:
    """The calls of a run, in the order in which they were first asked for; a fork's with those that it shares."""
    steps: dict[str, StepRow] = {}

    def end(call_id: str, outcome: Outcome, result: Any, at: datetime) -> None:
        step = steps[call_id]
        step.outcome, step.result, step.ended_at = outcome, result, at

    for recorded in events:
        at, event = recorded.at, recorded.event
        if isinstance(event, RecordCopied):
            at, event = event.at, event.record
        match event:
            case ModelRequested():
                step = steps.setdefault(
                    event.call_id, StepRow(event.call_id, event.step, "model", "", {}, 0, "open", at)
                )
                step.name, step.attempts, step.requested_at = event.model, event.attempt, at
            case ModelAttemptFailed():
                steps[event.call_id].result = event.error  # until the next attempt has an outcome
            case ModelCompleted():
                reply = event.reply
                calls = [{"tool": call.tool, "args": call.args} for call in reply.tool_calls]
                end(event.call_id, "completed", {"text": reply.text, "tool_calls": calls} if calls else reply.text, at)
            case ModelFailed():
                end(event.call_id, "failed", event.error, at)
            case ToolRequested() | ApprovalRequested():
                step = steps.setdefault(
                    event.call_id, StepRow(event.call_id, event.step, "tool", event.tool, event.args, 0, "open", at)
                )
                step.requested_at = at
                if isinstance(event, ApprovalRequested):
                    step.outcome = "waiting"
                else:
                    step.attempts, step.outcome = event.attempt, "open"
            case ApprovalDecided():
                step = steps[event.call_id]
                step.approved_by = event.by if event.allowed else ""
                step.outcome = "open"
            case ToolCompleted():
                end(event.call_id, "completed", event.output, at)
            case ToolFailed():
                end(event.call_id, "denied" if event.kind == "denied" else "failed", event.error, at)
            case ToolOutcomeUnknown():
                end(event.call_id, "unknown", event.reason, at)
            case _:
                pass
    return list(steps.values())


def described(step: StepRow) -> dict[str, Any]:
    """A step as JSON has it."""
    return {**msgspec.structs.asdict(step), "duration_ms": step.duration_ms}
