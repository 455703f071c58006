"""A workflow as a tool of an agent: its run is a child of the run that calls it, found again after a crash."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ..actors.children import DelegationFailed, Question, children_of_call
from ..actors.context import RunContext
from ..actors.output import DoesNotFit
from ..actors.services import current_services
from ..actors.tool import BadArguments, Tool, as_text
from ..actors.workflow.walk import INPUT
from ..events.errors import ConfigError
from ..events.message import ToolSpec
from .arguments import check_text, json_form
from .tools.function import check_tool_name

if TYPE_CHECKING:
    from .workflow import Workflow


def tool_of(workflow: "Workflow", name: str, description: str, input_arg: str, input_schema: Any = None) -> Tool:
    """See `Workflow.as_tool`."""
    for what, text in (("name", name), ("description", description), ("input_arg", input_arg)):
        check_text(what, text)
    check_tool_name(name)
    if not input_arg.isidentifier():
        raise ConfigError(f"input_arg={input_arg!r} names no parameter")
    taken: _Taken = _Text(name, input_arg) if input_schema is None else _Typed(name, input_arg, input_schema)

    async def run(input: Any) -> Any:
        asking = children_of_call()
        if asking is None:  # called by a program, not by a run
            return (await workflow.run(input)).output
        await workflow.find_tools_of(current_services().remote)
        result = await asking.nested(workflow.spec, _question(input))
        if not result.answered:
            why = result.error or result.interruption_reason
            raise DelegationFailed(f"workflow {workflow.name!r} ended {result.state}: {why}")
        return result.output

    parameters = msgspec.Raw(msgspec.json.encode(taken.schema))
    spec = ToolSpec(name, description, parameters, idempotent=True, timeout_s=None)
    return Tool(spec, run, True, taken.bind)


def _question(input: Any) -> Question:
    if isinstance(input, str):
        return Question(prompt=input)
    return Question(prompt=as_text(input), context=RunContext(inputs={INPUT: input}))


class _Taken(Protocol):
    """What the tool takes."""

    @property
    def schema(self) -> Mapping[str, Any]: ...
    def bind(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...


class _Text:
    """One text."""

    def __init__(self, tool: str, parameter: str) -> None:
        self._tool, self._parameter = tool, parameter
        self.schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}

    def bind(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = args.get(self._parameter)
        if len(args) != 1 or not isinstance(given, str):
            raise BadArguments(
                f"{self._tool} takes one argument, {self._parameter!r}, a text; it was given {dict(args)!r}"
            )
        return {"input": given}


class _Typed:
    """What has a schema: an object as it is, anything else as one argument.

    Raises:
        ConfigError: A model cannot be told of it.
    """

    def __init__(self, tool: str, parameter: str, wanted: Any) -> None:
        from .outputs.resolver import resolve_output

        try:
            self._form = resolve_output(wanted)
        except ConfigError as exc:
            raise ConfigError(f"input_schema of the tool {tool!r}: {exc}") from exc
        self._tool, self._parameter = tool, parameter
        self.schema = dict(self._form.schema)
        if self._form.wrapped:
            self.schema |= {"properties": {parameter: self.schema["properties"]["value"]}, "required": [parameter]}

    def bind(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        given: Any = dict(args)
        if self._form.wrapped:
            if set(args) != {self._parameter}:
                raise BadArguments(f"{self._tool} takes one argument, {self._parameter!r}; it was given {given!r}")
            given = {"value": args[self._parameter]}
        try:
            return {"input": json_form("input", self._form.parse(msgspec.json.encode(given).decode()))}
        except (DoesNotFit, ConfigError) as exc:
            raise BadArguments(f"the arguments do not fit {self._tool}: {exc}") from exc
