"""The signals of partitions: taken while a node owns them, and handed on in order when it does not any more."""

import asyncio
from collections.abc import Sequence

from ...actors.host import Host
from ...actors.run_actor import MoveRun
from ...actors.runtime import Ref
from ...actors.session_messages import MoveSession
from ...events.errors import TreadleError
from ...events.logs import get_logger
from ...events.run import CATEGORY as RUN
from ...events.session import CATEGORY as SESSION
from ...events.session import session_key
from ...events.subjects import SignalAddress, Subjects
from ..buses.nats import NatsBus
from ..intake import Intake
from ..signals import Signals

LIMIT = 128
"""How many signals of one partition are handled at once."""

DRAIN_S = 10.0
"""How long a step that goes on may take, when its run moves to another node; then its outcome is unknown."""

_NAK_S = 1.0  # for what has moved to be handed back to the broker
_log = get_logger("treadle.placement")


class SignalPartitions:
    """Implements `Partitions`.

    Args:
        count: How many partitions there are.
        drain_s: How long the steps that go on may take when a partition is drained.
    """

    def __init__(
        self, bus: NatsBus, signals: Signals, host: Host, subjects: Subjects, count: int, *, drain_s: float = DRAIN_S
    ) -> None:
        self._bus = bus
        self._signals = signals
        self._host = host
        self._subjects = subjects
        self._count = count
        self._drain_s = drain_s
        self._intakes: dict[int, Intake] = {}

    async def take(self, partitions: Sequence[int]) -> None:
        # What was taken before an attempt failed stays taken.
        wanted = [partition for partition in partitions if partition not in self._intakes]
        taken = await asyncio.gather(*map(self._take, wanted), return_exceptions=True)
        for failure in taken:
            if failure is not None:
                raise failure

    async def _take(self, partition: int) -> None:
        name, subject, wait_s = f"signals-{partition}", self._subjects.placed(partition), self._signals.ack_wait_s
        consuming = self._bus.consume_stored(name, "signals", subject, ack_wait_s=wait_s, limit=LIMIT)
        self._intakes[partition] = await self._signals.take(name, consuming)

    async def drain(self, partition: int) -> None:
        intake = self._intakes.get(partition)
        if intake is None:
            return  # another node has it already
        try:
            await intake.shut()
            await self._move(partition, now=False)
            if not await intake.wait(_NAK_S):
                _log.warning("%d runs of partition %d are left within a step", len(intake.held), partition)
                await self._move(partition, now=True)
        finally:
            await self.drop(partition)

    async def drop(self, partition: int) -> None:
        # What was begun goes on: the journal decides whether it gets to its end here.
        if partition in self._intakes:
            await self._intakes.pop(partition).shut()

    async def leave(self) -> None:
        """Have all that goes on here left between two steps, whoever asked for it: this node ends.

        What takes longer than `drain_s` is left as it is.
        """
        # Sessions first: one whose run has been left begins no other.
        await self._tell(self._host.live(SESSION), MoveSession(leaving=True), self._drain_s)
        await self._tell(self._host.live(RUN), MoveRun(leaving=True), self._drain_s)

    async def _move(self, partition: int, *, now: bool) -> None:
        """Tell the sessions that live here to let another node go on, and wait until they have."""
        sessions = [ref for ref in self._host.live(SESSION) if self._partition(ref.address) == partition]
        await self._tell(sessions, MoveSession(now), None if now else self._drain_s)

    async def _tell(self, refs: Sequence[Ref], message: MoveSession | MoveRun, timeout_s: float | None) -> None:
        moving = [asyncio.ensure_future(ref.ask(message)) for ref in refs]
        if moving:
            await asyncio.wait(moving, timeout=timeout_s)
        for ref, moved in zip(refs, moving, strict=True):
            if not moved.done() or moved.cancelled():
                moved.cancel()
            elif (failure := moved.exception()) is not None:
                if not isinstance(failure, TreadleError):
                    raise failure
                _log.warning("%s is left as it is: %s", ref.address, failure)
            else:
                ref.passivate()

    def _partition(self, stream: str) -> int:
        return self._subjects.partition(SignalAddress(*session_key(stream)), self._count)
