"""A workflow as a tool of an agent: its run is a child of the run that calls it, found again after a crash."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..actors.children import DelegationFailed, Question, children_of_call
from ..actors.services import current_services
from ..actors.tool import BadArguments, Tool
from ..events.errors import ConfigError
from ..events.message import ToolSpec
from .arguments import check_text

if TYPE_CHECKING:
    from .workflow import Workflow


def tool_of(workflow: "Workflow", name: str, description: str, input_arg: str) -> Tool:
    """See `Workflow.as_tool`."""
    for what, text in (("name", name), ("description", description), ("input_arg", input_arg)):
        check_text(what, text)
    if not input_arg.isidentifier():
        raise ConfigError(f"input_arg={input_arg!r} names no parameter")

    def bind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(args) != {input_arg} or not isinstance(args[input_arg], str):
            raise BadArguments(f"{name} takes one argument, {input_arg!r}, a text; it was given {dict(args)!r}")
        return {"input": args[input_arg]}

    async def run(input: str) -> Any:
        asking = children_of_call()
        if asking is None:  # called by a program, not by a run
            return (await workflow.run(input)).output
        await workflow.find_tools_of(current_services().remote)
        result = await asking.nested(workflow.spec, Question(prompt=input))
        if not result.answered:
            why = result.error or result.interruption_reason
            raise DelegationFailed(f"workflow {workflow.name!r} ended {result.state}: {why}")
        return result.output

    schema = {"type": "object", "properties": {input_arg: {"type": "string"}}, "required": [input_arg]}
    spec = ToolSpec(name, description, msgspec.Raw(msgspec.json.encode(schema)), idempotent=True, timeout_s=None)
    return Tool(spec, run, True, bind)
