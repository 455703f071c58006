"""A node's place among the others: says that it lives, takes its share of the partitions, gives them up in order.

joining   it says that it is there, and takes what is free
member    it renews its lease; a partition above its share is drained and then given up, and whoever has room takes it
cut off   it could not renew in time: it takes nothing more, and what it began goes on, for the journal decides
leaving   it drains everything, and says that it has left
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import structs

from ...events.bus import Bus
from ...events.errors import ConfigError, TreadleError, Unavailable
from ...events.logs import get_logger
from ...events.placement import NodeRecord, host_of, share
from ...events.subjects import SignalAddress, Subjects
from .leases import Leases, LostLease, Nodes, record_in

BEATS = 4
"""How often a lease is renewed in the time that it lasts."""

_ATTEMPTS = 16
_log = get_logger("treadle.placement")


class Partitions(Protocol):
    """Whoever takes the signals of partitions."""

    async def take(self, partitions: Sequence[int]) -> None:
        """Take them from now on.

        Raises:
            Unavailable: Not now; ask again.
        """
        ...

    async def drain(self, partition: int) -> None:
        """Take no more of it, and bring what was begun to an end, or to a point where another node can go on."""
        ...

    async def drop(self, partition: int) -> None:
        """Take no more of it: another node does."""
        ...


class Placement:
    """This node among the others of its namespace.

    Args:
        is_alive: As `Journal.is_alive`: False is certain.
        journal: Names the journal, once it has an event.
    Attributes:
        owned: The partitions whose signals are taken here.
        count: How many partitions there are.
        leaving: It gives up all it has.
        hosted: The agents that nodes have hosted since this one is here.
    """

    def __init__(
        self,
        node: str,
        bus: Bus,
        leases: Leases,
        subjects: Subjects,
        *,
        count: int,
        partitions: Partitions,
        agents: Callable[[], Sequence[str]],
        is_alive: Callable[[str], Awaitable[bool]],
        journal: Callable[[], Awaitable[str]],
        monotonic: Callable[[], float],
    ) -> None:
        self.node = node
        self.count = count
        self.owned: frozenset[int] = frozenset()
        self.leaving = False
        self.hosted: set[str] = set()
        self._bus = bus
        self._leases = leases
        self._subjects = subjects
        self._partitions = partitions
        self._agents = agents
        self._is_alive = is_alive
        self._identity = journal
        self._journal = ""
        self._monotonic = monotonic
        self._nodes = Nodes({}, {}, 0)
        self._sequence = 0
        self._until = 0.0
        self._draining: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._beating = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Placement {self.node}: {len(self.owned)} of {self.count} partitions>"

    @property
    def leads(self) -> bool:
        """Whether this node does what one does for all: it has the first partition. None may, and two for a moment."""
        return 0 in self.owned

    @property
    def records(self) -> Sequence[NodeRecord]:
        """What the nodes that live have said of themselves when this one last looked, itself included."""
        return tuple(self._nodes.records.values())

    def host_of(self, address: SignalAddress) -> str:
        """The node that begins a session's runs and goes on with them; empty when none hosts its agent."""
        return host_of(address.agent, self._subjects.partition(address, self.count), self.records)

    async def start(self) -> None:
        """Take part from now on; what is free of this node's share is taken when this returns.

        Raises:
            Unavailable: The server does not answer.
        """
        await self._leases.open()
        await self._beat()
        self._tasks = [
            asyncio.create_task(self._go_on(), name="placement"),
            asyncio.create_task(self._hear(), name="placement hears"),
        ]

    async def leave(self) -> None:
        """Drain all that is owned here, and leave. Bounded as `Partitions.drain` is."""
        if self.leaving:
            return
        self.leaving = True
        try:
            await self._beat()
            while self._draining:
                await asyncio.wait(self._draining.values())
            await self._beat()
        except TreadleError as exc:
            # The lease runs out by itself.
            _log.warning("%s leaves without a word: %s", self.node, exc)

    async def stop(self) -> None:
        """Renew nothing and take nothing any more."""
        tasks = [*self._tasks, *self._draining.values()]
        self._tasks = []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def say_left(self) -> None:
        """Let the others have what was owned here. After `stop`, and when nothing runs here any more."""
        if self._sequence:
            self.leaving, self.owned = True, frozenset()
            with contextlib.suppress(TreadleError):  # then the lease runs out by itself
                await self._leases.renew(self._record(), self._sequence)
            self._sequence = 0

    # --- the beat ---

    async def _go_on(self) -> None:
        pause_s = self._leases.lease_s / BEATS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._beat()
            except TreadleError as exc:
                _log.warning("%s could not renew its lease: %s", self.node, exc)
            except Exception:
                _log.exception("%s could not renew its lease", self.node)
            if self.owned and self._monotonic() > self._until:
                _log.warning("the lease of %s has run out; its partitions are anybody's", self.node)
                await self._drop(self.owned)

    async def _hear(self) -> None:
        """Look at once when another node says something new."""
        while True:
            try:
                async with self._bus.subscribe(self._subjects.nodes()) as messages:
                    async for message in messages:
                        record = record_in(message.data)
                        if record is not None and record != self._nodes.records.get(record.node):
                            self._changed.set()
            except Unavailable as exc:
                _log.info("other nodes are not heard, and looked at every now and then: %s", exc)
                await asyncio.sleep(self._leases.lease_s / BEATS)

    async def _beat(self) -> None:
        """Look at the others, decide, and say what holds then."""
        async with self._beating:
            await self._decide()

    async def _decide(self) -> None:
        for _ in range(_ATTEMPTS):
            nodes = await self._leases.read()
            self._journal = await self._identity()
            self._check_one_journal(nodes)
            others = [record for record in nodes.records.values() if not await self._has_gone(record, nodes)]
            step = share(self._record(), others, self.count)
            if step.lost:
                _log.warning("partitions %s of %s are another node's now", sorted(step.lost), self.node)
                await self._drop(step.lost)
            for partition in step.give_up - self._draining.keys():
                self._draining[partition] = asyncio.create_task(self._drain(partition), name=f"drain {partition}")
            taken = self._record(self.owned | step.take)
            begun = self._monotonic()
            try:
                if self._sequence and nodes.sequences.get(self.node) == self._sequence and not step.take:
                    self._sequence = await self._leases.renew(taken, self._sequence)
                else:
                    # New here, or gone for too long, or somebody has room: on the very state that was looked at.
                    self._sequence = await self._leases.claim(taken, nodes.up_to)
            except LostLease:
                continue
            self._until = begun + self._leases.lease_s
            self.hosted.update(agent for record in others for agent in record.agents)
            self._nodes = structs.replace(nodes, records={record.node: record for record in (*others, taken)})
            if step.take:
                await self._take(step.take)
            return
        raise Unavailable(f"the lease of {self.node}", "others were first, again and again")

    def _check_one_journal(self, nodes: Nodes) -> None:
        """Nodes that share signals and no journal would each run a part of every conversation.

        Raises:
            ConfigError: Another node writes to another journal.
        """
        for other in nodes.records.values():
            if other.partitions and other.journal and self._journal and other.journal != self._journal:
                raise ConfigError(
                    f"node {other.node} takes signals of namespace {self._subjects.namespace!r} for another journal "
                    f"(its first event is {other.journal}, ours is {self._journal}); give all nodes the same "
                    f"--journal, or this one another --namespace; of a node that has died this is forgotten in "
                    f"{self._leases.lease_s:g} s"
                )

    async def _has_gone(self, record: NodeRecord, nodes: Nodes) -> bool:
        """Whether a record is nobody's: our own, or that of a process that is dead, whose lease need not run out."""
        if record.node == self.node:
            return True
        if self._nodes.sequences.get(record.node, 0) not in (0, nodes.sequences[record.node]):
            return False  # it has spoken since we last looked
        if record.journal and record.journal != self._journal:
            return False  # our journal knows nothing of it
        try:
            return not await self._is_alive(record.node)
        except TreadleError as exc:
            _log.info("whether %s lives is not known: %s", record.node, exc)
            return False

    async def _take(self, partitions: frozenset[int]) -> None:
        """Take what was claimed. What cannot be taken now is given up again by the next beat."""
        await self._partitions.take(sorted(partitions))
        self.owned |= partitions
        _log.info("%s takes %d more partitions, %d of %d", self.node, len(partitions), len(self.owned), self.count)

    async def _drain(self, partition: int) -> None:
        try:
            await self._partitions.drain(partition)
        finally:
            del self._draining[partition]
            self.owned -= {partition}
            self._changed.set()

    async def _drop(self, partitions: frozenset[int]) -> None:
        self.owned -= partitions
        for partition in sorted(partitions):
            await self._partitions.drop(partition)

    def _record(self, partitions: frozenset[int] | None = None) -> NodeRecord:
        owned = self.owned if partitions is None else partitions
        return NodeRecord(
            node=self.node,
            agents=tuple(self._agents()),
            partitions=tuple(sorted(owned)),
            leaving=self.leaving,
            journal=self._journal,
        )
