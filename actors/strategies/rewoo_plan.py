"""A plan of tool calls that refer to one another's results by placeholders: `{{E1}}`, `{E1}` or `#E1`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from msgspec import Struct

from ...events.message import ToolSpec
from ..tool import as_text
from .replies import array_in


class PlannedCall(Struct, frozen=True):
    """A tool call of a plan."""

    id: str
    tool: str
    args: dict[str, Any]


class Plan:
    """What a planner wants called.

    Attributes:
        calls: At most `max_steps` of them.
        problems: What of the reply could not be used, for whoever reads the results.
    """

    def __init__(self, reply: str, max_steps: int) -> None:
        self.problems: list[str] = []
        self.calls: dict[str, PlannedCall] = {}
        listed = array_in(reply)
        if listed is None:
            self.problems.append("the planner gave no JSON array of calls")
            return
        if len(listed) > max_steps:
            self.problems.append(f"the plan has {len(listed)} steps, of which only the first {max_steps} are looked at")
        for number, each in enumerate(listed[:max_steps], 1):
            call = _call(each, number)
            if call is None:
                self.problems.append(f"step {number} names no tool with arguments")
            elif call.id in self.calls:
                self.problems.append(f"step {number} has the id {call.id} of another step")
            else:
                self.calls[call.id] = call

    def inputs(self, call: PlannedCall) -> set[str]:
        """The ids that a call's arguments refer to."""
        return {_id(match) for text in _texts(call.args) for match in self._placeholder.finditer(text)}

    def filled(self, call: PlannedCall, results: Mapping[str, Any], tool: ToolSpec | None) -> dict[str, Any]:
        """The call's arguments with results in the place of placeholders.

        An argument that is a placeholder and nothing else becomes the result as it is, unless the tool wants a text.
        """
        schema: dict[str, Any] = json.loads(bytes(tool.parameters)) if tool is not None else {}
        wanted = schema.get("properties", {})
        return {
            name: self._fill(value, results, as_it_is=not _takes_text(wanted.get(name)))
            for name, value in call.args.items()
        }

    def _fill(self, value: Any, results: Mapping[str, Any], *, as_it_is: bool) -> Any:
        match value:
            case str():
                whole = self._placeholder.fullmatch(value.strip())
                if whole is not None and as_it_is:
                    return results[_id(whole)]
                return self._placeholder.sub(lambda match: as_text(results[_id(match)]), value)
            case dict():
                inner = cast("dict[str, Any]", value)
                return {key: self._fill(each, results, as_it_is=as_it_is) for key, each in inner.items()}
            case list():
                return [self._fill(each, results, as_it_is=as_it_is) for each in cast("Sequence[Any]", value)]
            case _:
                return value

    @cached_property
    def _placeholder(self) -> re.Pattern[str]:
        ids = "|".join([r"E\d+", *(re.escape(each) for each in sorted(self.calls, key=len, reverse=True))])
        return re.compile(rf"\{{\{{\s*({ids})\s*\}}\}}|\{{({ids})\}}|#({ids})(?!\w)")


def _call(given: Any, number: int) -> PlannedCall | None:
    if not isinstance(given, dict):
        return None
    fields = cast("dict[str, Any]", given)
    tool, args = fields.get("tool"), fields.get("args", {})
    if not isinstance(tool, str) or not isinstance(args, dict):
        return None
    named = str(fields.get("id") or f"E{number}").strip().lstrip("#")
    return PlannedCall(named, tool, cast("dict[str, Any]", args))


def _takes_text(schema: Any) -> bool:
    """Whether an argument may be a text, by its JSON Schema."""
    if not isinstance(schema, dict):
        return False
    said = cast("dict[str, Any]", schema)
    return "string" in (said.get("type") or ()) or any(_takes_text(each) for each in said.get("anyOf", ()))


def _id(match: re.Match[str]) -> str:
    return next(each for each in match.groups() if each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        inner = cast("dict[str, Any] | list[Any]", value)
        for each in inner.values() if isinstance(inner, dict) else inner:
            yield from _texts(each)
