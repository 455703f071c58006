"""JSON Schemas as providers take them: with an object at the root, and a name of plain letters."""

import re
import types
import typing
from typing import Any, NamedTuple, cast

import msgspec

_DEFS = "#/$defs/"
_NAME_LENGTH = 64


class Shape(NamedTuple):
    """A schema with an object at its root; `wrapped` when that object was put around it, with the key `value`."""

    schema: dict[str, Any]
    wrapped: bool


def rooted(schema: dict[str, Any]) -> Shape:
    """`schema` with an object at its root."""
    schema = _without_reference(schema)
    if schema.get("type") == "object" and not schema.keys() & {"anyOf", "oneOf", "allOf"}:
        return Shape(schema, False)
    schema = dict(schema)
    defs = schema.pop("$defs", None)
    around = {"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": False}
    return Shape(around | ({"$defs": defs} if defs else {}), True)


def _without_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Put what the root refers to in its place. Definitions that nothing refers to any more are left out."""
    reference, defs = schema.get("$ref"), schema.get("$defs")
    if not isinstance(reference, str) or not reference.startswith(_DEFS) or not isinstance(defs, dict):
        return schema
    known = cast("dict[str, Any]", defs)
    name = reference.removeprefix(_DEFS)
    root = {**known[name], **{key: value for key, value in schema.items() if key not in ("$ref", "$defs")}}
    used = msgspec.json.encode([root, {key: value for key, value in known.items() if key != name}]).decode()
    kept = {key: value for key, value in known.items() if key != name or f'"{reference}"' in used}
    return root | ({"$defs": kept} if kept else {})


def name_of(wanted: Any) -> str:
    """A name for a type, as providers take it."""
    members = typing.get_args(wanted)
    if typing.get_origin(wanted) is typing.Annotated:
        return name_of(members[0])
    if isinstance(wanted, type) and not members:
        name = wanted.__name__
    elif members and all(isinstance(member, type) for member in members):
        origin: Any = typing.get_origin(wanted)
        joined = "_or_" if is_union(wanted) else "_"
        name = joined.join(member.__name__ for member in members)
        name = name if is_union(wanted) else f"{getattr(origin, '__name__', 'answer')}_{name}"
    else:
        name = re.sub(r"[\w.]*\.", "", str(wanted))
    return plain(name)


def plain(name: str) -> str:
    """`name` in letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:_NAME_LENGTH] or "answer"


def is_union(wanted: Any) -> bool:
    """Whether it is `A | B`."""
    return typing.get_origin(wanted) in (typing.Union, types.UnionType)
