"""What may be a node of a workflow, and `@step`, which says of a function how it is to be called."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast, overload

from ..actors.children import HasSpec
from ..actors.outside import is_async
from ..actors.spec import AgentSpec
from ..actors.tool import Tool
from ..actors.workflow.nodes import AgentNode, FunctionNode, HumanNode, MapNode, Node, ParallelNode, function_tool
from ..actors.workflow.walk import WorkflowNode
from ..events.errors import ConfigError
from ..events.message import ToolSpec
from .arguments import check_flag, check_seconds, check_text
from .tools.function import summary

F = TypeVar("F", bound=Callable[..., Any])

GivenNode: TypeAlias = Callable[[Any], Any] | HasSpec | Node
"""What may be a node: a function of one value or a tool, an agent, a workflow, or a shape."""

_FLAGS = "__treadle_step__"
_NODES = (AgentNode, FunctionNode, HumanNode, MapNode, ParallelNode, WorkflowNode)


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    name: str | None = None,
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    requires_permission: bool = False,
    timeout_s: float | None = None,
) -> Callable[[F], F]: ...
def step(function: F | None = None, /, **flags: Any) -> F | Callable[[F], F]:
    """Say how a function is called as a node, a router or a merge. The function stays what it is.

    A node's function is recorded before and after it, as a tool is: what has an outcome is not called again. `name` is
    the node's, where none is given.

    Args:
        read_only: Changes nothing: may be repeated, and needs no wait for the disk.
        idempotent: Doing it twice with one call id (see `current_call`) does it once.
        destructive: Cannot be undone: asks for approval, and after a crash is not repeated without asking.
        requires_permission: Asks for approval.
        timeout_s: Seconds until its outcome is given up as unknown; None, the default, waits for ever.
    Raises:
        ConfigError: It is destructive and read_only, or a flag is not what it should be.
    """
    for flag in ("read_only", "idempotent", "destructive", "requires_permission"):
        check_flag(flag, flags.get(flag, False))
    check_seconds("timeout_s", flags.get("timeout_s"))
    check_text("name", flags.get("name") or "")
    if flags.get("destructive") and flags.get("read_only"):
        raise ConfigError("a step is said to be destructive and read_only; it can be one of them")

    def make(function: F) -> F:
        try:
            setattr(function, _FLAGS, flags)
        except (
            AttributeError,
            TypeError,
        ):  # a method of an object takes no notes, and neither do those of Python itself
            function = cast(F, functools.partial(function))
            setattr(function, _FLAGS, flags)
        return function

    return make if function is None else make(function)


def node_of(given: GivenNode) -> Node:
    """What a node is made of.

    Raises:
        ConfigError: It can be no node.
    """
    from .workflow import Workflow

    if isinstance(given, _NODES):
        return given
    if isinstance(given, Workflow):
        return WorkflowNode(given.plan)
    if isinstance(getattr(given, "spec", None), AgentSpec):
        return AgentNode(cast(HasSpec, given))
    if callable(given):
        return FunctionNode(call_of(given))
    raise ConfigError(
        f"{given!r} is no node: pass a function, an agent, a workflow, or what Workflow.map, .fan_out or .human made"
    )


def call_of(given: Any, *, read_only: bool = False) -> Tool:
    """What calls a function, or a tool, with one value.

    Args:
        read_only: What it is unless `@step` says otherwise.
    """
    if isinstance(given, Tool):
        return function_tool(given.run, given.spec, is_async=given.is_async)
    flags: dict[str, Any] = {"read_only": read_only, "timeout_s": None, **getattr(given, _FLAGS, {})}
    flags["name"] = flags.get("name") or name_of(given)
    if flags.get("destructive"):
        flags["read_only"] = False
    spec = ToolSpec(description=summary(given), **flags)
    return function_tool(given, spec, is_async=is_async(given), takes=_takes(given))


def name_of(given: Any) -> str:
    """What a node is called when nobody says."""
    if isinstance(given, (MapNode, HumanNode, ParallelNode)):
        return given.kind
    if isinstance(given, AgentNode | FunctionNode | WorkflowNode):
        return given.kind
    if (flags := getattr(given, _FLAGS, None)) is not None and flags.get("name"):
        return str(flags["name"])
    if getattr(given, "has_name", False) or isinstance(given, Tool):
        return str(given.name)
    if hasattr(given, "spec"):
        return "agent"
    while isinstance(given, functools.partial):
        given = cast(Any, given).func
    name = str(getattr(given, "__name__", type(given).__name__))
    return "step" if name == "<lambda>" else name


def names_of(given: Sequence[Any]) -> list[str]:
    """A name for each, and no two the same."""
    names: list[str] = []
    for each in given:
        name, number = name_of(each), 1
        while (unique := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        names.append(unique)
    return names


def _takes(function: Any) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True  # one that cannot say takes what it is given
