"""What the model calls of one run cost: set aside before an attempt, charged or given back after it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..events.budget import Limits
from ..events.errors import BudgetExceeded, TreadleError
from ..events.message import Message, Usage
from ..events.run import ModelStep, attempt_id
from .model import Model
from .spec import AgentSpec

if TYPE_CHECKING:
    from .run import RunActivation

GUESSED_OUTPUT_TOKENS = 1024
"""Set aside for an answer when neither the model nor the agent's options say how long it may get."""

_IMAGE_TOKENS = 1600
"""What providers charge for a large picture, about."""


class Interrupted(TreadleError):
    """A limit ends the run; it is no failure. `reason` is what callers see: `max_turns`, `budget:max_tokens` …"""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelCharges:
    """The budgets that a run's model calls are charged to: each attempt once, whatever process tells of it."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run
        self._scopes = _scopes(run.spec, run.user_id)

    async def reserve(self, call_id: str, attempt: int, most: Usage) -> None:
        """Set the most aside that an attempt may use; durable when this returns.

        Raises:
            Interrupted: A cap is in the way.
        """
        if not self._scopes or self._run.services.budget is None:
            return
        # What a run holds that was never stored, nobody would give back: its signal leads to a run of another id.
        await self._run.until_stored()
        # And what a former owner reserves after its successor has settled would be charged twice.
        await self._run.make_sure()
        try:
            cause = self._run.cause(call_id)
            await self._run.services.budget.reserve(self._scopes, attempt_id(call_id, attempt), most, cause)
        except BudgetExceeded as exc:
            raise Interrupted(f"budget:{exc.limit.partition('=')[0]}", str(exc)) from exc

    async def charge(self, call_id: str, attempt: int, usage: Usage) -> None:
        """What an attempt that was answered came to."""
        if self._scopes and self._run.services.budget is not None:
            charged, cause = attempt_id(call_id, attempt), self._run.cause(call_id)
            await self._run.services.budget.settle(self._scopes, charged, usage, cause)

    async def charge_failed(self, call_id: str, attempt: int, usage: Usage, reason: str) -> None:
        """What an attempt that failed came to: what was set aside is given back when that is nothing."""
        budget = self._run.services.budget
        if not self._scopes or budget is None:
            return
        charged, cause = attempt_id(call_id, attempt), self._run.cause(call_id)
        if usage == Usage():
            await budget.release(self._scopes, charged, reason, cause)
        else:
            await budget.settle(self._scopes, charged, usage, cause)

    async def square(self, call: ModelStep) -> None:
        """See to it that all that has been recorded of a call is charged: who recorded it may have died before."""
        for failed in () if call.copied else call.failed:
            await self.charge_failed(failed.call_id, failed.attempt, failed.usage, failed.error)

    async def spend_time(self, seconds: float) -> None:
        """Charge the time that this activation took."""
        if self._scopes and self._run.services.budget is not None:
            await self._run.services.budget.spend_time(self._scopes, seconds, self._run.cause(self._run.run_id))


def most_of(model: Model, messages: Sequence[Message], options: Mapping[str, Any]) -> Usage:
    """The most that an attempt will use, as far as the model or a guess can tell."""
    estimate = getattr(model, "estimate", None)
    tokens_in, tokens_out = estimate(messages) if estimate is not None else _estimate(messages, options)
    usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
    price = getattr(model, "cost_usd", None)
    cost_usd = price(usage) if price is not None else None
    return Usage(input_tokens=tokens_in, output_tokens=tokens_out, cost_usd=cost_usd or 0.0)


def _scopes(spec: AgentSpec, user_id: str) -> tuple[tuple[str, Limits], ...]:
    scopes: list[tuple[str, Limits]] = []
    if spec.budget is not None:
        scopes.append((spec.name, spec.budget))
    if spec.budget_per_user is not None:
        scopes.append((f"{spec.name}/{user_id}", spec.budget_per_user))
    return tuple(scopes)


def _estimate(messages: Sequence[Message], options: Mapping[str, Any]) -> tuple[int, int]:
    """A guess at a call's tokens, input and output, for models that cannot tell: four characters a token."""
    chars = sum(len(message.content) + 16 * (1 + len(message.tool_calls)) for message in messages)
    images = sum(len(message.images) for message in messages)
    return chars // 4 + 1 + images * _IMAGE_TOKENS, int(options.get("max_tokens") or GUESSED_OUTPUT_TOKENS)
