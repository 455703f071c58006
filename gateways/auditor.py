"""The auditor: finds what the broker has lost of the journal, and publishes it again.

The relay goes on behind the newest message; what is lost before that it does not see: a block of the server's disk that
is dropped for one flipped bit, a store directory restored from a backup while nothing happened, a purge. The auditor
reads all of EVENTS at the start, after each outage, when the server says that messages have gone, and every few hours.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from ..actors.clock import SYSTEM_CLOCK, Clock
from ..events.bus import MESSAGE_ID_HEADER
from ..events.errors import CorruptEvent, TreadleError
from ..events.journal import Journal
from ..events.logs import get_logger
from ..events.subjects import Subjects
from .broker.jetstream import NANOSECONDS, Outgoing
from .broker.streams import lay_streams, stream_name
from .buses.nats import NatsBus
from .relay import JOURNAL, POSITION, REPAIRED, Relay

_PAGE: Final = 500
_MARGIN: Final = timedelta(hours=1)
"""Events so close to the end of what EVENTS keeps are not published again: the server is about to drop them."""

_log = get_logger("treadle.nats")


class Auditor:
    """Watches over EVENTS for one journal.

    Args:
        look_every_s: How often the server is asked whether messages have gone: one request.
        read_every_s: How often EVENTS is read though nothing seems amiss.

    Attributes:
        republished: How many events were published again since the start.
        audits: How often EVENTS was read to its end.
    """

    def __init__(
        self,
        journal: Journal,
        bus: NatsBus,
        subjects: Subjects,
        relay: Relay,
        *,
        clock: Clock = SYSTEM_CLOCK,
        look_every_s: float = 30.0,
        read_every_s: float = 6 * 3600.0,
    ) -> None:
        self.republished = 0
        self.audits = 0
        self._journal = journal
        self._bus = bus
        self._subjects = subjects
        self._relay = relay
        self._clock = clock
        self._look_every_s = look_every_s
        self._read_every_s = read_every_s
        self._stream = stream_name("events", subjects)
        self._seen: _Seen | None = None
        self._read_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="auditor")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def look(self) -> int:
        """Audit if there is a reason to; returns how many events were published again."""
        seen, now = await self._state(), self._clock.monotonic()
        before, self._seen = self._seen, seen
        # Fewer messages missing than before is what age does: holes leave EVENTS at its old end too.
        same = before is not None and seen.place == before.place and seen.holes <= before.holes
        if same and now - self._read_at < self._read_every_s:
            return 0
        try:
            count = await self.audit()
        except BaseException:
            self._seen = None
            raise
        self._read_at = now
        return count

    async def audit(self) -> int:
        """Compare the journal with all of EVENTS, and publish what is missing; returns how many events that were.

        Raises:
            Unavailable: The server went away; what was published is not missing next time.
        """
        upto = self._relay.position
        told = await self._told(upto)
        count, waiting = 0, list[Outgoing]()
        async for message in self._lost(told, upto):
            waiting.append(message)
            if len(waiting) > _PAGE:
                count += await self._publish(waiting[:-1])
                waiting = waiting[-1:]
        if waiting:
            count += await self._publish(waiting[:-1])
            # The relay looks at the newest message to see where to go on: it is this one, unless more has happened.
            headers = {**waiting[-1].headers, REPAIRED: str(self._relay.position)}
            count += await self._publish([msgspec.structs.replace(waiting[-1], headers=headers)])
            _log.warning("EVENTS had lost %d events of this journal; they are published again", count)
        self.audits += 1
        self.republished += count
        return count

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except TreadleError as exc:
                _log.warning("the audit of EVENTS waits: %s", exc)
            await asyncio.sleep(self._look_every_s)

    async def _state(self) -> "_Seen":
        outages = self._bus.outages
        await lay_streams(self._bus.jetstream, self._subjects)
        info = await self._bus.jetstream.call(f"STREAM.INFO.{self._stream}")
        return _Seen((outages, info["created"]), info["state"].get("num_deleted", 0))

    async def _told(self, upto: int) -> bytearray:
        """A one for each position that EVENTS has of this journal."""
        told = bytearray(upto + 1)
        journal_id, sequence = await self._relay.identity(), 1
        while page := await self._bus.jetstream.headers_page(self._stream, self._subjects.events(), sequence, _PAGE):
            for headers in page:
                if headers.get(JOURNAL) == journal_id and (position := int(headers.get(POSITION, "0"))) <= upto:
                    told[position] = 1
            sequence = int(page[-1]["Nats-Sequence"]) + 1
        return told

    async def _lost(self, told: bytearray, upto: int) -> AsyncIterator[Outgoing]:
        """The events that EVENTS ought to have and has not, in their order."""
        config = await self._bus.jetstream.stream_config(self._stream) or {}
        after, oldest = 0, datetime.min.replace(tzinfo=UTC)
        if config.get("max_age"):
            oldest = self._clock.now() - timedelta(seconds=config["max_age"] / NANOSECONDS) + _MARGIN
        if max(config.get("max_msgs", -1), config.get("max_bytes", -1)) > 0:
            # Its operator lets it drop the oldest: only what lies between others is lost.
            after = max(told.find(1), 1) - 1
        # Most of it is there: the journal is read only where it is not.
        while (gap := told.find(0, after + 1)) > 0:
            try:
                page = await self._journal.read_all(gap - 1, _PAGE)
            except CorruptEvent as exc:
                after = exc.position
                continue
            if not page:
                return
            for recorded in page:
                after = recorded.position
                if after <= upto and not told[after] and recorded.at >= oldest:
                    message = await self._relay.message(recorded)
                    if message is not None:
                        yield message

    async def _publish(self, messages: Sequence[Outgoing]) -> int:
        """Publish again; returns how many were indeed missing."""
        if not messages:
            return 0
        count = 0
        for message, stored in zip(messages, await self._bus.publish_stored(messages), strict=True):
            if stored.duplicate:
                there = await self._bus.jetstream.headers_at(self._stream, stored.sequence)
                if there.get(MESSAGE_ID_HEADER) == message.message_id:
                    continue  # the relay was quicker
                # Lost so soon that the server still knows its id, and only that.
                again = msgspec.structs.replace(message, message_id=f"{message.message_id}/again")
                await self._bus.publish_stored([again])
            count += 1
        return count


class _Seen(NamedTuple):
    """What changes when messages go.

    Attributes:
        place: Which stream it is, by its creation, and which of our connections: a server may come back with less.
        holes: How many messages are missing in its middle.
    """

    place: tuple[int, str]
    holes: int
