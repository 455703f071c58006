"""What programs pass in, looked at where they pass it: nothing of a call that does not fit is recorded.

The journal takes any struct that has a JSON form, also one whose fields are not of the types that a reading asks for;
such a row could never be read again. So what comes from a program without types goes through here first.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ..actors.context import RunContext
from ..actors.json_form import Unrecordable, recordable
from ..events.errors import ConfigError, Undecodable
from ..events.signal import RuntimeSignal, check_signal

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


def check_mapping(name: str, given: object) -> None:
    """Refuse what has no keys.

    Raises:
        ConfigError: Names the argument.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} must be a mapping, not {type(given).__name__}")


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
        check_text(name, getattr(context, name))
    if context.metadata:
        check_mapping("metadata", context.metadata)
        json_form("metadata", dict(context.metadata))
    for name, given in context.shown.items():
        json_form(name, given)


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
