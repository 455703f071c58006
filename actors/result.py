"""What a run came to, as callers see it."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from ..events.message import OutputFormat, ToolCall, Usage
from ..events.plan import LivingPlan
from ..events.run import Run, RunCancelled, RunCompleted, RunFailed, RunInterrupted, RunState
from ..events.steering import RunSteered
from ..events.tool_step import ApprovalRequested, ToolCompleted
from ..events.workspace import cited_in
from .output import given_in
from .tool import as_text

_NEVER = datetime.fromtimestamp(0, UTC)


class RunResult(Struct, kw_only=True, dict=True):
    """The answer of a run and what it took.

    Attributes:
        state: completed, failed, cancelled, interrupted (by a limit, or open and resumable), waiting (for approvals).
        interrupted: There is no final answer, though nothing failed; `interruption_reason` says why:
            `max_turns`, `budget:<cap>`, `approval:<call_id>` …
        output: The answer as the model gave it.
        output_format: What the answer has to be; None when it may be any text.
        parsed: The answer as its type, or as JSON values where the type is not known; None without `output_format`,
            and while there is no answer.
        error: What failed, empty when nothing did. For a degraded answer, what is not as it was asked for.
        usage: Tokens and cost in one piece, those of the agents included that the run asked.
        estimated: The part of tokens and cost that nobody has confirmed: model calls whose answer was lost are charged
            at the most that they may have used, and answers whose usage the provider did not tell at a guess.
        waiting_for: The approvals that the run waits for.
        plan: The living plan as it was left; None for an agent without one.
        unheard: What the run was told and has not taken up: it will, or it has ended before it could.
        cited_slugs: The notes of a workspace that the answer cites, as `[[slug]]`; of an agent that has one.
        ended_by: The tool call whose result the answer is, if one ended the turn: `forward_message`, `handoff` …
    """

    run_id: str
    session_id: str
    user_id: str = ""
    output: str = ""
    output_format: OutputFormat | None = None
    parsed: Any = None
    state: RunState = RunState.COMPLETED
    interrupted: bool = False
    interruption_reason: str = ""
    error: str = ""
    error_kind: str = ""
    error_details: dict[str, Any] = field(default_factory=dict[str, Any])
    turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens_in: int = 0
    cost_usd: float = 0.0
    usage: Usage = Usage()
    estimated: Usage = Usage()
    started_at: datetime = _NEVER
    finished_at: datetime = _NEVER
    waiting_for: list[ApprovalRequested] = field(default_factory=list[ApprovalRequested])
    unheard: list[RunSteered] = field(default_factory=list[RunSteered])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    plan: LivingPlan | None = None
    ended_by: ToolCall | None = None
    cited_slugs: tuple[str, ...] = ()

    @property
    def value(self) -> Any:
        """The parsed answer when there is one, else its text."""
        typed = self.parsed is not None or (self.output_format is not None and self.answered)
        return self.parsed if typed else self.output

    @property
    def cause(self) -> BaseException | None:
        """What code that is not Treadle's has raised, which ended the run here and now. No history has it."""
        found: BaseException | None = vars(self).get("cause")
        return found

    @cause.setter
    def cause(self, error: BaseException | None) -> None:
        vars(self)["cause"] = error

    @property
    def why(self) -> str:
        """What failed, or why there is no final answer; empty when neither is so."""
        return self.error or (self.interruption_reason if self.interrupted else "")

    @property
    def answered(self) -> bool:
        """Whether there is a final answer."""
        return self.state in (RunState.COMPLETED, RunState.DEGRADED)

    @property
    def total_tokens(self) -> int:
        return self.tokens_in + self.cached_tokens_in + self.tokens_out

    @property
    def duration_ms(self) -> float:
        return (self.finished_at - self.started_at).total_seconds() * 1000


def result_of(
    state: Run, *, run_id: str, session_id: str, user_id: str, started_at: datetime | None, last_at: datetime | None
) -> RunResult:
    """The result of a run in this state, which need not be its last."""
    used = state.usage + state.usage_of_children
    result = RunResult(
        run_id=run_id,
        session_id=session_id,
        user_id=user_id,
        state=state.state,
        turns=state.turns,
        tokens_in=used.input_tokens,
        tokens_out=used.output_tokens,
        cached_tokens_in=used.cached_input_tokens,
        cost_usd=used.cost_usd,
        usage=used,
        estimated=state.estimated,
        started_at=started_at or _NEVER,
        finished_at=last_at or _NEVER,
        unheard=state.unheard,
    )
    if state.started is not None:
        result.metadata = dict(state.started.metadata)
        result.output_format = state.started.output
    if state.plan is not None:
        result.plan = state.plan.plan
    match state.closed:
        case RunCompleted(output, degraded=degraded):
            result.output, result.error = output, degraded
            result.ended_by = _ended_by(state, output)
            result.cited_slugs = _cited(state, output)
            if result.output_format is not None:
                result.parsed = given_in(output, result.output_format.wrapped).value
        case RunFailed(error, kind, details=details):
            result.error, result.error_kind, result.error_details = error, kind, dict(details)
        case RunCancelled(reason):
            result.error, result.error_kind = f"cancelled: {reason}", "cancelled"
        case RunInterrupted(reason, output):
            result.interrupted, result.interruption_reason, result.output = True, reason, output
        case None:
            result.waiting_for = state.waiting_for
            result.interrupted = True
            if result.waiting_for:
                result.interruption_reason = "approval:" + ",".join(asked.call_id for asked in result.waiting_for)
            else:
                result.interruption_reason = state.suspended or "running"
    return result


def _cited(state: Run, output: str) -> tuple[str, ...]:
    """What the answer of an agent with a workspace cites: elsewhere such brackets mean something else."""
    tools = state.started.tools if state.started is not None else ()
    return cited_in(output) if any(tool.name == "read_note" for tool in tools) else ()


def _ended_by(state: Run, output: str) -> ToolCall | None:
    """The last call of a tool that ends turns, if it said what is the answer now."""
    ending = {tool.name for tool in state.started.tools if tool.ends_turn} if state.started is not None else set[str]()
    if not ending:
        return None
    for step in reversed(state.tools.values()):
        asked, outcome = step.requested, step.outcome
        if asked is None or asked.tool not in ending or not isinstance(outcome, ToolCompleted):
            continue
        if as_text(outcome.output) == output:
            return ToolCall(asked.model_call_id, asked.tool, asked.args)
    return None
