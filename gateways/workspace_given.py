"""What `workspace=` takes, and what comes of it: an agent with a workspace."""

from ..actors.children import spec_of
from ..actors.spec import AgentSpec
from ..events.errors import ConfigError
from ..events.workspace import Joined
from .workspace import Workspace


def resolve_workspace(given: "Workspace | str | bool | None") -> Workspace | None:
    """What `workspace=` takes: True for the user's default one, a name, or a `Workspace`.

    Raises:
        ConfigError: It is none of these; or it is one user's, and agents run for many.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Workspace()
    if isinstance(given, str):
        return Workspace(given)
    if not isinstance(given, Workspace):  # pyright: ignore[reportUnnecessaryIsInstance] - programs without types
        raise ConfigError(f"workspace={given!r}; use True, a name, or a Workspace")
    if given.user_id is not None:
        raise ConfigError(f"{given!r} is that of user {given.user_id!r}, and an agent runs for many; leave out of(…)")
    return given


def shared(workspace: Workspace, spec: AgentSpec) -> AgentSpec:
    """An agent with a workspace, which it shares with all whom its architecture asks.

    Raises:
        ConfigError: It, or one of them, has a tool of a name that the workspace brings.
    """
    team = spec.architecture.declared_workers()
    for role, asked in team.items():
        if not isinstance(asked, str):
            workspace.given_to(spec_of(asked, role), role)
    return workspace.given_to(spec, "", [*team])


def rejoined(spec: AgentSpec, joined: Joined) -> AgentSpec:
    """The agent of a run that goes on, in the workspace that the run recorded."""
    return Workspace(joined.name).given_to(spec, joined.author, plan=(joined.plan, joined.step))
