"""What a run needs of a language model. Adapters are in `gateways/models/`; any object with these methods will do."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from ..events.errors import TreadleError
from ..events.message import Message, ModelReply, ToolCall, ToolSpec, Usage
from .json_form import check_finite


class ModelChunk(Struct, frozen=True, omit_defaults=True):
    """A piece of an answer while it is made: text, thinking, a whole tool call, or the finish with its usage."""

    kind: Literal["text", "thinking", "tool_call", "finish"]
    text: str = ""
    tool_call: ToolCall | None = None
    finish_reason: str = ""
    usage: Usage | None = None


@runtime_checkable
class Model(Protocol):
    """A language model: messages and a tool catalogue in, chunks out.

    An implementation may also offer `async complete(messages, *, tools, **options) -> ModelReply`; it is used
    when nobody watches the chunks. It may raise anything: the run records the failure and ends as failed.

    It may offer `estimate(messages) -> (input_tokens, output_tokens)`, the most that a call will use: budgets set so
    much aside. Without it they guess, and take `options["max_tokens"]`, or 1,024, for the output.
    """

    @property
    def name(self) -> str: ...

    def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        """One answer. The last chunk is `finish`; without it the answer counts as cut off and the call as failed."""
        ...


class ModelCallFailed(TreadleError):
    """The model raised, hung, or sent half an answer. The failure is recorded; `kind` says which."""

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind


async def collect(chunks: AsyncIterator[ModelChunk], model: str) -> ModelReply:
    """The whole reply of a stream of chunks.

    Raises:
        ModelCallFailed: The stream ended without its `finish` chunk: half an answer is no answer. Or it has no JSON.
    """
    text: list[str] = []
    calls: list[ToolCall] = []
    finish: ModelChunk | None = None
    async for chunk in chunks:
        if chunk.kind == "text":
            text.append(chunk.text)
        elif chunk.kind == "tool_call" and chunk.tool_call is not None:
            calls.append(chunk.tool_call)
        elif chunk.kind == "finish":
            finish = chunk
    if finish is None:
        raise ModelCallFailed(f"model {model!r} stopped in the middle of its answer", "truncated")
    reply = ModelReply("".join(text), tuple(calls), finish.usage or Usage(), finish.finish_reason or "stop")
    return _recordable(reply, model)


def text_of(reply: Any, model: str) -> ModelReply:
    """What a `complete` method returned, checked.

    Raises:
        ModelCallFailed: It is no `ModelReply`, or has no JSON.
    """
    if not isinstance(reply, ModelReply):
        raise ModelCallFailed(
            f"model {model!r} returned {type(reply).__name__} from complete(); a ModelReply is expected", "bad_reply"
        )
    return _recordable(reply, model)


def _recordable(reply: ModelReply, model: str) -> ModelReply:
    """`reply` as a replay will read it. What the journal cannot take would take the run's other events with it."""
    try:
        encoded = _encode(reply)
        if encoded.find(b"null") >= 0:  # see `recordable`
            for call in reply.tool_calls:
                check_finite(call.args)
        return _decode(encoded)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise ModelCallFailed(f"model {model!r} answered what has no JSON form: {exc}", "bad_reply") from exc


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ModelReply).decode
