"""The agents that an agent or a workflow asks, and those that they ask: what is done for all of them before a run."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, cast, runtime_checkable

from ..actors.children import Asked, HasSpec
from ..actors.services import RemoteToolPort
from ..actors.spec import AgentSpec
from .models.secrets import Secrets


@runtime_checkable
class Asking(Protocol):
    """An agent as users make it."""

    @property
    def spec(self) -> AgentSpec: ...
    @property
    def has_name(self) -> bool: ...
    @property
    def awaited_tools(self) -> list[str]: ...

    async def find_own_tools(self, workers: RemoteToolPort | None) -> None:
        """Ask the workers what its tools take that it knows by name only."""
        ...

    def take_own_secrets(self, secrets: Secrets) -> None:
        """Have its models look for their keys there, unless it has secrets of its own."""
        ...


def with_asked(agents: Iterable[Asked]) -> Iterator[Asking]:
    """These agents and all that they lead to, once each; without those that are known by their names."""
    return (agent for agent in _all(agents) if isinstance(agent, Asking))


def awaiting(agents: Iterable[Asked]) -> list[Asking]:
    """Those of them that do not know all of their tools yet."""
    # Before each run: to ask whether something is an instance of a protocol takes longer than all the rest.
    return [cast("Asking", agent) for agent in _all(agents) if getattr(agent, "awaited_tools", None)]


def _all(agents: Iterable[Asked]) -> Iterator[HasSpec | AgentSpec]:
    waiting, seen = deque(agents), set[int]()
    while waiting:
        agent = waiting.popleft()
        if isinstance(agent, str) or id(agent) in seen:
            continue
        seen.add(id(agent))
        yield agent
        spec = agent if isinstance(agent, AgentSpec) else agent.spec
        waiting += spec.architecture.declared_workers().values()
