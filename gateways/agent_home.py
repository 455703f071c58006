"""Where an agent runs: on the system that hosts it, or on the embedded one of its event loop."""

import asyncio
from typing import TYPE_CHECKING

from ..actors.spec import AgentSpec
from ..events.errors import ConfigError
from .arguments import check_runtime

if TYPE_CHECKING:
    from .node import Node


class Home:
    """The node that an agent runs on.

    Args:
        runtime: The journal of the embedded system, which serves an agent that nobody hosts; None for whatever there
            is: the system whose tool runs the agent, else a journal in memory.
    Raises:
        ConfigError: It names no journal.
    """

    __slots__ = ("_hosted", "_loop", "_node", "_settled", "runtime")

    def __init__(self, runtime: str | None) -> None:
        check_runtime(runtime)
        self.runtime = runtime or "memory"
        self._settled = runtime is not None
        self._node: Node | None = None
        self._hosted = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_anywhere(self) -> bool:
        """Nobody said where it is to run."""
        return not (self._settled or self._hosted)

    @property
    def here(self) -> "Node | None":
        """The node, when it is open and belongs to this event loop."""
        node = self._node
        return node if node is not None and node.is_open and self._loop is asyncio.get_running_loop() else None

    def bind(self, node: "Node", *, hosted: bool = True) -> None:
        """Run on `node` from now on."""
        self._node, self._loop, self._hosted = node, asyncio.get_running_loop(), hosted

    async def embed(self, name: str) -> "Node":
        """Move agent `name` to the embedded system of this loop.

        Raises:
            ConfigError: A system hosted it, which was closed or belongs to another loop.
        """
        if self._hosted:
            why = "belongs to another event loop" if self._node is not None and self._node.is_open else "was closed"
            raise ConfigError(f"the system that hosts agent {name!r} {why}; host it on one that is open here")
        from .embedded import embedded_node

        node = await embedded_node(self.runtime)
        self.bind(node, hosted=False)
        return node

    def renew(self, spec: AgentSpec) -> None:
        """Have runs that begin there from now on be of this specification."""
        if self._node is not None:
            self._node.host.add(spec)

    async def aclose(self) -> None:
        """Close the embedded system of this loop, for all agents that share it."""
        from .embedded import close_embedded

        await close_embedded(self.runtime)
        if not self._hosted:
            self._node = None
