"""An agent joins a workspace: it is given the tools, its model is told of them, and its plans are kept there."""

from typing import TYPE_CHECKING

from msgspec import structs

from ..actors.spec import AgentSpec
from ..actors.workflow.silent import Silent
from ..events.errors import ConfigError
from .workspace_plans import with_plans
from .workspace_tools import prompt_section, tools_of

if TYPE_CHECKING:
    from .workspace import Workspace


def in_workspace(spec: AgentSpec, workspace: "Workspace") -> AgentSpec:
    """The agent in this workspace, which is as the agent has it.

    Raises:
        ConfigError: It has a tool of such a name already.
    """
    if isinstance(spec.model, Silent):  # a workflow calls no tools: its agents do, and are given it in their turn
        return structs.replace(spec, workspace=workspace)
    plans = with_plans(workspace, spec.living_plan)
    tools = {tool.name: tool for tool in tools_of(workspace, plans=plans is not None and plans.include_recall)}
    if taken := sorted(tools.keys() & spec.tools.keys()):
        raise ConfigError(
            f"agent {spec.name!r} has a tool {taken[0]!r} already, and a workspace brings one of that name; "
            "give its own another name"
        )
    instructions = "\n\n".join(filter(None, (spec.instructions, prompt_section(workspace))))
    return structs.replace(
        spec, tools={**spec.tools, **tools}, instructions=instructions, workspace=workspace, living_plan=plans
    )
