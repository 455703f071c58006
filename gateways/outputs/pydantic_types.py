"""Answers that pydantic validates: its models, dataclasses, TypedDicts, plain types, and unions of them."""

import typing
import warnings
from types import NoneType
from typing import Annotated, Any, cast

from ...actors.output import DoesNotFit, Given
from ...events.errors import ConfigError
from .reading import fitting
from .shape import is_union, name_of, rooted

_TOLD = 20  # how many faults of one answer its model is told of


class PydanticOutput:
    """A type that pydantic knows. The members of a union are tried in the order in which they are declared.

    Raises:
        ConfigError: It is no type, or has no JSON Schema.
    """

    def __init__(self, wanted: Any) -> None:
        from pydantic import PydanticUserError, TypeAdapter
        from pydantic_core import SchemaError

        self.name = name_of(wanted)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(_in_order(wanted))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a default without a JSON form is not shown to the model
                schema = self._adapter.json_schema()
        except (PydanticUserError, SchemaError, NameError, TypeError) as exc:
            raise ConfigError(f"output_schema={wanted!r} cannot be described to a model: {exc}") from exc
        self.schema, self.wrapped = rooted(schema)

    def __repr__(self) -> str:
        return f"PydanticOutput({self.name})"

    def parse(self, text: str) -> Any:
        return fitting(text, self.wrapped, self._parse)

    def _parse(self, given: Given) -> Any:
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(given.json)
        except ValidationError as exc:
            raise DoesNotFit(_told(exc.errors(include_url=False, include_context=False))) from exc


def _in_order(wanted: Any) -> Any:
    """`wanted`; a union with its members tried as they are declared, and not the one that seems to fit best."""
    from pydantic import Field

    members = [member for member in typing.get_args(wanted) if member is not NoneType] if is_union(wanted) else []
    if len(members) < 2:
        return wanted
    union: Any = members[0]
    for member in members[1:]:
        union = union | member
    ordered: Any = Annotated[union, Field(union_mode="left_to_right")]
    return ordered if len(members) == len(typing.get_args(wanted)) else ordered | None


def _told(faults: list[Any]) -> str:
    """The faults, each with its place."""
    said: list[str] = []
    for fault in faults[:_TOLD]:
        place = ".".join(map(str, cast("tuple[int | str, ...]", fault["loc"])))
        said.append(f"{place}: {fault['msg']}" if place else fault["msg"])
    more = len(faults) - _TOLD
    return "; ".join(said) + (f"; and {more} more faults" if more > 0 else "")
