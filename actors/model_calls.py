"""The model calls of one run: reserved, asked, recorded, charged; or answered from the history.

Each attempt is an event, and is charged on its own. The intent of one that costs something is on disk before it is
sent; so when its answer is lost with the process, whoever goes on with the run knows of it and charges it.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ..events.message import Message, ModelReply, ToolSpec, Usage
from ..events.model_step import (
    STEERED,
    ModelAttemptFailed,
    ModelCompleted,
    ModelFailed,
    ModelFellBack,
    ModelRequested,
    ModelStep,
    cut_short,
    give_up,
    request_model,
)
from .circuit import is_fault
from .context import ModelCallContext
from .forked import told
from .model import Model
from .model_attempt import ModelAttempt
from .model_charges import Interrupted, ModelCharges, bill_of, most_of
from .model_errors import CircuitOpen, ModelError, TransientModelError, model_error
from .output import directed
from .stand_in import who_answers
from .steering import CutShort
from .steps import digest_of

if TYPE_CHECKING:
    from .run import RunActivation

_LOST = "whoever had sent it ended, or was told to leave, before the answer was stored"
_UNWANTED = "the run ended before the model had answered"
_UNSENT = "it was not sent: the run was told to end, or to leave, just before"


class ModelCalls:
    """How a run asks its model, and what that costs."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run
        self._beginning: set[str] = set()  # steps beside one another that are about to make their first attempt
        self._going: dict[str, asyncio.Timeout] = {}  # what can be cut short, by its step
        self.charges = ModelCharges(run)

    async def call(
        self,
        step: str,
        messages: Sequence[Message],
        *,
        tools: bool | Collection[str],
        answer: bool = False,
        model: Model | None = None,
        steered: int = 0,
    ) -> ModelReply:
        """The answer of the model at this step: recorded, or asked for now.

        Args:
            tools: Whether it is shown the run's tools; or which of them.
            model: Who is asked, if not the agent's own.
            steered: How much of what the run was told is in `messages`.
        Raises:
            ModelError: The model did not answer; recorded.
            Interrupted: A limit is reached: turns, budget.
            CutShort: The run was told something that the model is not to answer without; recorded.
        """
        state, run_id, digest = self._run.state, self._run.run_id, digest_of(messages)
        if step not in state.models and state.turns + len(self._beginning) >= self._run.started.max_turns:
            raise Interrupted("max_turns", f"the run has made {state.turns} model calls, its limit is max_turns")
        begun = request_model(run_id, step, digest, state, steered)
        if step in state.models:
            self._run.record(give_up(step, "lost", _LOST, state))
            if any(each.now for each in state.steerings[steered:]):
                self._run.record(cut_short(step, state))
            await self.charges.square(state.models[step])
            begun = request_model(run_id, step, digest, state, steered)
        if not begun:
            return _answer_of(state.models[step])
        own = model or self._run.spec.model
        asking = _Asking(own, messages, self._shown(tools), answer)
        self._beginning |= {step} - state.models.keys()
        try:
            while True:
                call = state.models.get(step)
                await self._until(step, call)
                (asked,) = request_model(run_id, step, digest, state, steered)
                reply = await self._attempt(asked, asking.model(call.alternative if call else 0), asking)
                if reply is not None:
                    return reply
        finally:
            self._beginning.discard(step)

    def _shown(self, tools: bool | Collection[str]) -> Sequence[ToolSpec]:
        catalogue = self._run.started.tools
        if isinstance(tools, bool):
            return catalogue if tools else ()
        return tuple(tool for tool in catalogue if tool.name in tools)

    def cut(self, steerings: int) -> None:
        """Cut short what is going on without having been shown this many steerings."""
        for step, going in list(self._going.items()):
            if self._run.state.models[step].requested.steered < steerings:
                del self._going[step]
                going.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def _may_be_cut(self, step: str) -> AsyncGenerator[None]:
        """The block ends when the run is told something that is not to wait. Raises `CutShort`; that is recorded."""
        going = asyncio.timeout(None)
        try:
            async with going:
                self._going[step] = going
                try:
                    yield
                finally:
                    self._going.pop(step, None)
        except TimeoutError:
            if not going.expired():
                raise
            self._run.record(cut_short(step, self._run.state))
            await self.charges.square(self._run.state.models[step])
            raise CutShort from None

    async def _until(self, step: str, call: ModelStep | None) -> None:
        """Wait for the time of the next attempt, which is recorded: whoever goes on with the run waits for the rest.

        Nothing goes on meanwhile, so a run that moves to another node leaves at once.
        """
        if call is None or not (at := call.retry_at):
            return
        clock, policy = self._run.services.clock, self._run.spec.retry
        wait_s = (datetime.fromisoformat(at) - clock.now()).total_seconds()
        if wait_s <= 0:
            return
        await self._run.barrier()
        async with self._may_be_cut(step):
            with self._run.parking.work(), self._run.step.rest():
                # The time was another machine's, perhaps, whose clock is wrong; nobody ever asked for more than this.
                await clock.sleep(min(wait_s, max(policy.max_delay_s, policy.max_retry_after_s)))

    async def _attempt(self, asked: ModelRequested, model: Model, asking: "_Asking") -> ModelReply | None:
        """Make one attempt and record it; None when another is to follow.

        Raises:
            ModelError: It was the last one.
        """
        of = model.name if model is not _rows(self._run.spec.model)[0] else ""
        model = who_answers(model)
        messages, options = self._held(model, told(asking.messages, self._run.state), asking.answer)
        most = most_of(model, messages, asking.tools, options)
        await self.charges.reserve(asked.call_id, asked.attempt, most)
        billed: bool = getattr(model, "billed", False)
        self._run.record([structs.replace(asked, model=of, most=most if billed else Usage())])
        self._beginning.discard(asked.step)
        watched = bool(self._run.feeds) or self._run.services.live is not None
        attempt = ModelAttempt(
            self._run, model, ModelCallContext(asked.call_id, asked.attempt, self._run.run_id), watched
        )
        known, spec = self._run.state.models[asked.step], self._run.spec
        passing = self._run.services.circuits.passing(
            _endpoint(model),
            spec.retry,
            again=known.tries > 0,
            wait_s=spec.model_timeout_s,
            elsewhere=lambda refusal: asking.falls_back(known, refusal),
        )
        try:
            async with self._may_be_cut(asked.step):
                try:
                    await self._before_sending(watched, billed)
                    with self._run.parking.work():
                        async with passing:
                            reply = await attempt.ask(messages, asking.tools, options)
                except asyncio.CancelledError:
                    if billed and not attempt.sent:
                        self._run.record(give_up(asked.step, "cancelled", _UNSENT, self._run.state, sent=False))
                    raise
        except ModelError as error:
            if await self._failed(asked.step, error, attempt, model, asking):
                raise
            return None
        self._run.record([ModelCompleted(step=asked.step, call_id=asked.call_id, reply=reply, model=of)])
        call = self._run.state.models[asked.step]
        await self.charges.square(call)
        return _answer_of(call)  # as it is recorded: without secrets

    async def _before_sending(self, watched: bool, billed: bool) -> None:
        if watched or billed:
            # Whoever watches is told of the call before its answer, and of nothing that is not on disk.
            await self._run.barrier()
        if watched:
            await asyncio.sleep(0)  # and before it: the journal may have stored this without letting anybody else go on
        if not self._run.is_ours:
            await self._run.make_sure()

    def _held(
        self, model: Model, messages: Sequence[Message], answer: bool
    ) -> tuple[Sequence[Message], Mapping[str, Any]]:
        """What is sent, and with which options, so that the model keeps to the schema.

        A run that began with a model that is handed the schema may go on with one that is not, as a fork does, and the
        strategy's messages do not tell it. Nor may they: their digests are recorded.
        """
        output, options = self._run.started.output, self._run.spec.options
        if not answer or output is None or not output.native:
            return messages, options
        if getattr(model, "native_output", False):
            return messages, {**options, "output_schema": output}
        return directed(messages, output), options

    async def _failed(
        self, step: str, error: ModelError, attempt: ModelAttempt, model: Model, asking: "_Asking"
    ) -> bool:
        """Record a failed attempt, and what follows from it; whether it was the last."""
        call = self._run.state.models[step]
        asked = call.requested
        usage, estimated = bill_of(error, asked.most, model)
        told: dict[str, Any] = {
            "step": step, "call_id": asked.call_id, "error": str(error), "kind": error.kind, "model": asked.model,
            "status": error.status, "request_id": error.request_id, "usage": usage, "estimated": estimated,
        }  # fmt: skip
        retry_at = None if attempt.shown or attempt.spent else self._retry_at(call, error)
        falls = retry_at is None and not attempt.shown and asking.falls_back(call, error)
        if retry_at is None and is_fault(error):
            self._run.services.circuits.given_up(_endpoint(model), self._run.spec.retry)
        if retry_at is None and not falls:
            self._run.record([ModelFailed(**told)])
        else:
            at = retry_at.isoformat() if retry_at is not None else ""
            self._run.record([ModelAttemptFailed(attempt=asked.attempt, retry_at=at, **told)])
            if falls:
                self._fall_back(call, error, asking)
        await self.charges.square(call)
        return retry_at is None and not falls

    def _retry_at(self, call: ModelStep, error: ModelError) -> datetime | None:
        if not isinstance(error, TransientModelError) or isinstance(error, CircuitOpen):
            return None
        policy, now = self._run.spec.retry, self._run.services.clock.now()
        delay_s = policy.delay_s(call.tries + 1, error.retry_after_s, random.random())
        return None if delay_s is None else now + timedelta(seconds=delay_s)

    def _fall_back(self, call: ModelStep, error: ModelError, asking: "_Asking") -> None:
        number = call.alternative + 1
        before, then = asking.model(number - 1).name, asking.model(number).name
        self._run.record(
            [
                ModelFellBack(
                    step=call.requested.step,
                    call_id=call.requested.call_id,
                    alternative=number,
                    from_model=before,
                    to_model=then,
                    reason=f"{then} answered in the place of {before}, which failed: {error}",
                )
            ]
        )

    async def end(self) -> None:
        """Charge what calls hold, and give back the rest. Before the end is recorded: nobody looks at an ended run."""
        for step, call in self._run.state.models.items():
            self._run.record(give_up(step, "cancelled", _UNWANTED, self._run.state))
            await self.charges.square(call)
        if self._run.taken_over:
            await self.charges.release_rest()


class _Asking:
    """One call while it is made: what is sent, and who may answer, one after the other."""

    def __init__(self, own: Model, messages: Sequence[Message], tools: Sequence[ToolSpec], answer: bool) -> None:
        self.messages = messages
        self.tools = tools
        self.answer = answer
        self._own: Any = own
        self._row = _rows(own)

    def model(self, alternative: int) -> Model:
        """Which model that is; the last there is, for a run that is resumed by an agent with fewer."""
        return self._row[min(alternative, len(self._row) - 1)]

    def falls_back(self, call: ModelStep, error: ModelError) -> bool:
        """Whether another model is asked after this error."""
        falls: bool = call.alternative + 1 < len(self._row) and self._own.falls_on(error)
        return falls


def _rows(model: Model) -> Sequence[Model]:
    """The models behind one, in the order in which they are asked."""
    return (getattr(model, "primary", model), *getattr(model, "alternatives", ()))


def _endpoint(model: Model) -> str:
    found: str = getattr(model, "endpoint", model.name)
    return found


def _answer_of(call: ModelStep) -> ModelReply:
    """What was recorded. Raises ModelError when that is a failure, and CutShort when it was cut short."""
    outcome = call.outcome
    if isinstance(outcome, ModelCompleted):
        return outcome.reply
    assert isinstance(outcome, ModelFailed)
    if outcome.kind == STEERED:
        raise CutShort
    raise model_error(outcome.error, outcome.kind, status=outcome.status, request_id=outcome.request_id)
