"""What models, tools and runs say to each other: messages, calls, replies, usage, tool specifications."""

from hashlib import sha256
from typing import Any, Literal

from msgspec import Raw, Struct

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Struct, frozen=True, gc=False):
    """A tool call as a model asked for it.

    Attributes:
        id: The model's own id of the call, which pairs it with its result in the messages.
        args: The arguments; when the model sent no JSON object, `{"_invalid": <text>}`.
    """

    id: str
    tool: str
    args: dict[str, Any] = {}


class Image(Struct, frozen=True, omit_defaults=True, gc=False):
    """A picture in a message: its bytes, or where the provider finds it.

    Attributes:
        media_type: `image/png`, `image/jpeg`, `image/gif` or `image/webp`; empty with a `url`.
        data: The bytes in base64.
        url: An address that the provider can reach.
    """

    media_type: str = ""
    data: str = ""
    url: str = ""

    @property
    def digest(self) -> str:
        """Stands for it where it is not to be repeated."""
        return sha256(f"{self.media_type}\n{self.url}\n{self.data}".encode()).hexdigest()[:16]


class Message(Struct, frozen=True, omit_defaults=True, gc=False):
    """One message of a conversation, as models see it.

    Attributes:
        carried: What the provider wants back with its own answer (see `ModelReply`).
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    images: tuple[Image, ...] = ()
    carried: dict[str, Any] = {}


class Usage(Struct, frozen=True, omit_defaults=True, gc=False):
    """What one or more model calls used.

    Attributes:
        input_tokens: Fresh input; cached input is counted apart.
        cost_usd: In US dollars.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cached_input_tokens + self.cache_write_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
        )


class ModelReply(Struct, frozen=True, omit_defaults=True):
    """A model's whole answer to one call.

    Attributes:
        finish_reason: `stop`, `tool_calls`, or `length` when it was cut off at the most tokens that it may have.
        thinking: What it thought, as far as the provider shows it.
        carried: What the provider wants back in the next call, by provider: signed thinking, encrypted reasoning.
            Others ignore it.
        model: The model that answered, by the provider's own name.
        request_id: The provider's id of the request.
        estimated: The provider did not tell what it charges; `usage` is a guess.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str = "stop"
    thinking: str = ""
    carried: dict[str, Any] = {}
    model: str = ""
    request_id: str = ""
    estimated: bool = False

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation that goes on."""
        return Message("assistant", self.text, self.tool_calls, carried=self.carried)


class OutputFormat(Struct, frozen=True, omit_defaults=True):
    """What an answer has to be, as it is recorded and as models are handed it.

    Attributes:
        schema: JSON Schema; its root is an object.
        wrapped: The answer proper stands in that object under `value`.
        native: The model is handed the schema with its calls; else the schema stands in the system message.
        retries: How often an answer that does not fit may be corrected.
    """

    name: str
    schema: dict[str, Any]
    wrapped: bool = False
    native: bool = False
    retries: int = 1


class ToolSpec(Struct, frozen=True, omit_defaults=True):
    """A tool as models and histories know it.

    Attributes:
        parameters: JSON Schema of the arguments, an object.
        destructive: Cannot be undone: asks first, and is never repeated on a guess.
        read_only: Changes nothing: may be repeated freely.
        idempotent: Doing it twice with one call id does it once: repeated with the same call id.
        concurrency_safe: May run beside the other calls of its turn; a destructive one runs alone anyway.
        ends_turn: Its result is the run's answer.
        timeout_s: Seconds until its outcome is given up as unknown; None waits for ever.
    """

    name: str
    description: str = ""
    parameters: Raw = Raw(b'{"type":"object","properties":{}}')
    destructive: bool = False
    read_only: bool = False
    idempotent: bool = False
    concurrency_safe: bool = True
    requires_permission: bool = False
    ends_turn: bool = False
    timeout_s: float | None = 300.0

    @property
    def repeatable(self) -> bool:
        """May be run again with the same call id when nobody knows whether it ran."""
        return self.read_only or self.idempotent
