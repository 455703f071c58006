"""The relay: tells the world what the journal has committed, in order, each event once per version.

Nothing is published that is not durable. The relay keeps no position of its own: the newest message of EVENTS
carries one, so a stream that was deleted or restored from a backup is filled up again. Publishing twice is
harmless: the broker drops ids that it knows, and consumers dedupe by stream and version.
"""

import asyncio
import logging

import msgspec

from ..events.errors import CorruptEvent, TreadleError, Unavailable
from ..events.journal import Journal
from ..events.subjects import Subjects
from .buses.nats import NatsBus
from .jetstream import Outgoing
from .nats_streams import stream_name

POSITION = "Treadle-Position"
"""Header of every published event: its position in the journal."""

_PAGE = 500
_log = logging.getLogger("treadle.nats")


class Relay:
    """Follows a journal and publishes it.

    Attributes:
        position: Everything up to here is published.
        skipped: Events that cannot be published: corrupt in the journal, or larger than the broker takes.
    """

    def __init__(self, journal: Journal, bus: NatsBus, subjects: Subjects) -> None:
        self.position = 0
        self.skipped = 0
        self._journal = journal
        self._bus = bus
        self._subjects = subjects
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out where EVENTS ends, and go on from there."""
        self.position = await self._published()
        self._task = asyncio.create_task(self._follow(), name="relay")

    async def close(self) -> None:
        """Publish what is durable now, for a second at most, and stop."""
        if self._task is None:
            return
        last = await self._journal.last_position()
        try:
            async with asyncio.timeout(1.0):
                while self.position < last and self._bus.connected:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            _log.info("the relay stops at position %d of %d; the next start goes on there", self.position, last)
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def lag(self) -> int:
        """How many positions the relay is behind the journal."""
        return await self._journal.last_position() - self.position

    async def _published(self) -> int:
        """The position that the newest message of EVENTS carries; 0 for none, or for that of another journal."""
        stream = stream_name("events", self._subjects)
        found = await self._bus.jetstream.last_headers(stream, self._subjects.events())
        position = int(found.get(POSITION, "0"))
        return position if position <= await self._journal.last_position() else 0

    async def _follow(self) -> None:
        while True:
            try:
                await self._publish_page()
            except CorruptEvent as exc:
                _log.error("not published: %s", exc)
                self.skipped += 1
                self.position = max(self.position, exc.position)
            except Unavailable as exc:
                _log.warning("the relay waits at position %d: %s", self.position, exc)
                await asyncio.sleep(exc.retry_after_s if exc.retry_after_s < 1 else 0.25)
            except TreadleError as exc:
                # Trying the same page for ever beats losing it; the log says why.
                _log.error("the relay is stuck at position %d: %s", self.position, exc)
                await asyncio.sleep(1.0)

    async def _publish_page(self) -> None:
        page = await self._journal.read_all(self.position, _PAGE)
        if not page:
            await self._journal.wait(self.position)
            return
        limit = self._bus.client.max_payload - 4096
        outgoing: list[Outgoing] = []
        for recorded in page:
            if len(recorded.stored) > limit:
                _log.error("event %s has %d bytes, the broker takes %d", recorded.id, len(recorded.stored), limit)
                self.skipped += 1
                continue
            subject = self._subjects.event(recorded.user_id, recorded.stream, recorded.type)
            headers = {POSITION: str(recorded.position)}
            outgoing.append(Outgoing(subject, recorded.stored, recorded.id, headers))
        if outgoing:
            await self._bus.publish_stored(outgoing)
        self.position = page[-1].position
        self._moved.set()


async def publish_chunk(bus: NatsBus, subjects: Subjects, user_id: str, run_id: str, chunk: msgspec.Struct) -> None:
    """Tell a live chunk; one that cannot be told now is gone, the whole answer comes as an event."""
    try:
        await bus.publish(subjects.live(user_id, run_id), msgspec.json.encode({"run_id": run_id, "chunk": chunk}))
    except Unavailable as exc:
        _log.debug("a chunk of run %s was not told: %s", run_id, exc)
