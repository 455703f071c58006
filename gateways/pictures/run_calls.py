"""The calls of a run as a picture shows them: of models, of tools, and of other agents, in the order they were begun.

As `gateways/cli/run_steps.py`, with children and costs, and without what was said.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

from ...events.child_step import ChildEnded, ChildRequested
from ...events.envelope import Recorded
from ...events.event import Event
from ...events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested, usage_of
from ...events.run import RecordCopied, Run, RunFailed, RunState, evolve
from ...events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
)

_FAILED = ("failed", "cancelled", "denied", "unknown")


class Call(Struct):
    """One call.

    Attributes:
        run_id: Of a child: its run.
        within: The id of the tool's call whose code asked; of others the name of its step.
        outcome: `open`, `waiting` (for an approval), `completed`, `failed`, `denied`, `unknown`; of a child the state
            of its run.
        cost_usd: In US dollars; of a child, with its own children.
    """

    call_id: str
    kind: Literal["model", "tool", "run"]
    name: str
    begun_at: datetime
    within: str = ""
    run_id: str = ""
    attempts: int = 1
    outcome: str = "open"
    duration_ms: float | None = None
    cost_usd: float = 0.0
    error: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome in _FAILED


class Seen(Struct):
    """A run."""

    agent: str
    state: str
    calls: list[Call]
    duration_ms: float
    cost_usd: float
    error: str = ""

    @property
    def failed(self) -> bool:
        return self.state in _FAILED


def seen_in(events: Iterable[Recorded]) -> Seen | None:
    """A run by its events; None when there are none. A fork has the calls that it shares, which cost it nothing."""
    state, calls = Run(), dict[str, Call]()
    first: datetime | None = None
    last: datetime | None = None
    for recorded in events:
        evolve(state, recorded.event)
        first, last = first or recorded.at, recorded.at
        if isinstance(recorded.event, RecordCopied):
            _fold(calls, recorded.event.record, recorded.event.at, state, copied=True)
        else:
            _fold(calls, recorded.event, recorded.at, state)
    if state.started is None or first is None or last is None:
        return None
    return Seen(
        agent=state.started.agent,
        state=str(state.state) if state.state is not RunState.QUEUED else "queued",
        calls=list(calls.values()),
        duration_ms=_ms(first, last),
        cost_usd=(state.usage + state.usage_of_children).cost_usd,
        error=state.closed.error if isinstance(state.closed, RunFailed) else "",
    )


def _fold(calls: dict[str, Call], event: Event, at: datetime, state: Run, *, copied: bool = False) -> None:
    match event:
        case ModelRequested():
            name = event.model or (state.started.model if state.started is not None else "")
            call = calls.setdefault(event.call_id, Call(event.call_id, "model", name, at))
            call.name, call.attempts = name, event.attempt
        case ModelAttemptFailed() | ModelCompleted() | ModelFailed():
            call = calls[event.call_id]
            if not copied:
                call.cost_usd += usage_of(event).cost_usd
            if isinstance(event, ModelCompleted):
                _end(call, "completed", at)
                call.name = event.model or call.name
            elif isinstance(event, ModelFailed):
                _end(call, "failed", at, event.error)
        case ToolRequested():
            call = calls.setdefault(event.call_id, Call(event.call_id, "tool", event.tool, at))
            call.begun_at, call.attempts, call.outcome = at, event.attempt, "open"
        case ApprovalRequested():
            calls.setdefault(event.call_id, Call(event.call_id, "tool", event.tool, at)).outcome = "waiting"
        case ApprovalDecided():
            calls[event.call_id].outcome = "open"
        case ToolCompleted():
            _end(calls[event.call_id], "completed", at)
        case ToolFailed():
            _end(calls[event.call_id], "denied" if event.kind == "denied" else "failed", at, event.error)
        case ToolOutcomeUnknown():
            _end(calls[event.call_id], "unknown", at, event.reason)
        case ChildRequested():
            calls[event.call_id] = Call(
                event.call_id, "run", event.role or event.agent, at, within=event.step, run_id=event.run_id
            )
        case ChildEnded():
            _end(calls[event.call_id], event.state, at, event.error)
            calls[event.call_id].cost_usd = 0.0 if copied else event.usage.cost_usd
        case _:
            pass  # what is no call


def _end(call: Call, outcome: str, at: datetime, error: str = "") -> None:
    call.outcome, call.duration_ms, call.error = outcome, _ms(call.begun_at, at), error


def _ms(begun: datetime, ended: datetime) -> float:
    return (ended - begun).total_seconds() * 1000
