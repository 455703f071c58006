"""Reads an answer of the Messages API, whole or by the events of its stream."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply, ModelError, TruncatedAnswer
from ....events.message import ModelReply, ToolCall, Usage
from ..counts import counted
from ..tool_calls import arguments, own_id
from .ends import NoAnswer, end_of
from .messages import Block, carried_of
from .output import OUTPUT_TOOL

if TYPE_CHECKING:
    from anthropic.types import Message, RawMessageStreamEvent

Failed = TypeVar("Failed", bound=ModelError)

_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_MALFORMED = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


class Reading:
    """One answer while it is read. Nothing of it counts before its end has come.

    Args:
        priced: Adds what a usage costs.
        guess: What an answer has used about of which the provider does not tell it.
        by_tool: The answer comes as the arguments of `OUTPUT_TOOL`, if the model keeps to it. Text is then held back:
            what stands before them is no part of it.
    """

    def __init__(
        self,
        model: str,
        priced: Callable[[Usage], Usage],
        guess: Callable[[ModelReply], Usage],
        *,
        by_tool: bool = False,
    ) -> None:
        self.request_id = ""
        self._priced = priced
        self._guess = guess
        self._model = model
        self._by_tool = by_tool
        self._asked = model
        self._answer = ""
        self._text: list[str] = []
        self._ids: set[str] = set()
        self._held: list[str] = []
        self._said: list[str] = []
        self._open: dict[int, tuple[Block, list[str]]] = {}
        self._blocks: list[Block | str | int] = []
        self._used: dict[str, object] = {}
        self._called = False
        self._begun = False
        self._stop_reason: str | None = None
        self._why = ""
        self._ended = False

    @property
    def charged(self) -> Usage | None:
        """What the provider has said so far that it charges; None when it has not, or not in counts.

        No answer is for nothing.
        """
        counts = counted(*map(self._used.get, _COUNTS))
        return self._priced(Usage(*counts)) if counts is not None and any(counts) else None

    def event(self, event: "RawMessageStreamEvent") -> ModelChunk | None:
        """What an event of the stream brings.

        Raises:
            BadReply: It has not the form that it should have; the SDK does not look.
        """
        try:
            match event.type:
                case "content_block_delta":
                    return self._piece(*self._open[event.index], event.delta)
                case "content_block_start":
                    self._open[event.index] = (_plain(event.content_block), [])
                case "content_block_stop":
                    block, pieces = self._open.pop(event.index)
                    return self._block(block, "".join(pieces) if pieces else None)
                case "message_start":
                    self._begin(event.message)
                case "message_delta":
                    self._use(event.usage)
                    self._stop(event.delta)
                case "message_stop":
                    self._ended = True
                case _:  # pyright: ignore[reportUnnecessaryComparison]
                    pass  # a kind of event that is newer than this
        except _MALFORMED as exc:
            raise self._bad(exc) from exc
        return None

    def finish(self) -> Iterator[ModelChunk]:
        """What is left when the stream has ended.

        Raises:
            TruncatedAnswer: It ended before the answer did.
            RequestRefused: The model declined.
            BadReply: It was none, nobody knows what its end means, or it is to call a tool, and none is called.
        """
        if not self._begun:
            raise self._error(BadReply, "answered with no stream of events", may_be_charged=True)
        if not self._ended or self._open:
            raise self._error(TruncatedAnswer, "the stream ended in the middle of its answer", may_be_charged=True)
        reason = self._finish_reason()
        if self._by_tool and not self._answer and self._held:
            yield ModelChunk("text", "".join(self._held))
        charged = self.charged
        yield ModelChunk(
            "finish",
            finish_reason=reason,
            usage=self._guess(ModelReply("".join(self._said))) if charged is None else charged,
            carried=self._carried("".join(self._text)),
            model=self._model,
            request_id=self.request_id,
            estimated=charged is None,
        )

    def whole(self, message: "Message") -> ModelReply:
        """The reply of an answer that came in one piece.

        Raises:
            BadReply: It is no message, since the SDK does not look; or as of `finish`.
            RequestRefused: The model declined.
        """
        self.request_id = getattr(message, "_request_id", None) or ""
        try:
            self._begin(message)
            self._stop(message)
            chunks = [self._block(_plain(block), None) for block in message.content]
            text = self._answer or "".join(self._text)
            thinking = "".join(block.thinking for block in message.content if block.type == "thinking")
        except _MALFORMED as exc:
            raise self._bad(exc) from exc
        reason = self._finish_reason()
        calls = tuple(chunk.tool_call for chunk in chunks if chunk is not None and chunk.tool_call is not None)
        charged = self.charged
        return ModelReply(
            text,
            calls,
            self._guess(ModelReply(text, calls, thinking=thinking)) if charged is None else charged,
            reason,
            thinking,
            self._carried(text),
            self._model,
            self.request_id,
            estimated=charged is None,
        )

    def _carried(self, text: str) -> dict[str, Any]:
        return carried_of(self._blocks, self._answer or text, self._asked)

    def _bad(self, exc: Exception) -> BadReply:
        return self._error(BadReply, f"sent what is no answer of its protocol: {exc!r}", may_be_charged=True)

    def _begin(self, message: "Message") -> None:
        self._model, self._begun = message.model, True
        self._use(message.usage)

    def _use(self, usage: Any) -> None:
        """Later counts stand in the place of earlier ones."""
        if usage is not None:
            self._used |= {name: count for name in _COUNTS if (count := getattr(usage, name, None)) is not None}

    def _stop(self, told: Any) -> None:
        self._stop_reason = told.stop_reason
        details = told.stop_details
        self._why = (details.explanation or details.category or "") if details is not None else ""

    def _piece(self, block: Block, pieces: list[str], delta: Any) -> ModelChunk | None:
        match delta.type:
            case "text_delta":
                pieces.append(delta.text)
                if self._by_tool:
                    self._held.append(delta.text)
                    return None
                return ModelChunk("text", delta.text)
            case "thinking_delta":
                pieces.append(delta.thinking)
                return ModelChunk("thinking", delta.thinking)
            case "input_json_delta":
                pieces.append(delta.partial_json)
                if self._is_answer(block) and not self._answer:
                    return ModelChunk("text", delta.partial_json)
            case "signature_delta":
                block["signature"] = delta.signature
            case _:
                pass  # citations: they belong to texts, which are sent back without
        return None

    def _block(self, block: Block, streamed: str | None) -> ModelChunk | None:
        """A whole block; `streamed` are its pieces, where it came in pieces."""
        if streamed is not None:
            self._said.append(streamed)
        match block["type"]:
            case "text":
                if not self._answer:
                    self._text.append(block["text"] if streamed is None else streamed)
                    self._blocks.append(len(self._text[-1]))
            case "tool_use":
                text = streamed or json.dumps(block["input"])
                if self._is_answer(block):
                    return self._output(text, bool(streamed))
                self._called = True
                self._ids.add(id_ := own_id(block.get("id"), self._ids))
                self._blocks.append(id_)
                return ModelChunk("tool_call", tool_call=ToolCall(id_, block["name"], arguments(text)))
            case "thinking":
                self._blocks.append(block if streamed is None else block | {"thinking": streamed})
            case "server_tool_use":
                self._blocks.append(block if streamed is None else block | {"input": arguments(streamed)})
            case _:
                self._blocks.append(block)
        return None

    def _is_answer(self, call: Block) -> bool:
        """Where none was asked for by a tool, that is one that the model made up, like any other."""
        return self._by_tool and call["name"] == OUTPUT_TOOL

    def _output(self, text: str, told: bool) -> ModelChunk | None:
        if self._answer:
            return None  # a second one: the first is the answer
        self._answer = text
        self._blocks = [*(block for block in self._blocks if not isinstance(block, int)), len(text)]
        return None if told else ModelChunk("text", text)

    def _finish_reason(self) -> str:
        end = end_of(self._stop_reason, self._why, called=self._called, answered=bool(self._answer))
        if isinstance(end, NoAnswer):
            unknown = self.charged is None or self._stop_reason is None
            raise self._error(end.error, end.why, may_be_charged=unknown)
        return end

    def _error(self, made: type[Failed], said: str, *, may_be_charged: bool = False) -> Failed:
        return made(
            f"anthropic: model {self._model!r} {said}",
            provider="anthropic",
            request_id=self.request_id,
            usage=self.charged,
            may_be_charged=may_be_charged,
        )


def _plain(block: Any) -> Block:
    """A block as it is sent back. Nearly all are texts, and of those nothing else is."""
    return {"type": "text", "text": block.text} if block.type == "text" else block.to_dict()
