"""Answers that are validated by a JSON Schema alone, with the package `jsonschema`; they stay JSON values."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from ...actors.output import DoesNotFit, Given
from ...events.errors import ConfigError
from ...events.message import OutputFormat
from .reading import fitting
from .shape import plain, rooted

_TOLD = 20  # how many faults of one answer its model is told of


class JsonSchemaOutput:
    """A JSON Schema, draft 2020-12 unless it says otherwise.

    Raises:
        ConfigError: It is no schema, refers to another document, or `jsonschema` is not installed.
    """

    def __init__(self, name: str, schema: dict[str, Any], wrapped: bool) -> None:
        self.name, self.schema, self.wrapped = name, schema, wrapped
        try:
            jsonschema: Any = importlib.import_module("jsonschema")
            referencing: Any = importlib.import_module("referencing")
        except ModuleNotFoundError as exc:
            raise ConfigError(
                f"answers by the JSON Schema {name!r} are validated with a package that is not installed: "
                'pip install "treadle[jsonschema]"; or pass the type itself as output_schema='
            ) from exc
        validator: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            validator.check_schema(schema)
        except jsonschema.SchemaError as exc:
            raise ConfigError(f"output_schema {name!r} is no JSON Schema: {exc.message}") from exc
        _check_references(name, schema)
        # A registry of its own, and empty: the default one would fetch what a schema refers to.
        self._validator: Any = validator(schema, registry=referencing.Registry())

    def __repr__(self) -> str:
        return f"JsonSchemaOutput({self.name})"

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "JsonSchemaOutput":
        """What a program gives as a mapping; `title` names it."""
        title: Any = schema.get("title")
        shape = rooted(dict(schema))
        return cls(plain(title) if isinstance(title, str) else "answer", shape.schema, shape.wrapped)

    @classmethod
    def recorded(cls, recorded: OutputFormat) -> "JsonSchemaOutput":
        """What a run was asked for, of a type that is not known here."""
        return cls(recorded.name, recorded.schema, recorded.wrapped)

    def parse(self, text: str) -> Any:
        return fitting(text, self.wrapped, self._parse)

    def _parse(self, given: Given) -> Any:
        value = given.value
        faults: list[Any] = list(self._validator.iter_errors({"value": value} if self.wrapped else value))
        if faults:
            said = "; ".join(f"{_place(fault, self.wrapped)}{fault.message}" for fault in faults[:_TOLD])
            more = len(faults) - _TOLD
            raise DoesNotFit(said + (f"; and {more} more faults" if more > 0 else ""))
        return value


def _place(fault: Any, wrapped: bool) -> str:
    path = list(fault.absolute_path)[1 if wrapped else 0 :]
    return f"{'.'.join(map(str, path))}: " if path else ""


def _check_references(name: str, schema: Any) -> None:
    for reference in _references(schema):
        if not reference.startswith(("#/$defs/", "#/definitions/")):
            raise ConfigError(
                f"output_schema {name!r} refers to {reference!r}; a reference leads to #/$defs/… of the same schema"
            )


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        if isinstance(reference := found.get("$ref"), str):
            yield reference
        for below in found.values():
            yield from _references(below)
    elif isinstance(schema, list | tuple):
        for below in cast("Iterable[Any]", schema):
            yield from _references(below)
