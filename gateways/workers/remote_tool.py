"""`remote`: a tool whose code runs in a worker (`treadle up --worker tools.py`), as an agent has it."""

from collections.abc import Callable, Mapping
from typing import Any, overload

from msgspec import Struct, structs

from ...actors.context import current_call, get_run_context
from ...actors.services import RemoteToolPort, current_services
from ...actors.tool import BadArguments, Tool
from ...events.errors import ConfigError
from ...events.message import ToolSpec
from ..tools.function import as_tool


class Wanted(Struct, frozen=True):
    """A tool that is known by name only: its workers are asked what it takes before its agent's first run."""

    name: str


@overload
def remote(tool: str) -> Wanted: ...
@overload
def remote(tool: Tool | Callable[..., Any]) -> Tool: ...
def remote(tool: str | Tool | Callable[..., Any]) -> Wanted | Tool:
    """A tool that is called here and done by a worker, in another process or on another machine.

    Args:
        tool: What the worker offers: the tool itself, for its name, arguments and flags, its code is not called here;
            or its name, and the rest is asked of the workers when the agent is hosted or first run.
    """
    if isinstance(tool, str):
        if not tool:
            raise ConfigError("remote('') names no tool")
        return Wanted(tool)
    declared = as_tool(tool)

    def bind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        declared.bind(args)  # what does not fit is refused here, and what fits is sent as the model wrote it
        return args

    return _tool(declared.spec, bind)


async def found(name: str, workers: RemoteToolPort | None) -> Tool:
    """The tool as its workers describe it.

    Raises:
        ConfigError: There is no bus on which there could be workers.
        Unavailable: No worker offers it.
    """
    return _tool(await _port(name, workers).find(name), _as_sent)


def _tool(spec: ToolSpec, bind: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Tool:
    async def run(args: Mapping[str, Any]) -> Any:
        workers = _port(spec.name, current_services().remote)
        return await workers.call(spec, args, current_call(), get_run_context())

    # One argument, whatever the tool's are called: `run` is ours, and takes them as they were sent.
    return Tool(structs.replace(spec), run, True, lambda args: {"args": bind(args)})


def _as_sent(args: Mapping[str, Any]) -> Mapping[str, Any]:
    if set(args) == {"_invalid"}:
        raise BadArguments(f"the arguments are not a JSON object: {args['_invalid']}")
    return args


def _port(name: str, workers: RemoteToolPort | None) -> RemoteToolPort:
    if workers is None:
        raise ConfigError(
            f"tool {name!r} is done by workers, and this agent is on no system that could reach one; "
            "host it: System(nats=URL).host(agent)"
        )
    return workers
