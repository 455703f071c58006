"""The model calls of one run: reserved, asked, recorded, settled; or answered from the history."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..events.budget import Limits
from ..events.errors import BudgetExceeded, TreadleError
from ..events.message import Message, ModelReply, ToolSpec
from ..events.run import ModelCompleted, ModelFailed, request_model
from .deadline import Deadline
from .foreign import called, contained
from .model import ModelCallFailed, ModelChunk, collect, text_of
from .spec import AgentSpec
from .steps import digest_of
from .tool import say

if TYPE_CHECKING:
    from .run import RunActivation


GUESSED_OUTPUT_TOKENS = 1024
"""Set aside for an answer when neither the model nor the agent's options say how long it may get."""


class Interrupted(TreadleError):
    """A limit ends the run; it is no failure. `reason` is what callers see: `max_turns`, `budget:max_tokens` …"""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelCalls:
    """How a run asks its model, and what that costs."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run
        self._scopes = _scopes(run.spec, run.user_id)

    async def call(self, step: str, messages: Sequence[Message], *, tools: bool) -> ModelReply:
        """The answer of the model at this step: recorded, or asked for now."""
        state = self._run.state
        if step not in state.models and state.turns >= self._run.started.max_turns:
            raise Interrupted("max_turns", f"the run has made {state.turns} model calls, its limit is max_turns")
        intents = request_model(self._run.run_id, step, digest_of(messages), state)
        call_id = f"{self._run.run_id}_{step}"
        if not intents:
            outcome = state.models[step].outcome
            if isinstance(outcome, ModelCompleted):
                await self._settle(call_id, outcome)
                return outcome.reply
            assert isinstance(outcome, ModelFailed)
            await self.release(call_id, outcome.error)
            raise ModelCallFailed(outcome.error, outcome.kind)
        await self._reserve(call_id, messages)
        self._run.record(intents)
        watched = bool(self._run.feeds) or self._run.services.live is not None
        if watched:
            # Whoever watches is told of the call before its answer, and of nothing that is not on disk.
            await self._run.barrier()
            await asyncio.sleep(0)  # and before it: the journal may have stored this without letting anybody else go on
        if not self._run.is_ours:
            await self._run.make_sure()
        self._run.parking.begin_work()
        try:
            reply = await self._ask_model(messages, self._run.started.tools if tools else (), watched)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            failed = exc if isinstance(exc, ModelCallFailed) else ModelCallFailed(say(exc), type(exc).__name__)
            self._run.record([ModelFailed(step=step, call_id=call_id, error=str(failed), kind=failed.kind)])
            await self.release(call_id, str(failed))
            raise failed from exc
        finally:
            self._run.parking.end_work()
        completed = ModelCompleted(step=step, call_id=call_id, reply=reply)
        self._run.record([completed])
        await self._settle(call_id, completed)
        return reply

    async def _ask_model(self, messages: Sequence[Message], tools: Sequence[ToolSpec], watched: bool) -> ModelReply:
        model, limit_s = self._run.spec.model, self._run.spec.model_timeout_s
        complete = None if watched else getattr(model, "complete", None)
        deadline = Deadline(limit_s)
        try:
            if complete is not None:
                asked = called(complete, messages, tools=tools, **self._run.spec.options)
                return text_of(await contained(asked, deadline), model.name)
            return await contained(self._collect(messages, tools, watched), deadline)
        except TimeoutError as exc:
            if not deadline.expired:
                raise
            raise ModelCallFailed(
                f"model {model.name!r} did not answer within {limit_s:g} s (model_timeout_s)", "timeout"
            ) from exc

    async def _collect(self, messages: Sequence[Message], tools: Sequence[ToolSpec], watched: bool) -> ModelReply:
        model = self._run.spec.model
        chunks = model.stream(messages, tools=tools, **self._run.spec.options)
        return await collect(self._relay(chunks) if watched else chunks, model.name)

    async def _relay(self, chunks: AsyncIterator[ModelChunk]) -> AsyncIterator[ModelChunk]:
        async for chunk in chunks:
            if chunk.kind != "finish":
                await self._tell_chunk(chunk)
            yield chunk

    async def _tell_chunk(self, chunk: ModelChunk) -> None:
        for feed in self._run.feeds:
            await feed.chunk(chunk)
        if self._run.services.live is not None:
            await self._run.services.live(self._run.user_id, self._run.run_id, chunk)

    async def _reserve(self, call_id: str, messages: Sequence[Message]) -> None:
        if not self._scopes or self._run.services.budget is None:
            return
        # What a run holds that was never stored, nobody would give back: its signal leads to a run of another id.
        await self._run.until_stored()
        # And what a former owner reserves after its successor has settled would be charged twice.
        await self._run.make_sure()
        estimate = getattr(self._run.spec.model, "estimate", None)
        tokens_in, tokens_out = (
            estimate(messages) if estimate is not None else _estimate(messages, self._run.spec.options)
        )
        try:
            cause = self._run.cause(call_id)
            await self._run.services.budget.reserve(self._scopes, call_id, tokens_in, tokens_out, cause)
        except BudgetExceeded as exc:
            raise Interrupted(f"budget:{exc.limit.partition('=')[0]}", str(exc)) from exc

    async def _settle(self, call_id: str, completed: ModelCompleted) -> None:
        if self._scopes and self._run.services.budget is not None:
            usage, cause = completed.reply.usage, self._run.cause(call_id)
            await self._run.services.budget.settle(self._scopes, call_id, usage, cause)

    async def release(self, call_id: str, reason: str) -> None:
        if self._scopes and self._run.services.budget is not None:
            await self._run.services.budget.release(self._scopes, call_id, reason, self._run.cause(call_id))

    async def spend_time(self, seconds: float) -> None:
        """Charge the time that this activation took."""
        if self._scopes and self._run.services.budget is not None:
            await self._run.services.budget.spend_time(self._scopes, seconds, self._run.cause(self._run.run_id))

    async def release_unanswered(self) -> None:
        """Give back what calls without an outcome hold. Before the end is recorded: nobody looks at an ended run."""
        for call in self._run.state.models.values():
            if call.outcome is None:
                await self.release(call.requested.call_id, "the run ended before the model had answered")


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
    return chars // 4 + 1, int(options.get("max_tokens") or GUESSED_OUTPUT_TOKENS)
