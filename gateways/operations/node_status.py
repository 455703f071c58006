"""What one node says of itself: who it is, what it does, and how far it is behind.

Everything here is counted by the node itself; what waits at the broker for all nodes is counted once, by whoever asks
(`nodes.py`).
"""

import os
import socket
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from ...events.errors import CorruptEvent
from ...events.journal import Journal

if TYPE_CHECKING:
    from ..system import System

Role = Literal["host", "worker"]


class Partitions(Struct, frozen=True):
    """The partitions that a node owns, of so many."""

    owned: tuple[int, ...]
    count: int


class Behind(Struct, frozen=True):
    """How far something is behind the journal.

    Attributes:
        events: Positions, of which some may hold no event.
        seconds: Age of the oldest event that is waiting, by the clock of the node that wrote it: with a clock that is
            wrong this is wrong, so nothing is decided by it.
    """

    events: int = 0
    seconds: float = 0.0


class View(Struct, frozen=True):
    """How a projection stands. `problems` are events that it left out, `stopped` is why it does not go on."""

    behind: Behind
    problems: int = 0
    stopped: str = ""


class NodeStatus(Struct, frozen=True):
    """How a node stands.

    Attributes:
        node_id: As journal and runs call it: the owner.
        at: The node's clock when it said this.
        roles: `host` takes signals and answers services, `worker` takes delegated prompts; empty for one that looks.
        draining: It is about to leave, and takes nothing new.
        partitions: None where signals are not placed.
        relay: None without NATS.
        signals_running, signals_done, signals_parked: Of this node, since it started.
    """

    node_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    at: datetime
    roles: tuple[Role, ...]
    agents: tuple[str, ...]
    draining: bool
    partitions: Partitions | None
    actors: int
    signals_running: int
    signals_done: int
    signals_parked: int
    journal: str
    journal_position: int
    relay: Behind | None
    views: dict[str, View]


async def status_of(system: "System") -> NodeStatus:
    """How `system` stands.

    Raises:
        Unavailable: Its journal or its views do not answer.
    """
    node, signals, placement = system.node, system.signals, system.placement
    now = node.clock.now()
    last = await node.journal.last_position()
    lags = await system.projections.lag() if system.keeps_projections else {}
    ages = _Ages(node.journal, now)
    return NodeStatus(
        node_id=node.journal.owner,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version("treadle"),
        started_at=system.started_at,
        at=now,
        roles=system.roles,
        agents=tuple(node.host.names()),
        draining=system.draining,
        partitions=None if placement is None else Partitions(tuple(sorted(placement.owned)), placement.count),
        actors=node.system.stats().live,
        signals_running=signals.running if signals is not None else 0,
        signals_done=signals.done if signals is not None else 0,
        signals_parked=signals.parked if signals is not None else 0,
        journal=node.journal.name,
        journal_position=last,
        relay=None if system.relay is None else await ages.behind(system.relay.position, last),
        views={
            name: View(await ages.behind(lag.position, lag.last_position), lag.problems, lag.stopped)
            for name, lag in lags.items()
        },
    )


class _Ages:
    """How old what waits is; several that stand at one place cost one look into the journal."""

    def __init__(self, journal: Journal, now: datetime) -> None:
        self._journal = journal
        self._now = now
        self._known: dict[int, float] = {}

    async def behind(self, position: int, last: int) -> Behind:
        if position >= last:
            return Behind()
        if position not in self._known:
            self._known[position] = await self._age(position)
        return Behind(last - position, self._known[position])

    async def _age(self, position: int) -> float:
        try:
            page = await self._journal.read_all(position, 1)
        except CorruptEvent:
            return 0.0  # its time is not to be believed either
        return round(max((self._now - page[0].at).total_seconds(), 0.0), 3) if page else 0.0
