"""A node as one of several: what it takes of the work of its namespace, what it hands on, and how it leaves.

Without NATS a node is alone: everything is its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ..actors.elsewhere import SignalThere
from ..events.errors import Unavailable
from ..events.signal import RuntimeSignal
from ..events.subjects import SignalAddress, Subjects
from ..projections import Projections
from .broker.patience import patiently
from .broker.streams import partitions
from .buses.nats import NatsBus
from .node import Node
from .open_work import OpenWork
from .placement import Leases, Placement, SignalPartitions
from .signals import Signals


class Membership:
    """This node's part in its namespace.

    Args:
        drain_s: How long a step may take when its run moves to another node.
    Attributes:
        placement: Its place among the others, once it has joined.
    """

    def __init__(self, node: Node, subjects: Subjects, *, drain_s: float) -> None:
        self.placement: Placement | None = None
        self._partitions: SignalPartitions | None = None
        self._open_work: OpenWork | None = None
        self._node = node
        self._subjects = subjects
        self._drain_s = drain_s

    def leads(self) -> bool:
        """Whether this node publishes and folds what all nodes record; one that takes no signals does it for itself."""
        return self.placement is None or self.placement.leads

    async def join(self, bus: NatsBus, signals: Signals, journal: Callable[[], Awaitable[str]]) -> None:
        """Take this node's share of the signals from now on.

        Args:
            journal: Names the journal, once it has an event.
        Raises:
            ConfigError: Another node of the namespace writes to another journal.
            Unavailable: The server does not serve.
        """
        node = self._node
        count = await patiently(partial(partitions, bus.jetstream, self._subjects))
        self._partitions = SignalPartitions(bus, signals, node.host, self._subjects, count, drain_s=self._drain_s)
        self.placement = Placement(
            node.journal.owner,
            bus,
            Leases(bus.jetstream, self._subjects),
            self._subjects,
            count=count,
            partitions=self._partitions,
            agents=node.host.names,
            is_alive=node.journal.is_alive,
            journal=journal,
            monotonic=node.clock.monotonic,
        )
        await patiently(self.placement.start)

    async def take_up(self, projections: Projections) -> None:
        """Go on with what is open, and keep looking for what others leave."""
        self._open_work = OpenWork(self._node.host, projections, self._is_ours)
        await self._open_work.take_up()
        if self.placement is not None:
            self._open_work.keep_looking()

    async def hand_on(self, address: SignalAddress, signal: RuntimeSignal) -> bool:
        """Give a signal for an agent that is not hosted here to a node that hosts it; False when none ever did.

        Raises:
            Unavailable: The nodes that hosted it have gone.
        """
        placement, elsewhere = self.placement, self._node.services.elsewhere
        if placement is None or elsewhere is None:
            return False
        node = placement.host_of(address)
        if not node and address.agent in placement.hosted:
            raise Unavailable(f"agent {address.agent!r}", "the nodes that host it have gone; it waits for one")
        if not node or node == placement.node:
            return False
        await elsewhere.ask(node, SignalThere(*address, signal))
        return True

    async def leave(self) -> None:
        """Have all that goes on here left between two steps, and give it up."""
        if self.placement is not None and self._partitions is not None:
            await asyncio.gather(self.placement.leave(), self._partitions.leave())

    async def stop(self) -> None:
        """Take and move nothing any more. That this node has left is said when its actors have stopped."""
        if self._open_work is not None:
            await self._open_work.close()
        if self.placement is not None:
            await self.placement.stop()

    async def say_left(self) -> None:
        """Let the others have what was owned here."""
        if self.placement is not None:
            await self.placement.say_left()

    def _is_ours(self, address: SignalAddress) -> bool:
        return self.placement is None or self.placement.host_of(address) == self.placement.node
