"""The relay: tells the world what the journal has committed, in order, each event once per version.

Nothing is published that is not durable. The relay keeps no position of its own: the newest message of EVENTS
that is of this journal carries one, so a stream that was deleted or restored from a backup is filled up again.
It is looked for at the start and after each outage. Publishing twice is harmless: the broker drops ids that it
knows, and consumers dedupe by stream and version.

Of several nodes on one journal one publishes (`leads`). The others stand by: now and then they look how far EVENTS has
come, which costs them a request and not the reading of the journal, and publish themselves when it does not move.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from ..events.envelope import Recorded
from ..events.errors import CorruptEvent, TreadleError, Unavailable
from ..events.journal import Journal
from ..events.logs import get_logger
from ..events.subjects import Subjects
from .broker.jetstream import Outgoing
from .broker.patience import START_S, patiently
from .broker.streams import lay_streams, stream_name
from .buses.nats import NatsBus

POSITION = "Treadle-Position"
"""Header of every published event: its position in the journal."""

JOURNAL = "Treadle-Journal"
"""Header of every published event: the id of the first event of its journal. Several may share one EVENTS."""

REPAIRED = "Treadle-Repaired"
"""Header of the last event that the auditor published again: everything up to this position is there."""

STANDBY_S = 1.0
"""How long an event may wait for the node that leads, before one that stands by publishes it."""

_NONE: Mapping[str, str] = {}
_PAGE = 500
_log = get_logger("treadle.nats")


class Relay:
    """Follows a journal and publishes it.

    Args:
        leads: Whether it is this node that publishes, of those that follow the journal; asked again and again.
    Attributes:
        position: Everything up to here is published.
        skipped: Events that cannot be published: corrupt in the journal, or larger than the broker takes.
        trouble: Why it does not go on; empty while it does.
    """

    def __init__(
        self, journal: Journal, bus: NatsBus, subjects: Subjects, *, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self.position = 0
        self.skipped = 0
        self.trouble = ""
        self._leads = leads
        self._closing = asyncio.Event()
        self._journal = journal
        self._bus = bus
        self._subjects = subjects
        self._journal_id = ""
        self._lost = False
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Lay the streams, find out where EVENTS ends, and go on from there.

        Raises:
            ConfigError: The streams cannot be what they have to be.
            Unavailable: The server does not serve, and a cluster has had the time to elect its leaders.
        """
        await patiently(self._find, START_S if self._bus.jetstream.cluster else 0)
        self._task = asyncio.create_task(self._follow(), name="relay")

    async def close(self) -> None:
        """Publish what is durable now, for a second at most, and stop."""
        if self._task is None:
            return
        last = await self._journal.last_position()
        self._closing.set()
        try:
            async with asyncio.timeout(1.0):
                while self.position < last and self._bus.connected:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            _log.info("the relay stops at position %d of %d; the next start goes on there", self.position, last)
        self._task.cancel()
        await asyncio.wait((self._task,))

    @property
    def running(self) -> bool:
        """Whether it follows the journal, or tries to."""
        return self._task is not None and not self._task.done()

    async def lag(self) -> int:
        """How many positions the relay is behind the journal."""
        return await self._journal.last_position() - self.position

    async def _find(self) -> None:
        await lay_streams(self._bus.jetstream, self._subjects)
        self.position = await self._published()
        self._lost = False

    async def _published(self) -> int:
        """The position that the newest message of this journal in EVENTS carries; 0 when there is none."""
        stream = stream_name("events", self._subjects)
        journal_id = await self.identity()
        found = await self._bus.jetstream.last_headers(stream, self._subjects.events())
        # Behind it may stand what the relays of other journals have published.
        while found and found.get(JOURNAL) != journal_id:
            before = int(found["Nats-Sequence"]) - 1
            found = await self._bus.jetstream.headers_at(stream, before) if before else _NONE
        told, last = int(found.get(REPAIRED) or found.get(POSITION, "0")), await self._journal.last_position()
        if told > last:
            _log.warning(
                "EVENTS tells of position %d, and the journal ends at %d: it was restored from an older backup; "
                "delete EVENTS, and it is filled again (docs/operations.md)", told, last,
            )  # fmt: skip
        return min(told, last)

    async def identity(self) -> str:
        """Names the journal, once it has an event. One in memory forgets its first, so what was found is kept."""
        after = 0
        while not self._journal_id:
            try:
                first = await self._journal.read_all(after, 1)
            except CorruptEvent as exc:
                after = exc.position
            else:
                if not first:
                    break
                self._journal_id = first[0].id
        return self._journal_id

    async def _follow(self) -> None:
        while True:
            try:
                if self._lost:
                    await self._find()
                if self._leads() or self._closing.is_set():
                    await self._publish_page()
                else:
                    await self._stand_by()
                self.trouble = ""
            except CorruptEvent as exc:
                _log.error("not published: %s", exc)
                self.skipped += 1
                self.position = max(self.position, exc.position)
            except Unavailable as exc:
                self._lost, self.trouble = True, str(exc)
                _log.warning("the relay waits at position %d: %s", self.position, exc)
                await asyncio.sleep(exc.retry_after_s if exc.retry_after_s < 1 else 0.25)
            except TreadleError as exc:
                # Trying the same page for ever beats losing it; the log says why.
                self.trouble = str(exc)
                _log.error("the relay is stuck at position %d: %s", self.position, exc)
                await asyncio.sleep(1.0)

    async def _stand_by(self) -> None:
        """Let another node publish what there is; what nobody has published after a while is published here."""
        last = await self._journal.wait(self.position)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STANDBY_S):
                await self._closing.wait()
        before, self.position = self.position, max(self.position, await self._published())
        self._moved.set()
        if self.position > before and not self._closing.is_set():
            return  # somebody is at it, however far behind
        while self.position < last:
            await self._publish_page()

    async def _publish_page(self) -> None:
        page = await self._journal.read_all(self.position, _PAGE)
        if not page:
            self.trouble = ""
            await self._journal.wait(self.position)
            return
        outgoing: list[Outgoing] = []
        for recorded in page:
            message = await self.message(recorded)
            if message is None:
                self.skipped += 1
            else:
                outgoing.append(message)
        if outgoing:
            await self._bus.publish_stored(outgoing)
        self.position = page[-1].position
        self._moved.set()

    async def message(self, recorded: Recorded) -> Outgoing | None:
        """An event as it is published; None for one that is larger than the broker takes."""
        limit = self._bus.client.max_payload - 4096
        if len(recorded.stored) > limit:
            _log.error("event %s has %d bytes, the broker takes %d", recorded.id, len(recorded.stored), limit)
            return None
        subject = self._subjects.event(recorded.user_id, recorded.stream, recorded.type)
        headers = {POSITION: str(recorded.position), JOURNAL: await self.identity()}
        return Outgoing(subject, recorded.stored, recorded.id, headers)


async def publish_chunk(bus: NatsBus, subjects: Subjects, user_id: str, run_id: str, chunk: msgspec.Struct) -> None:
    """Tell a live chunk; one that cannot be told now is gone, the whole answer comes as an event."""
    try:
        await bus.publish(subjects.live(user_id, run_id), msgspec.json.encode({"run_id": run_id, "chunk": chunk}))
    except TreadleError as exc:
        _log.debug("a chunk of run %s was not told: %s", run_id, exc)
