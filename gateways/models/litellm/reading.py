"""Reads an answer of LiteLLM, whole or by its chunks: chat completions, whoever gave them."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import structs

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply, ModelError, TruncatedAnswer
from ....events.message import ModelReply, Usage
from ..counts import counted
from ..openai.answer import whole
from ..tool_calls import ToolCallPieces
from .messages import carried_of
from .native import NativeEnd

_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class Reading:
    """One answer while it is read. Nothing of it counts before its end has come.

    Args:
        provider: Who has the model, by LiteLLM's name.
        priced: Adds what a usage costs.
        guess: What an answer has used about of which the provider does not tell it.

    Attributes:
        native: How it ended, in the provider's own word.
        charged: What it used, as far as that was told.
    """

    def __init__(
        self, model: str, provider: str, priced: Callable[[Usage], Usage], guess: Callable[[ModelReply], Usage]
    ) -> None:
        self.native = NativeEnd()
        self.charged: Usage | None = None
        self._model = model
        self._provider = provider
        self._priced = priced
        self._guess = guess
        self._said: list[str] = []
        self._calls = ToolCallPieces()
        self._refusal = ""
        self._thinking: list[dict[str, Any]] = []
        self._finish_reason = ""
        self._request_id = ""

    def chunk(self, chunk: Any) -> Iterator[ModelChunk]:
        """What a chunk of the stream brings.

        Raises:
            BadReply: It has not the form that it should have.
        """
        try:
            self._model = chunk.model or self._model
            self._request_id = chunk.id or self._request_id
            self._use(getattr(chunk, "usage", None))
            for choice in chunk.choices[:1]:
                self._finish_reason = choice.finish_reason or self._finish_reason
                yield from self._delta(choice.delta)
        except _MALFORMED as exc:
            raise self._bad(exc) from exc

    def finish(self, said: str | None) -> Iterator[ModelChunk]:
        """What is left when the stream has ended.

        Args:
            said: The provider's own reason for the end. Without one LiteLLM makes it up, and a stream that was cut off
                would look like a whole answer.
        Raises as `openai/answer.py` does.
        """
        reply = self._reply(self.native.of(self._finish_reason, said) if said else "", "".join(self._said))
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk(
            "finish",
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            carried=reply.carried,
            model=self._model,
            request_id=self._request_id,
            estimated=reply.estimated,
        )

    def whole(self, answer: Any) -> ModelReply:
        """The reply of an answer that came in one piece.

        Raises:
            BadReply: It has not the form that it should have.

        And as `openai/answer.py` does.
        """
        try:
            self._model = answer.model or self._model
            self._request_id = answer.id or ""
            self._use(getattr(answer, "usage", None))
            choice = answer.choices[0]
            message = choice.message
            self._thinking = [dict(block) for block in getattr(message, "thinking_blocks", None) or ()]
            self._refusal = _specific(message).get("refusal") or ""
            self._calls.add(message.tool_calls or ())
            kept = _specific(choice).get("native_finish_reason")
            end = self.native.of(choice.finish_reason or "", kept)
            text, thinking = message.content or "", getattr(message, "reasoning_content", None) or ""
        except _MALFORMED as exc:
            raise self._bad(exc) from exc
        return self._reply(end, text, thinking)

    def _delta(self, delta: Any) -> Iterator[ModelChunk]:
        if thought := getattr(delta, "reasoning_content", None):
            self._said.append(thought)
            yield ModelChunk("thinking", thought)
        for block in getattr(delta, "thinking_blocks", None) or ():
            self._think(dict(block))
        if delta.content:
            self._said.append(delta.content)
            yield ModelChunk("text", delta.content)
        self._refusal += getattr(delta, "refusal", None) or ""
        self._calls.add(delta.tool_calls or ())

    def _think(self, piece: dict[str, Any]) -> None:
        """Pieces of a block follow one another until its signature."""
        open_block = self._thinking[-1] if self._thinking else None
        if piece.get("type") != "thinking" or open_block is None or open_block.get("signature"):
            self._thinking.append(piece)
            return
        open_block["thinking"] = (open_block.get("thinking") or "") + (piece.get("thinking") or "")
        if signature := piece.get("signature"):
            open_block["signature"] = signature

    def _carried(self) -> dict[str, Any]:
        signed = [block for block in self._thinking if block.get("signature") or block.get("data")]
        return carried_of(signed, self._provider)

    def _use(self, usage: Any) -> None:
        """`prompt_tokens` has the cached ones in it, whoever the provider is."""
        if usage is None:
            return
        details = usage.prompt_tokens_details
        cached, written = getattr(details, "cached_tokens", None), getattr(details, "cache_creation_tokens", None)
        counts = counted(usage.prompt_tokens, usage.completion_tokens, cached, written)
        if counts is None:
            self.charged = None
            return
        sent, given, from_cache, to_cache = counts
        used = Usage(max(sent - from_cache - to_cache, 0), given, from_cache, to_cache)
        if used != Usage():  # no answer is for nothing: whoever counts none does not tell
            self.charged = self._priced(used)

    def _reply(self, end: str, text: str = "", thinking: str = "") -> ModelReply:
        try:
            reply = whole(
                model=self._model,
                end=end,
                calls=self._calls.whole,
                usage=self.charged,
                refusal=self._refusal,
                text=text,
                thinking=thinking,
                carried=self._carried(),
            )
        except ModelError as error:
            error.provider, error.request_id = "litellm", self._request_id
            # What a stream told before it was cut off is not all.
            error.may_be_charged = error.may_be_charged or isinstance(error, TruncatedAnswer)
            raise
        usage = self._guess(reply) if reply.estimated else reply.usage
        return structs.replace(reply, usage=usage, request_id=self._request_id)

    def _bad(self, exc: Exception) -> BadReply:
        return BadReply(
            f"litellm: model {self._model!r} sent what is no answer of its protocol: {exc!r}",
            provider="litellm",
            request_id=self._request_id,
            usage=self.charged,
            may_be_charged=True,
        )


def _specific(of: Any) -> dict[str, Any]:
    """The fields that LiteLLM has no place for."""
    fields: dict[str, Any] | None = getattr(of, "provider_specific_fields", None)
    return fields or {}
