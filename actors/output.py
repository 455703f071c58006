"""What a run's answer has to be: a JSON Schema for the model, a type for the program, and the words between them.

A model that knows how (`native_output`) is handed the schema with the call; another one finds it in its system
message. Either way the answer is validated (see `answer.py`). Types are made into outputs in `gateways/outputs/`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct, structs

from ..events.errors import ConfigError, TreadleError
from ..events.message import Message, OutputFormat


class DoesNotFit(TreadleError):
    """An answer that is not what was asked for; the message tells the model what does not fit."""


class Output(Protocol):
    """What an answer has to be.

    Attributes:
        name: Of letters, digits, `_` and `-`, as providers want it.
        schema: JSON Schema; its root is an object, because providers take no other.
        wrapped: What is asked for is no object: it stands in an object under the key `value`.
    """

    @property
    def name(self) -> str: ...
    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def wrapped(self) -> bool: ...

    def parse(self, text: str) -> Any:
        """The answer as the program wants it.

        Raises:
            DoesNotFit: It is something else.
        """
        ...


class Given(NamedTuple):
    """What an answer holds: the value as JSON types, and the JSON text of it."""

    value: Any
    json: bytes


def given_in(text: str, wrapped: bool) -> Given:
    """What an answer holds. A fence of Markdown around it is dropped, and the wrapper if there is to be one.

    An object whose only key is `value` is the wrapper; anything else is the answer itself, without its wrapper.

    Raises:
        DoesNotFit: It has no JSON.
    """
    value, json = _decoded(text)
    if wrapped and isinstance(value, dict) and value.keys() == {"value"}:
        return Given(value["value"], bytes(_unwrap(json).value))
    return Given(value, json)


def _decoded(text: str) -> Given:
    try:
        return Given(_decode(text), text.encode())
    except (msgspec.MsgspecError, RecursionError, ValueError) as exc:
        fenced = _FENCED.search(text)
        if fenced is None:
            raise DoesNotFit(f"it is no JSON: {exc}" if text.strip() else "it is empty") from exc
    try:
        return Given(_decode(fenced[1]), fenced[1].encode())
    except (msgspec.MsgspecError, RecursionError, ValueError) as exc:
        raise DoesNotFit(f"what stands between the fences is no JSON: {exc}") from exc


class _Wrapper(Struct):
    value: Raw


_FENCED = re.compile(r"```\w*[ \t]*\n(.*)```", re.DOTALL)
_decode = msgspec.json.Decoder().decode
_unwrap = msgspec.json.Decoder(_Wrapper).decode


# --- what is recorded ------------------------------------------------------------------------------------------------


def is_of(output: Output, recorded: OutputFormat) -> bool:
    """Whether `output` is what was recorded."""
    return (output.name, output.schema, output.wrapped) == (recorded.name, recorded.schema, recorded.wrapped)


def output_of(recorded: OutputFormat, known: Iterable[Output | None], made: "OutputOf | None") -> Output:
    """What was recorded: the one of `known` that it was made of, else made anew from what was recorded alone.

    Raises:
        ConfigError: It cannot be.
    """
    for output in known:
        if output is not None and is_of(output, recorded):
            return output
    if made is None:
        raise ConfigError(f"nothing here can validate answers by the JSON Schema {recorded.name!r} alone")
    return made(recorded)


OutputOf = Callable[[OutputFormat], Output]
"""Makes an output of what was recorded of one; a ConfigError when nothing here can validate by a schema alone."""


# --- what the model is told ------------------------------------------------------------------------------------------


def directive(asked: OutputFormat) -> str:
    """What a model reads that cannot be handed the schema otherwise."""
    return (
        "STRUCTURED OUTPUT REQUIRED\n"
        f"Your final answer is read by a program. Write it as one JSON value that fits the JSON Schema {asked.name!r} "
        "below, and nothing else: no explanation before or after it, no Markdown.\n"
        f"{_text(asked.schema)}"
    )


def directed(messages: Sequence[Message], asked: OutputFormat) -> list[Message]:
    """`messages` with the directive in the system message, which was made for a model that is handed the schema."""
    if messages and messages[0].role == "system":
        first, *rest = messages
        return [structs.replace(first, content=f"{first.content}\n\n{directive(asked)}"), *rest]
    return [Message("system", directive(asked)), *messages]


def correction(why: str, asked: OutputFormat) -> str:
    """What a model is told whose answer does not fit."""
    told = f"Your answer cannot be used: {why}\nAnswer again, with nothing but one JSON value that fits the schema"
    return f"{told}:\n{_text(asked.schema)}" if asked.native else f"{told} {asked.name!r}."


def _text(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()
