"""Reads an answer of LiteLLM, whole or by its chunks: chat completions, whoever gave them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply, ContentFilterError, TruncatedAnswer
from ....events.message import ModelReply, ToolCall, Usage
from .messages import CARRIED

_FINISHES = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class _Call(Struct):
    id: str = ""
    name: str = ""
    arguments: str = ""


class Reading:
    """One answer while it is read. Nothing of it counts before its end has come.

    Args:
        priced: Adds what a usage costs.
    """

    def __init__(self, model: str, priced: Callable[[Usage], Usage]) -> None:
        self.charged: Usage | None = None
        self._model = model
        self._priced = priced
        self._calls: dict[int, _Call] = {}
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
        Raises:
            TruncatedAnswer: It ended before the answer did.
            ContentFilterError: The answer was filtered.
        """
        if not said:
            raise TruncatedAnswer(
                f"litellm: model {self._model!r} stopped in the middle of its answer",
                provider="litellm",
                request_id=self._request_id,
                usage=self.charged,
                may_be_charged=True,
            )
        reason = self._reason()
        for call in self._calls.values():
            yield ModelChunk("tool_call", tool_call=ToolCall(call.id, call.name, _arguments(call.arguments)))
        yield ModelChunk(
            "finish",
            finish_reason=reason,
            usage=self.charged,
            carried=self._carried(),
            model=self._model,
            request_id=self._request_id,
        )

    def whole(self, answer: Any) -> ModelReply:
        """The reply of an answer that came in one piece.

        Raises:
            BadReply: It has not the form that it should have.
            ContentFilterError: The answer was filtered.
        """
        try:
            self._model = answer.model or self._model
            self._request_id = answer.id or ""
            self._use(getattr(answer, "usage", None))
            choice = answer.choices[0]
            self._finish_reason = choice.finish_reason or ""
            message = choice.message
            self._thinking = [dict(block) for block in getattr(message, "thinking_blocks", None) or ()]
            for index, call in enumerate(message.tool_calls or ()):
                self._calls[index] = _Call(call.id or "", call.function.name or "", call.function.arguments or "")
        except _MALFORMED as exc:
            raise self._bad(exc) from exc
        reason = self._reason()
        return ModelReply(
            message.content or "",
            tuple(ToolCall(call.id, call.name, _arguments(call.arguments)) for call in self._calls.values()),
            self.charged or Usage(),
            reason,
            getattr(message, "reasoning_content", None) or "",
            self._carried(),
            self._model,
            self._request_id,
        )

    def _delta(self, delta: Any) -> Iterator[ModelChunk]:
        if thought := getattr(delta, "reasoning_content", None):
            yield ModelChunk("thinking", thought)
        for block in getattr(delta, "thinking_blocks", None) or ():
            self._think(dict(block))
        if delta.content:
            yield ModelChunk("text", delta.content)
        for piece in delta.tool_calls or ():
            call = self._calls.setdefault(piece.index, _Call())
            call.id = piece.id or call.id
            call.name = piece.function.name or call.name
            call.arguments += piece.function.arguments or ""

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
        return {CARRIED: signed} if signed else {}

    def _use(self, usage: Any) -> None:
        """`prompt_tokens` has the cached ones in it, whoever the provider is."""
        if usage is None:
            return
        details = usage.prompt_tokens_details
        cached = (getattr(details, "cached_tokens", None) or 0) if details is not None else 0
        written = (getattr(details, "cache_creation_tokens", None) or 0) if details is not None else 0
        fresh = max((usage.prompt_tokens or 0) - cached - written, 0)
        self.charged = self._priced(Usage(fresh, usage.completion_tokens or 0, cached, written))

    def _reason(self) -> str:
        if self._finish_reason == "content_filter":
            raise ContentFilterError(
                f"litellm: the answer of model {self._model!r} was filtered",
                provider="litellm",
                request_id=self._request_id,
                usage=self.charged,
            )
        if self._calls and self._finish_reason != "length":
            return "tool_calls"
        return _FINISHES.get(self._finish_reason, "stop")

    def _bad(self, exc: Exception) -> BadReply:
        return BadReply(
            f"litellm: model {self._model!r} sent what is no answer of its protocol: {exc!r}",
            provider="litellm",
            request_id=self._request_id,
            usage=self.charged,
            may_be_charged=True,
        )


def _arguments(text: str) -> dict[str, Any]:
    try:
        args: Any = json.loads(text or "{}")
    except ValueError:
        return {"_invalid": text}
    return args if isinstance(args, dict) else {"_invalid": text}  # pyright: ignore[reportUnknownVariableType]
