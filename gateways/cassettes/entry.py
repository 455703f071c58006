"""One model call as a cassette has it: what was sent, who was asked, and the answer or the error."""

import hashlib
from collections.abc import Iterator, Sequence

from msgspec import Struct, structs

from ...actors.model import ModelChunk
from ...actors.model_errors import ModelError, model_error
from ...actors.steps import digest_of
from ...actors.tool import say
from ...events.message import Image, Message, ModelReply, Usage
from ...events.redaction import redacted


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why a call came to nothing. How long the provider asked to wait is left out: nobody waits for a cassette.

    Attributes:
        said: What it had said before.
    """

    kind: str
    error: str
    provider: str = ""
    status: int = 0
    request_id: str = ""
    usage: Usage | None = None
    said: str = ""

    @classmethod
    def of(cls, exc: Exception, said: str = "") -> "Failure":
        if not isinstance(exc, ModelError):
            return cls(type(exc).__name__, say(exc), said=said)
        return cls(exc.kind, str(exc), exc.provider, exc.status, exc.request_id, exc.usage, said)

    def raised(self) -> ModelError:
        """The error, made again."""
        error = model_error(
            self.error, self.kind, status=self.status, request_id=self.request_id, provider=self.provider
        )
        error.usage = self.usage
        return error


class Entry(Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        digest: Of `messages`, as they were sent (`digest_of`).
        model: The model's name.
        messages: What was sent, with pictures cut down to their digests; empty when nobody knows any more.
    """

    digest: str
    model: str
    messages: tuple[Message, ...] = ()
    answer: ModelReply | Failure

    @classmethod
    def of(cls, model: str, messages: Sequence[Message], answer: ModelReply | Failure) -> "Entry":
        """The call as it is kept: without keys and passwords, whoever has said them."""
        kept = tuple(map(redacted, pictured(messages)))
        return cls(digest=digest_of(messages), model=model, messages=kept, answer=redacted(answer))

    @property
    def conversation(self) -> tuple[Message, ...]:
        """What a call sends that goes on from here, up to the tools' results."""
        return (*self.messages, self.answer.message) if isinstance(self.answer, ModelReply) else self.messages

    def reply(self) -> ModelReply:
        """The answer.

        Raises:
            ModelError: There was none.
        """
        if isinstance(self.answer, Failure):
            raise self.answer.raised()
        return self.answer

    def chunks(self) -> Iterator[ModelChunk]:
        """The answer piece by piece, word by word. Raises what `reply` does, after what had been said."""
        answer = self.answer
        if isinstance(answer, Failure):
            yield from _words(answer.said)
            raise answer.raised()
        if answer.thinking:
            yield ModelChunk("thinking", answer.thinking)
        yield from _words(answer.text)
        for call in answer.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk(
            "finish",
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            carried=answer.carried,
            model=answer.model,
            request_id=answer.request_id,
            estimated=answer.estimated,
        )


def pictured(messages: Sequence[Message]) -> tuple[Message, ...]:
    """`messages` without the bytes of their pictures, which nobody reads in a file or in an error."""
    return tuple(
        structs.replace(message, images=tuple(map(_named, message.images))) if message.images else message
        for message in messages
    )


def _named(image: Image) -> Image:
    if not image.data:
        return image
    return structs.replace(image, data=f"sha256:{hashlib.sha256(image.data.encode()).hexdigest()[:16]}")


def _words(text: str) -> Iterator[ModelChunk]:
    for index, word in enumerate(text.split(" ") if text else []):
        yield ModelChunk("text", word if index == 0 else f" {word}")
