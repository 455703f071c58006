"""Where the notes of a workspace are, and whose: of the run that asks, of an owner, or of a journal of their own."""

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..actors.context import get_run_context
from ..actors.services import Services, current_services
from ..actors.workspace_messages import WorkspacePort
from ..events.errors import ConfigError

if TYPE_CHECKING:
    from .agent import Agent
    from .system import System
    from .workflow import Workflow

Owner: TypeAlias = "Agent | Workflow | System"
"""Who has a journal."""


class Place(Struct, frozen=True):
    """Where a call on a workspace goes."""

    services: Services
    port: WorkspacePort
    user_id: str


async def place_of(name: str, runtime: str | None, owner: "Owner | None", user_id: str | None) -> Place:
    """The place of the workspace `name`: of `user_id`, or of the user whose run this is.

    Raises:
        ConfigError: Nobody says where it is.
    """
    services = await _services(name, runtime, owner)
    if services.workspaces is None:
        raise ConfigError("this system has no workspaces")
    return Place(services, services.workspaces, get_run_context().user_id if user_id is None else user_id)


async def _services(name: str, runtime: str | None, owner: "Owner | None") -> Services:
    if runtime is not None:
        from .embedded import embedded_node

        return (await embedded_node(runtime)).services
    if owner is not None:
        node = owner.node
        return (await node() if callable(node) else node).services
    try:
        return current_services()
    except LookupError:
        raise ConfigError(
            f"Workspace({name!r}) is used outside of a run and has no journal; say whose it is: "
            f"Workspace({name!r}, system), or agent.workspace"
        ) from None
