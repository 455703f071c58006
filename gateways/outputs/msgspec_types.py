"""Answers that msgspec validates: its structs, what is made of them, and unions of them.

msgspec itself takes a union of structs only if they are tagged; here each member is tried, as they are declared.
"""

import typing
from typing import Any

import msgspec

from ...actors.output import DoesNotFit, Given
from ...events.errors import ConfigError
from .reading import fitting
from .shape import is_union, name_of, rooted


class MsgspecOutput:
    """A type that msgspec knows.

    Raises:
        ConfigError: It has no JSON Schema.
    """

    def __init__(self, wanted: Any) -> None:
        self.name = name_of(wanted)
        members: tuple[Any, ...] = typing.get_args(wanted) if is_union(wanted) else (wanted,)
        try:
            self._decoders = [(name_of(member), msgspec.json.Decoder(member)) for member in members]
            schemas, defs = msgspec.json.schema_components(members, ref_template="#/$defs/{name}")
        except (TypeError, NameError, ValueError) as exc:
            raise ConfigError(f"output_schema={wanted!r} cannot be described to a model: {exc}") from exc
        except KeyError as exc:  # msgspec names each definition after its class, and does not find one of them again
            why = f"there are two structs of one name in it, {exc}; give them names of their own"
            raise ConfigError(f"output_schema={wanted!r} cannot be described to a model: {why}") from exc
        schema: dict[str, Any] = schemas[0] if len(members) == 1 else {"anyOf": list(schemas)}
        self.schema, self.wrapped = rooted(schema | ({"$defs": dict(defs)} if defs else {}))

    def __repr__(self) -> str:
        return f"MsgspecOutput({self.name})"

    def parse(self, text: str) -> Any:
        return fitting(text, self.wrapped, self._parse)

    def _parse(self, given: Given) -> Any:
        faults: list[str] = []
        for name, decoder in self._decoders:
            try:
                return decoder.decode(given.json)
            except msgspec.MsgspecError as exc:
                faults.append(f"as {name}: {exc}" if len(self._decoders) > 1 else str(exc))
        raise DoesNotFit("; ".join(faults))
