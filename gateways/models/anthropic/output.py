"""An answer in a given form: by the provider's own output format, or as the arguments of a tool.

The format is what all current models take, with thinking and beside tools; several of them refuse to be made to call a
tool. But it has no maps, no free values and no recursion, and older models and other providers do not know it: those
get a tool that is the answer (docs/decisions/0016-answers-in-a-form.md).
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from .generations import Takes

OUTPUT_TOOL: Final = "__output__"


class OutputSchema(Protocol):
    """What an answer must fit."""

    @property
    def name(self) -> str: ...
    @property
    def schema(self) -> Mapping[str, Any]: ...


def output_format(output: OutputSchema, taken: Takes) -> dict[str, Any] | None:
    """`output_config.format` for it; None when the model or the format cannot express it."""
    if not taken.output_format or not _expressible(output.schema, output.schema, ()):
        return None
    from anthropic import transform_schema

    # What the format does not have (lengths, ranges, patterns) goes into the descriptions; the answer is validated.
    return {"type": "json_schema", "schema": transform_schema(dict(output.schema))}


def output_tool(output: OutputSchema) -> dict[str, Any]:
    """The tool whose arguments are the answer."""
    return {
        "name": OUTPUT_TOOL,
        "description": f"Give the final answer ({output.name}). Call it once, when nothing else is left to do.",
        "input_schema": dict(output.schema),
    }


def _expressible(node: Any, root: Mapping[str, Any], within: tuple[str, ...]) -> bool:
    """Whether the format can say what `node` says, which is inside of the definitions `within`."""
    if not isinstance(node, dict):
        return False
    schema = cast("dict[str, Any]", node)
    if isinstance(ref := schema.get("$ref"), str):
        prefix, _, name = ref.rpartition("/")
        definitions: Mapping[str, Any] = root.get("$defs", {})
        return (
            prefix == "#/$defs" and name in definitions and ref not in within
            and _expressible(definitions[name], root, (*within, ref))
        )  # fmt: skip
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return all(_expressible(one, root, within) for one in schema[word])
    if "enum" in schema or "const" in schema:
        return True
    match schema.get("type"):
        case "object":
            properties: Mapping[str, Any] = schema.get("properties", {})
            closed = bool(properties) and not schema.get("additionalProperties") and "patternProperties" not in schema
            return closed and all(_expressible(one, root, within) for one in properties.values())
        case "array":
            return "items" in schema and "prefixItems" not in schema and _expressible(schema["items"], root, within)
        case "string" | "integer" | "number" | "boolean" | "null":
            return True
        case _:
            return False
