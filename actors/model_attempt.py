"""One attempt at a model call: what is sent, and what comes back; chunks go to whoever watches."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ..events.errors import TreadleError
from ..events.message import Message, ModelReply, ToolSpec
from .context import ModelCallContext, enter_model_call
from .countable import is_countable
from .deadline import Deadline
from .foreign import called, contained
from .masked_chunks import MaskedChunks
from .model import Model, ModelChunk, collect, text_of
from .model_errors import ModelError, OutOfTime
from .surrogates import Halves
from .tool import say

if TYPE_CHECKING:
    from .run import RunActivation


class ModelAttempt:
    """An attempt.

    Attributes:
        shown: Somebody has seen a part of its answer, which cannot be taken back: nothing may come in its place.
        spent: It took all the time there is for one: the same model is not asked again.
        sent: The model has been asked; before that, nobody charges anything.
    """

    def __init__(self, run: "RunActivation", model: Model, call: ModelCallContext, watched: bool) -> None:
        self.shown = False
        self.spent = False
        self.sent = False
        self._answering = False
        self._run = run
        self._model = model
        self._call = call
        self._watched = watched

    async def ask(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]
    ) -> ModelReply:
        """The model's answer.

        Raises:
            ModelError: There is none. Whatever the model raised has become one.
        """
        model, limit_s = self._model, self._run.spec.model_timeout_s
        complete = None if self._watched else getattr(model, "complete", None)
        deadline = Deadline(limit_s)
        enter_model_call(self._call)
        try:
            if (prepare := getattr(model, "prepare", None)) is not None:
                await contained(called(prepare))
            self.sent = True
            if complete is not None:
                asked = called(complete, messages, tools=tools, **options)
                return text_of(await contained(asked, deadline), model.name)
            return await contained(self._collect(messages, tools, options), deadline)
        except ModelError as error:
            if error.usage is not None and not is_countable(error.usage):
                error.usage, error.may_be_charged = None, True
            # Whoever has begun to answer charges for it, whatever else went wrong.
            error.may_be_charged = error.may_be_charged or (self._answering and error.usage is None)
            raise
        except Exception as exc:
            if not (isinstance(exc, TimeoutError) and deadline.expired):
                # It may have come before the request was sent or after: who cannot tell assumes that it was sent.
                sent = self._answering or (self.sent and not isinstance(exc, TreadleError))
                raise ModelError(say(exc), type(exc).__name__, may_be_charged=sent) from exc
            self.spent = True
            why = f"model {model.name!r} did not answer within {limit_s:g} s (model_timeout_s), which its agent sets"
            raise OutOfTime(why, may_be_charged=True) from exc

    async def _collect(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]
    ) -> ModelReply:
        chunks = self._model.stream(messages, tools=tools, **options)
        try:
            async with aclosing(self._relay(chunks)) as relayed:
                return await collect(relayed, self._model.name)
        finally:
            # Whatever ended it, the model lets go of its connection now, and not when memory is tidied up.
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _relay(self, chunks: AsyncIterator[ModelChunk]) -> AsyncGenerator[ModelChunk]:
        halves, masked = Halves(), MaskedChunks()
        try:
            async for chunk in chunks:
                self._answering = True
                for whole in halves.joined(chunk) if self._watched else ():
                    self.shown = self.shown or whole.kind != "finish"
                    await self._tell(masked.add(whole))
                yield chunk
        except Exception:
            await self._tell(masked.rest())  # half an answer: whoever watches sees all that came of it
            raise
        await self._tell(masked.rest())

    async def _tell(self, chunks: Iterable[ModelChunk]) -> None:
        for chunk in chunks:
            for feed in self._run.feeds:
                await feed.chunk(chunk)
            if self._run.services.live is not None:
                await self._run.services.live(self._run.user_id, self._run.run_id, chunk)
