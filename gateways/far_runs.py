"""What runs tell that other nodes work on: `FarPort` over the bus, and over the journal where it is a common one.

The bus is listened to before the run is asked for, so nothing of it is missed. An event counts by its version: what
comes twice is told once, and what is missing is read from the journal.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from ..actors.feed import ChildFeed
from ..actors.model import ModelChunk
from ..events.bus import Bus, BusMessage
from ..events.envelope import Recorded, blob_of, read_stored
from ..events.errors import TreadleError
from ..events.journal import Journal
from ..events.logs import get_logger
from ..events.run import CATEGORY, CLOSING_TAGS, run_stream
from ..events.subjects import Subjects

LINGER_S = 2.0
"""How long the last events of a run that has ended are waited for, where the journal does not have them."""

_log = get_logger("treadle")


class _LiveChunk(Struct):
    run_id: str
    chunk: ModelChunk


class FarRuns:
    """Listens to the bus for those who read a run."""

    def __init__(self, bus: Bus, subjects: Subjects, journal: Journal) -> None:
        self._bus = bus
        self._subjects = subjects
        self._journal = journal

    @asynccontextmanager
    async def follow(self, run_id: str, feed: ChildFeed) -> AsyncGenerator[None]:
        events, chunks = self._subjects.events(None, CATEGORY, run_id), self._subjects.lives(run_id=run_id)
        async with self._bus.subscribe(events) as messages, self._bus.subscribe(chunks) as pieces:
            told = _Told(run_id, feed, self._journal)
            tasks = [asyncio.create_task(told.take(messages)), asyncio.create_task(_chunks(pieces, feed))]
            try:
                yield
                await asyncio.wait(tasks[:1], timeout=LINGER_S if await told.catch_up() else 0)
            finally:
                for task in tasks:
                    task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(ended, TreadleError):
                        # Whoever reads misses what is live; the run itself goes on, and its end is known.
                        _log.warning("run %s was not followed to its end: %s", run_id, ended)


class _Told:
    """How far a run has been told."""

    def __init__(self, run_id: str, feed: ChildFeed, journal: Journal) -> None:
        self._stream = run_stream(run_id)
        self._feed = feed
        self._journal = journal
        self._version = 0

    async def take(self, messages: AsyncIterator[BusMessage]) -> None:
        """Tell what the bus brings, until the run has ended."""
        async for message in messages:
            if blob_of(message.data):
                await self.catch_up()  # it is too large for a message
                continue
            recorded = read_stored(message.data, 0)
            if recorded.version > self._version + 1:
                await self.catch_up()
            self._tell(recorded)
            if recorded.type in CLOSING_TAGS:
                return

    async def catch_up(self) -> bool:
        """Tell what the journal has; False when that is all."""
        last = ""
        while page := await self._journal.read(self._stream, self._version, 500):
            for recorded in page:
                self._tell(recorded)
                last = recorded.type
        return last not in CLOSING_TAGS

    def _tell(self, recorded: Recorded) -> None:
        if recorded.version > self._version:
            self._version = recorded.version
            self._feed.stored(recorded)


async def _chunks(pieces: AsyncIterator[BusMessage], feed: ChildFeed) -> None:
    async for piece in pieces:
        await feed.chunk(msgspec.json.decode(piece.data, type=_LiveChunk).chunk)
