"""Lifts stored payloads to today's schema, one version per step, when they are read.

    @upcaster("run.started", 1)
    def name_the_agent(data):            # schema 1 -> 2
        return data | {"agent": "agent"}

Stored bytes are never rewritten: the hash chain covers them.
"""

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

_UPCASTERS: dict[tuple[str, int], Upcast] = {}


def upcaster(tag: str, schema: int) -> Callable[[Upcast], Upcast]:
    """Registers the function that makes a payload of `schema` + 1 from one of `schema`."""

    def register(upcast: Upcast) -> Upcast:
        if (tag, schema) in _UPCASTERS:
            raise ValueError(f"there is an upcaster for {tag!r} schema {schema} already")
        _UPCASTERS[tag, schema] = upcast
        return upcast

    return register


def lift(tag: str, data: dict[str, Any], schema: int, wanted: int) -> dict[str, Any] | None:
    """`data` in the form of schema `wanted`; None when a step is missing or `schema` is newer."""
    if schema > wanted:
        return None
    while schema < wanted:
        upcast = _UPCASTERS.get((tag, schema))
        if upcast is None:
            return None
        data = upcast(data)
        schema += 1
    return data
