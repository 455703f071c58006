"""What a run needs of a language model. Adapters are in `gateways/models/`; any object with these methods will do."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Struct, structs

from ..events.message import Message, ModelReply, ToolCall, ToolSpec, Usage
from .countable import is_countable
from .json_form import check_finite
from .model_errors import BadReply, TruncatedAnswer
from .surrogates import mended


class ModelChunk(Struct, frozen=True, omit_defaults=True):
    """A piece of an answer while it is made: text, thinking, a whole tool call, or the finish with its usage.

    Attributes:
        carried, model, request_id, estimated: With the finish, as in `ModelReply`.
    """

    kind: Literal["text", "thinking", "tool_call", "finish"]
    text: str = ""
    tool_call: ToolCall | None = None
    finish_reason: str = ""
    usage: Usage | None = None
    carried: dict[str, Any] = {}
    model: str = ""
    request_id: str = ""
    estimated: bool = False


@runtime_checkable
class Model(Protocol):
    """A language model: messages and a tool catalogue in, chunks out.

    An implementation may also offer `async complete(messages, *, tools, **options) -> ModelReply`; it is used
    when nobody watches the chunks. It may raise anything: the run records the failure and ends as failed; what is a
    `TransientModelError` is tried again as the agent's `RetryPolicy` says.

    It may also have:

    * `estimate(messages) -> (input_tokens, output_tokens)`: the most that a call will use; budgets set so much aside.
      Without it they guess, and take `options["max_tokens"]`, or 1,024, for the output.
    * `longest_answer(options) -> int | None`: the most tokens that an answer may have, for that guess.
    * `cost_usd(usage) -> float | None`: what that costs; None when it is not known.
    * `billed = True`: calls cost money. The intent of each is on disk before it is sent, so that one whose answer was
      lost with the process is charged.
    * `endpoint`: names what fails together, for the circuit breaker; without it, `name`.
    * `alternatives`: the models to be asked in its place, one after the other, after an error that
      `falls_on(error)`; `primary`: the model to be asked first, when that is not itself (`FallbackModel`).
    * `retry`: the `RetryPolicy` for its calls, where the agent has none.
    * `native_output = True`: takes `output_schema=` as an option and keeps to it.
    * `async prepare()`: what is done before its first call and takes no time of it (`model_timeout_s`): imports.
    * `async aclose()`: closes the connections of this event loop; called when the system closes.
    """

    @property
    def name(self) -> str: ...

    def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        """One answer. The last chunk is `finish`; without it the answer counts as cut off and the call as failed.

        Chunks may be cut anywhere, within a character of two surrogates too.
        """
        ...


async def collect(chunks: AsyncIterator[ModelChunk], model: str) -> ModelReply:
    """The whole reply of a stream of chunks.

    Raises:
        TruncatedAnswer: The stream ended without its `finish` chunk: half an answer is no answer.
        BadReply: It has no JSON, or its usage are no counts.
    """
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCall] = []
    finish: ModelChunk | None = None
    async for chunk in chunks:
        if chunk.kind == "text":
            text.append(chunk.text)
        elif chunk.kind == "thinking":
            thinking.append(chunk.text)
        elif chunk.kind == "tool_call" and chunk.tool_call is not None:
            calls.append(chunk.tool_call)
        elif chunk.kind == "finish":
            finish = chunk
    if finish is None:
        raise TruncatedAnswer(f"model {model!r} stopped in the middle of its answer", may_be_charged=True)
    reply = ModelReply(
        "".join(text),
        tuple(calls),
        finish.usage or Usage(),
        finish.finish_reason or "stop",
        "".join(thinking),
        finish.carried,
        finish.model,
        finish.request_id,
        finish.estimated,
    )
    return _recordable(reply, model)


def text_of(reply: Any, model: str) -> ModelReply:
    """What a `complete` method returned, checked.

    Raises:
        BadReply: It is no `ModelReply`, has no JSON, or its usage are no counts.
    """
    if not isinstance(reply, ModelReply):
        raise BadReply(f"model {model!r} returned {type(reply).__name__} from complete(); a ModelReply is expected")
    return _recordable(reply, model)


def _recordable(reply: ModelReply, model: str) -> ModelReply:
    """`reply` as a replay will read it. What the journal cannot take would take the run's other events with it."""
    if not is_countable(reply.usage):
        why = f"model {model!r} answered with a usage that is none: {reply.usage!r}"
        raise BadReply(why, may_be_charged=True)
    try:
        try:
            encoded = _encode(reply)
        except UnicodeEncodeError:
            # Half a character in what it says. One in a call's arguments stays an error: they would not be the model's.
            whole = structs.replace(reply, text=mended(reply.text), thinking=mended(reply.thinking))
            encoded = _encode(whole)
        if encoded.find(b"null") >= 0:  # see `recordable`
            for call in reply.tool_calls:
                check_finite(call.args)
        return _decode(encoded)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise BadReply(f"model {model!r} answered what has no JSON form: {exc}", usage=reply.usage) from exc


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ModelReply).decode
