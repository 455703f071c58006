"""What one run tells of itself: its steps, each in a line under its place in the strategy, and what it came to."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ..actors.result import result_of
from ..actors.tool import as_text
from ..events.child_step import ChildEnded, ChildRequested
from ..events.envelope import Recorded
from ..events.event import Event
from ..events.message import Usage
from ..events.model_step import ModelCompleted, ModelFailed, ModelRequested
from ..events.run import RecordCopied, Run, RunState, ValueRecorded, evolve
from ..events.run_tree import RunTree, record_of
from ..events.tool_step import ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested


class Outcome(Struct, frozen=True):
    """What a run came to, with what it asked. Tokens and cost are what was spent in it: shared steps cost nothing."""

    run_id: str
    agent: str
    model: str
    state: RunState
    output: str
    why: str
    turns: int
    tokens: int
    cost_usd: float
    duration_s: float


class Step(Struct):
    """A step as one run has it; `moment` is when it was begun, by whoever did that first."""

    what: str
    moment: int
    text: str = ""
    run_id: str = ""


class Told:
    """What one run tells of itself."""

    def __init__(self, tree: RunTree, run_id: str) -> None:
        self.tree = tree
        self.run_id = run_id
        self.history: Sequence[Recorded] = tree.branches[run_id].history
        self.started = tree.branches[run_id].started
        self.steps: dict[str, Step] = {}
        self._asked: dict[str, Step] = {}
        self.moments = tree.branches[run_id].moments
        self._copies: dict[int, Event] = {}
        for recorded, moment in zip(self.history, self.moments, strict=True):
            if isinstance(recorded.event, RecordCopied):
                self._copies[moment] = recorded.event.record
            self._tell(record_of(recorded), moment)

    def shared_with(self, other: "Told") -> set[int]:
        """Of what it has from elsewhere, the moments that the other run has too: its own, or from elsewhere as well."""
        return self._copies.keys() & set(other.moments)

    def shared_versions(self, other: "Told") -> int:
        """Up to which version of the other run it shares its beginning; 0 for none."""
        started = self.started
        if started is not None and started.forked_from == other.run_id:
            return started.forked_at
        shared = self.shared_with(other)
        return max((version for version, moment in enumerate(other.moments, 1) if moment in shared), default=0)

    @property
    def saved(self) -> Usage:
        answers = self._copies.values()
        return sum((each.reply.usage for each in answers if isinstance(each, ModelCompleted)), Usage())

    def outcome(self) -> Outcome:
        started = self.started
        state = Run()
        for recorded in self.history:
            evolve(state, recorded.event)
        if started is None or not self.history:
            return Outcome(self.run_id, "", "", RunState.QUEUED, "", "it has not begun", 0, 0, 0.0, 0.0)
        first, last = self.history[0], self.history[-1]
        result = result_of(state, run_id=self.run_id, session_id="", user_id="", started_at=first.at, last_at=last.at)
        return Outcome(
            run_id=self.run_id,
            agent=started.agent,
            model=started.model,
            state=result.state,
            output=result.output,
            why=result.why,
            turns=result.turns,
            tokens=result.total_tokens,
            cost_usd=result.cost_usd,
            duration_s=_seconds(first.at, last.at),
        )

    def _tell(self, record: Event, moment: int) -> None:
        match record:
            case ModelRequested():
                self._step(record.step, "model call", moment)
            case ModelCompleted(reply=reply):
                asked = [f"{call.tool}({as_text(call.args)})" for call in reply.tool_calls]
                self._step(record.step, "model call", moment).text = " ".join([reply.text, *asked]).strip()
            case ModelFailed(error=error):
                self._step(record.step, "model call", moment).text = f"failed: {error}"
            case ToolRequested() | ApprovalRequested():
                self._step(self._place(record.call_id), record.tool, moment).text = as_text(record.args)
            case ToolCompleted(output=output):
                self._ended(record.call_id, as_text(output))
            case ToolFailed(error=error):
                self._ended(record.call_id, f"failed: {error}")
            case ToolOutcomeUnknown(reason=reason):
                self._ended(record.call_id, f"unknown: {reason}")
            case ChildRequested():
                step = self._step(f"{self._place(record.call_id)} {record.role}", f"asks {record.role}", moment)
                step.run_id = record.run_id
                self._asked[record.call_id] = step
            case ChildEnded():
                self._asked[record.call_id].text = f"{record.state}: {record.output or record.error}"
            case ValueRecorded():
                # Without the ids of its own calls, which two runs never have in common.
                text = as_text(record.value).replace(f'"{self.run_id}_', '"')
                self._step(record.step, record.name, moment).text = text
            case _:
                pass

    def _step(self, name: str, what: str, moment: int) -> Step:
        return self.steps.setdefault(name, Step(what, moment))

    def _ended(self, call_id: str, text: str) -> None:
        step = self.steps[self._place(call_id)]
        step.text = f"{step.text} → {text}"

    def _place(self, call_id: str) -> str:
        return call_id.removeprefix(f"{self.run_id}_")


def _seconds(begun: datetime, ended: datetime) -> float:
    return round((ended - begun).total_seconds(), 3)
