"""The JSON form of what tools, programs and strategies hand over: what is recorded is what a replay reads.

A value without such a form is refused before it reaches the journal, and the refusal says where in the value it is.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any, cast

import msgspec

from ..events.errors import TreadleError


class Unrecordable(TreadleError):
    """A value that has no JSON form; the message names the place in it."""


def recordable(value: Any, what: str = "a result") -> Any:
    """`value` as JSON types, exactly as a replay will read it and as it is shown to the model.

    Structs, dataclasses, dates, enums, decimals, sets and objects with a `model_dump` have a JSON form.

    Args:
        what: Names the value in the error.
    Raises:
        Unrecordable: `value` has none; NaN and infinity have none either.
    """
    if value is None or type(value) is bool or (type(value) is str and value.isascii()):
        return value
    try:
        encoded = _encode(value)
        # A float that JSON does not have is encoded as null: only a null can hide one.
        if encoded.find(b"null") >= 0:
            check_finite(value)
        return _decode(encoded)
    except (TypeError, ValueError, RecursionError) as exc:
        place = "" if isinstance(exc, NotFinite) else _without_form(value)
        at = f"{place}: " if place else ""
        raise Unrecordable(f"{what} of type {type(value).__name__} has no JSON form: {at}{exc}") from exc


class NotFinite(ValueError):
    """A float that JSON does not have, and where it is."""


def check_finite(value: Any) -> None:
    """Look for floats that JSON does not have.

    Raises:
        NotFinite: There is one.
    """
    for place, leaf in _leaves(msgspec.to_builtins(value, str_keys=True, enc_hook=_dump)):
        if type(leaf) is float and not isfinite(leaf):
            raise NotFinite(f"{place or 'it'} is {leaf}; JSON has neither NaN nor infinity, use None or a text")


def _without_form(value: Any) -> str:
    """Where in `value` the first thing is that cannot be encoded; empty when it is all of it, or a key."""
    for place, leaf in _leaves(value):
        try:
            _encode(leaf)
        except (TypeError, ValueError, RecursionError):
            return place
    return ""


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """What `value` holds, in order, with its place: `['load'][2]`. However deep, and once where it goes in circles."""
    waiting: list[tuple[str, Any]] = [("", value)]
    seen: set[int] = set()
    while waiting:
        place, each = waiting.pop()
        if not isinstance(each, dict | list | tuple):
            yield place, each
        elif (identity := id(cast(Any, each))) not in seen:
            seen.add(identity)
            waiting.extend(reversed([(f"{place}[{key!r}]", item) for key, item in _inside(each)]))


def _inside(container: Any) -> list[tuple[Any, Any]]:
    held: Any = container
    return list(held.items()) if isinstance(container, dict) else list(enumerate(cast("list[Any]", held)))


def _dump(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON")


_encode = msgspec.json.Encoder(enc_hook=_dump).encode
_decode = msgspec.json.Decoder().decode
