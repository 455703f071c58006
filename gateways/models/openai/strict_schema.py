"""JSON Schema as OpenAI's strict mode wants it, under which a model cannot answer anything else.

It knows a part of JSON Schema: every object names all its properties, requires them, and allows no others. What can be
said so without another meaning is said so; else the schema goes as it is, the mode is off, and the answer is checked
here like any other.

Source: https://developers.openai.com/api/docs/guides/structured-outputs, "Supported schemas".
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

Schema: TypeAlias = dict[str, Any]

_KEPT = {
    "type", "enum", "const", "description", "title", "pattern", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
}  # fmt: skip
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_SHAPES = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}
_DEFINITIONS = ("$defs", "definitions")


class _Unsayable(Exception):
    """The strict mode has no words for this schema."""


def strict_schema(schema: Mapping[str, Any]) -> tuple[Schema, bool]:
    """The schema to send, and whether the strict mode is on."""
    try:
        return _root(dict(schema)), True
    except _Unsayable:
        return dict(schema), False


def _root(schema: Schema) -> Schema:
    definitions: Schema = {name: schema.pop(name) for name in _DEFINITIONS if name in schema}
    if "$ref" in schema and set(schema) <= {"$ref", "title", "description"}:
        # A recursive model is a reference to its own definition, and the root must be an object.
        schema = _definition(str(schema["$ref"]), definitions)
    if schema.get("type") != "object":
        raise _Unsayable
    said = _said(schema)
    for name, each in definitions.items():
        said[name] = {key: _said(value) for key, value in each.items()}
    return said


def _definition(reference: str, definitions: Schema) -> Schema:
    _, *path = reference.split("/")
    found: object = definitions
    for part in path:
        found = found.get(part) if _is_object(found) else None
    return dict(found) if _is_object(found) else {}


def _said(schema: object) -> Schema:
    if not _is_object(schema) or not _SHAPES & set(schema):
        raise _Unsayable  # anything at all
    said: Schema = {}
    for word, value in schema.items():
        match word:
            case "$ref":
                said |= {"$ref": value} if len(schema) == 1 else {"anyOf": [{"$ref": value}]}  # it may have no siblings
            case "anyOf":
                said["anyOf"] = [_said(each) for each in value]
            case "oneOf" if "discriminator" in schema:
                said["anyOf"] = [_said(each) for each in value]  # one tag fits one of them
            case "allOf" if len(value) == 1 and "anyOf" not in schema:
                said["anyOf"] = [_said(value[0])]
            case "items":
                said["items"] = _said(value)
            case "format" if value in _FORMATS:
                said["format"] = value
            case "default" if value is None:
                continue
            case "discriminator" | "properties" | "required" | "additionalProperties":
                continue
            case _ if word in _KEPT:
                said[word] = value
            case _:
                raise _Unsayable
    kind = schema.get("type", ())
    if "properties" in schema or "object" in kind:
        said |= _object(schema)
    if "array" in kind and "items" not in schema:
        raise _Unsayable
    return said


def _object(schema: Mapping[str, Any]) -> Schema:
    if schema.get("additionalProperties", False) is not False:
        raise _Unsayable
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties and "additionalProperties" not in schema:
        raise _Unsayable  # any object
    required: Sequence[str] = schema.get("required", ())
    if not all(name in required or _may_be_null(each) for name, each in properties.items()):
        raise _Unsayable  # what may be left out would have to be made up
    return {
        "properties": {name: _said(each) for name, each in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _may_be_null(schema: object) -> bool:
    """Whether null means the same as nothing: it is allowed, and no other value stands in for what is left out."""
    if not _is_object(schema) or schema.get("default") is not None:
        return False
    return "null" in schema.get("type", ()) or any(_may_be_null(each) for each in schema.get("anyOf", ()))


def _is_object(schema: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(schema, Mapping)
