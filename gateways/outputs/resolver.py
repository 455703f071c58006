"""What `output_schema=` may be: a type, or a JSON Schema."""

import functools
import sys
import typing
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ...actors.output import Output
from ...events.errors import ConfigError
from .json_schema import JsonSchemaOutput
from .msgspec_types import MsgspecOutput
from .pydantic_types import PydanticOutput


def resolve_output(wanted: Any) -> Output:
    """What an answer has to be.

    Raises:
        ConfigError: It is neither, or a model cannot be told of it.
    """
    if isinstance(wanted, Mapping):
        return JsonSchemaOutput.of(cast("Mapping[str, Any]", wanted))
    if isinstance(wanted, str) or (not isinstance(wanted, type) and _is_plain_object(wanted)):
        raise ConfigError(f"output_schema={wanted!r} is no type; pass a class, a union, list[…] … or a JSON Schema")
    return _of_class(wanted) if isinstance(wanted, type) else _made(wanted)


def _made(wanted: Any) -> Output:
    return MsgspecOutput(wanted) if _needs_msgspec(wanted) else PydanticOutput(wanted)


# Of classes alone: `A | B` and `B | A` are equal, and not the same.
_of_class = functools.lru_cache(256)(_made)


def _needs_msgspec(wanted: Any) -> bool:
    """Whether something in it is unknown to pydantic: msgspec's structs; TypedDicts of `typing` before Python 3.12."""
    if sys.version_info < (3, 12) and typing.is_typeddict(wanted):
        return True
    made_of: Any = typing.get_origin(wanted) or wanted  # a generic struct, Page[int], is made of Page
    if isinstance(made_of, type) and issubclass(made_of, msgspec.Struct):
        return True
    return any(_needs_msgspec(part) for part in typing.get_args(wanted))


def _is_plain_object(wanted: Any) -> bool:
    """Whether it is an object of a class, a model say, and none of the things that the typing module makes."""
    named = any(hasattr(wanted, made_by) for made_by in ("__supertype__", "__value__"))  # NewType, type X = …
    return typing.get_origin(wanted) is None and not named and wanted is not Any
