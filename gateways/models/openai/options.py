"""What both APIs make of a call's options (`Generation.options`, `Agent(options=)`, `output_schema=`)."""

from collections.abc import Callable, Mapping
from typing import Any

from .dialect import Dialect
from .effort import effort_for
from .strict_schema import strict_schema

_WORDS = {
    "temperature", "top_p", "max_tokens", "stop", "seed", "effort", "strict_effort", "tool_choice",
    "parallel_tool_calls", "prompt_caching", "extra", "output_schema",
}  # fmt: skip
"""The options that an API has words for; `prompt_caching` needs none, it is done unasked."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something."""
    return {name: value for name, value in options.items() if value is not None}


def picked(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those that the API calls the same."""
    return {name: options[name] for name in names if name in options}


def calling(options: Mapping[str, Any], by_name: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Which tools may be called, and how many at once: for requests with tools, the others are refused with it.

    Args:
        by_name: What a tool is chosen by.
    """
    fields = picked(options, "tool_choice", "parallel_tool_calls")
    if (choice := fields.get("tool_choice")) not in (None, "auto", "none", "required"):
        fields["tool_choice"] = by_name(choice)
    return fields


def effort(dialect: Dialect, options: Mapping[str, Any]) -> str | None:
    """How hard to think, in the model's word; raises as `effort_for` does."""
    strict = bool(options.get("strict_effort"))
    return effort_for(dialect.model, dialect.efforts, options.get("effort"), strict)


def output_format(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer's shape: name, schema, and whether nothing else may come."""
    if (output := options.get("output_schema")) is None:
        return None
    schema, strict = strict_schema(output.schema)
    return {"name": output.name, "schema": schema, "strict": strict}


def further(options: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into the request as it is: options without a word, and `extra`, which wins over everything."""
    fields = {name: value for name, value in options.items() if name not in _WORDS}
    fields |= options.get("extra", {})
    return {"extra_body": fields} if fields else {}
