"""What a server knows of what OpenAI's own know: many speak their protocol, and few all of it."""

from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

MaxTokensField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
Summary: TypeAlias = Literal["auto", "concise", "detailed"]

_OWN = ("openai.com", "openai.azure.com")


class Dialect(Struct, frozen=True, kw_only=True):
    """How one model of one server is spoken to.

    Attributes:
        efforts: That it takes; None when nobody knows: it is asked for as it is.
        max_tokens_field: What the chat API calls the longest answer.
        stream_usage: Streams may be asked to tell what they used.
        reasoning_summary: The responses API is asked to tell what the model thought.
    """

    model: str
    efforts: tuple[str, ...] | None
    max_tokens_field: MaxTokensField
    stream_usage: bool = True
    reasoning_summary: Summary | None = None


def is_own(base_url: str) -> bool:
    """Whether a server is OpenAI's own, or Azure's with OpenAI's models."""
    host = urlsplit(base_url).hostname or ""
    return any(host == own or host.endswith(f".{own}") for own in _OWN)
