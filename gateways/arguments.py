"""What programs pass in, looked at where they pass it: nothing of a call that does not fit is recorded.

The journal takes any struct that has a JSON form, also one whose fields are not of the types that a reading asks for;
such a row could never be read again. So what comes from a program without types goes through here first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import Struct

from ..actors.context import RunContext
from ..actors.json_form import Unrecordable, recordable
from ..actors.manner import PLAIN, Manner
from ..events.budget import Limits
from ..events.errors import ConfigError, Undecodable
from ..events.redaction import redact
from ..events.signal import RuntimeSignal, check_signal
from .outputs import resolve_output

S = TypeVar("S", bound=Struct)

_encode = msgspec.json.Encoder().encode


def check_text(name: str, text: object) -> None:
    """Refuse what is no text, and what no file could hold: half a surrogate pair, say.

    Raises:
        ConfigError: Names the argument.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{name} must be a str, not {type(text).__name__}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise ConfigError(f"the {name} is no text that can be written down: {exc}") from exc


def check_id(name: str, given: str) -> None:
    """Refuse what is no text, and what looks like a secret: an id stands in subjects and streams as it is.

    Raises:
        ConfigError: Names the argument, and not what it is.
    """
    check_text(name, given)
    if given and redact(given) != given:
        raise ConfigError(f"the {name} holds what looks like a secret, and ids are shown to everybody; use another")


def check_seconds(name: str, given: object) -> float | None:
    """A limit in seconds; None for none.

    Raises:
        ConfigError: It is no number, or lets nothing happen.
    """
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given < math.inf:
        raise ConfigError(f"{name}={given!r}; it must be a number of seconds above 0, or None for no limit")
    return given


def check_mapping(name: str, given: object) -> None:
    """Refuse what has no keys.

    Raises:
        ConfigError: Names the argument.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} must be a mapping, not {type(given).__name__}")


def texts_of(name: str, given: object) -> tuple[str, ...]:
    """Several texts; a single one is none.

    Raises:
        ConfigError: Names the argument.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(f"{name} must be several texts, as a list, not {type(given).__name__}")
    texts: tuple[Any, ...] = tuple(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for text in texts:
        check_text(name, text)
    return texts


def check_positive(name: str, given: object) -> None:
    """Refuse what is no whole number from 1 on.

    Raises:
        ConfigError: Names the argument.
    """
    if type(given) is not int or given < 1:
        raise ConfigError(f"{name}={given!r}; it must be a whole number, 1 or more")


def check_flag(name: str, given: object) -> None:
    """Refuse what is neither True nor False, and would be taken for one of them without a word.

    Raises:
        ConfigError: Names the argument.
    """
    if not isinstance(given, bool):
        raise ConfigError(f"{name}={given!r}; it is True or False")


def check_limits(name: str, given: object) -> None:
    """Refuse a budget that caps nothing.

    Raises:
        ConfigError: Names the argument.
    """
    if given is not None and not isinstance(given, Limits):
        raise ConfigError(f"{name}={given!r}; pass Limits(max_tokens=…, max_cost_usd=…), or None for no cap")


def check_runtime(given: object) -> None:
    """Refuse what is no journal's name.

    Raises:
        ConfigError: Says what names one.
    """
    if given is not None and not isinstance(given, str):
        raise ConfigError(f"runtime={given!r} names no journal; use 'memory', 'sqlite:./runs.db' or a URL")


def check_prompt(prompt: object) -> None:
    """Refuse a prompt that says nothing, or that is no text: there is nothing that a run of it could do.

    Raises:
        ConfigError: It cannot be run.
    """
    check_text("prompt", prompt)
    if not str(prompt).strip():
        raise ConfigError("the prompt is empty; say what is to be done")


def check_context(context: RunContext) -> None:
    """Refuse a context that cannot be recorded with its run.

    Raises:
        ConfigError: Names the part, and the key in it.
    """
    for name in ("user_id", "session_id", "run_id"):
        check_id(name, getattr(context, name))
    if context.metadata:
        check_mapping("metadata", context.metadata)
        json_form("metadata", dict(context.metadata))
    for name, given in context.shown.items():
        json_form(name, given)


class HowToAnswer(TypedDict, total=False):
    """The arguments that say how an answer is wanted. See `Agent` for what they mean."""

    output_schema: Any
    output_validation_retries: int | None
    response_tone: str | None


def manner_of(
    output_schema: Any = None, output_validation_retries: int | None = None, response_tone: str | None = None
) -> Manner:
    """How an answer is wanted; None where nothing is given.

    Raises:
        ConfigError: The type cannot be described to a model, or an argument is not what it should be.
    """
    if output_schema is None and output_validation_retries is None and response_tone is None:
        return PLAIN
    retries = output_validation_retries
    if retries is not None and (type(retries) is not int or retries < 0):
        raise ConfigError(f"output_validation_retries={retries!r}; it must be a whole number, 0 or more")
    if response_tone is not None:
        check_text("response_tone", response_tone)
    return Manner(None if output_schema is None else resolve_output(output_schema), retries, response_tone)


def json_form(name: str, given: Any) -> Any:
    """`given` as JSON types.

    Raises:
        ConfigError: It has no such form.
    """
    try:
        return recordable(given, name)
    except Unrecordable as exc:
        raise ConfigError(str(exc)) from exc


def well_formed(given: S, call: str) -> S:
    """`given`, as it will be read from the journal.

    Args:
        call: Names what the program calls in the error.
    Raises:
        ConfigError: A field is not of its type; names it.
    """
    try:
        return msgspec.json.decode(_encode(given), type=type(given))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{call}: {_field_without_form(given) or exc}") from exc


def signal_of(signal: RuntimeSignal | str) -> RuntimeSignal:
    """A signal as a session takes it.

    Raises:
        ConfigError: It would be parked if it came over the bus; says why.
    """
    made = RuntimeSignal(summary=signal) if isinstance(signal, str) else signal
    made = msgspec.structs.replace(made, payload=json_form("payload", made.payload))
    made = well_formed(made, "signal")
    try:
        check_signal(made)
    except Undecodable as exc:
        raise ConfigError(str(exc)) from exc
    return made


def _field_without_form(given: Struct) -> str:
    """Says which field cannot be encoded at all; empty when it is its type that does not fit."""
    for field in given.__struct_fields__:
        try:
            _encode(getattr(given, field))
        except (TypeError, ValueError, RecursionError) as exc:
            return f"{field}: {exc}"
    return ""
