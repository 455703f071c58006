"""What the model calls of one run cost: set aside before an attempt, charged or given back after it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ..events.budget import Limits
from ..events.errors import BudgetExceeded, TreadleError
from ..events.message import Message, OutputFormat, ToolSpec, Usage
from ..events.model_step import ModelCompleted, ModelStep, attempt_id
from .model import Model
from .model_errors import ModelError
from .services import BudgetPort, Scopes
from .spec import AgentSpec
from .token_guess import guessed_input

if TYPE_CHECKING:
    from .run import RunActivation

GUESSED_OUTPUT_TOKENS = 1024
"""Set aside for an answer when neither the model nor the agent's options say how long it may get."""


class Interrupted(TreadleError):
    """A limit ends the run; it is no failure. `reason` is what callers see: `max_turns`, `budget:max_tokens` …

    Attributes:
        output: What there is of an answer; None: the last words of the run's own model.
    """

    def __init__(self, reason: str, message: str, output: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.output = output


class ModelCharges:
    """The budgets that a run's model calls are charged to: each attempt once, whatever process tells of it.

    What is set aside for an attempt is on disk before its intent is, and that before it is sent: two commits, in this
    order, since an attempt that is known and holds nothing could not be charged. What a dead process had set aside for
    an attempt that it did not come to record is found by the run's id.
    """

    def __init__(self, run: "RunActivation") -> None:
        self._run = run
        self._own = _own_scopes(run.spec, run.user_id)
        self._all: Scopes | None = None
        self._charged: set[str] = set()  # what this activation knows to be charged, or given back

    @property
    def scopes(self) -> Scopes:
        """What a model call is charged to: the agent's budgets, and those of the runs that led to this one."""
        if self._all is None:
            own = {name for name, _ in self._own}
            led = [(scope.name, scope.limits) for scope in self._run.started.budgets if scope.name not in own]
            self._all = (*self._own, *led)
        return self._all

    async def reserve(self, call_id: str, attempt: int, most: Usage) -> None:
        """Set the most aside that an attempt may use; durable when this returns.

        Raises:
            Interrupted: A cap is in the way.
        """
        if not self.scopes or self._run.services.budget is None:
            return
        # What a run holds that was never stored, nobody would give back: its signal leads to a run of another id.
        await self._run.until_stored()
        # And what a former owner reserves after its successor has settled would be charged twice.
        await self._run.make_sure()
        try:
            cause = self._run.cause(call_id)
            await self._run.services.budget.reserve(self.scopes, attempt_id(call_id, attempt), most, cause)
        except BudgetExceeded as exc:
            raise Interrupted(f"budget:{exc.limit.partition('=')[0]}", str(exc)) from exc

    async def square(self, call: ModelStep) -> None:
        """See to it that all that has been recorded of a call is charged, once; who recorded it may have died before.

        One that was copied from the run that this one was forked from was charged to that.

        An attempt that was answered is charged. One that failed without being charged gives back what was set aside.
        """
        budget, asked, outcome = self._run.services.budget, call.requested, call.outcome
        if not self.scopes or budget is None or call.copied:
            return
        for failed in call.failed:
            await self._charge(budget, failed.call_id, failed.attempt, failed.usage, failed.error)
        if isinstance(outcome, ModelCompleted):
            await self._charge(budget, asked.call_id, asked.attempt, outcome.reply.usage)
        elif outcome is not None:
            await self._charge(budget, asked.call_id, asked.attempt, outcome.usage, outcome.error)

    async def _charge(
        self, budget: BudgetPort, call_id: str, attempt: int, usage: Usage, failed: str | None = None
    ) -> None:
        charged, cause = attempt_id(call_id, attempt), self._run.cause(call_id)
        if charged in self._charged:
            return
        # A budget lives on another node, perhaps: it must not know of an answer that the run does not.
        await self._run.barrier()
        if failed is not None and usage == Usage():
            await budget.release(self.scopes, charged, failed, cause)
        else:
            await budget.settle(self.scopes, charged, usage, cause)
        self._charged.add(charged)

    async def release_rest(self) -> None:
        """Give back what the run holds beyond that: its process died before it recorded what it had set aside for."""
        if self.scopes and self._run.services.budget is not None:
            why, cause = "the run ended without this call", self._run.cause(self._run.run_id)
            await self._run.services.budget.release_run(self.scopes, why, cause)

    async def spend_time(self, seconds: float) -> None:
        """Charge the time that this activation took; those who led to it waited meanwhile, and charge their own."""
        if self._own and self._run.services.budget is not None:
            await self._run.services.budget.spend_time(self._own, seconds, self._run.cause(self._run.run_id))


def most_of(model: Model, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]) -> Usage:
    """The most that an attempt will use, as far as the model or a guess can tell."""
    estimate = getattr(model, "estimate", None)
    tokens_in, tokens_out = estimate(messages) if estimate is not None else _estimate(model, messages, tools, options)
    usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
    return structs.replace(usage, cost_usd=_cost_usd(model, usage))


def bill_of(error: ModelError, most: Usage, model: Model) -> tuple[Usage, bool]:
    """What an attempt that failed is charged, and whether that is a guess.

    Args:
        most: As of `most_of`; nothing for a model that costs nothing.
    """
    known = error.usage or Usage()
    if not error.may_be_charged or most == Usage():
        return known, False
    if known == Usage():
        return most, True
    # A provider tells what it was sent before it answers, and how long its answer was when that has ended.
    usage = structs.replace(known, output_tokens=max(known.output_tokens, most.output_tokens))
    return structs.replace(usage, cost_usd=max(_cost_usd(model, usage), known.cost_usd)), True


def _cost_usd(model: Model, usage: Usage) -> float:
    price = getattr(model, "cost_usd", None)
    return (price(usage) if price is not None else None) or 0.0


def _own_scopes(spec: AgentSpec, user_id: str) -> tuple[tuple[str, Limits], ...]:
    scopes: list[tuple[str, Limits]] = []
    if spec.budget is not None:
        scopes.append((spec.name, spec.budget))
    if spec.budget_per_user is not None:
        scopes.append((f"{spec.name}/{user_id}", spec.budget_per_user))
    return tuple(scopes)


def _estimate(
    model: Model, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]
) -> tuple[int, int]:
    """A guess at a call's tokens, input and output, for models that cannot tell."""
    longest = getattr(model, "longest_answer", None)
    limit = longest(options) if longest is not None else options.get("max_tokens")
    asked = options.get("output_schema")
    output = asked if isinstance(asked, OutputFormat) else None
    return guessed_input(messages, tools, output), int(limit or GUESSED_OUTPUT_TOKENS)
