"""The events of runs as they come: what was, then what is, without a gap and without a double.

Over NATS the history comes from the service `history`, by version, and what is new from the event subjects; both are
joined by version, so neither the order in which they arrive nor a repetition matters. When the connection is lost, or
the system is being started again, following goes on where it was. Without a system the journal itself is followed.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from ...actors.model import ModelChunk
from ...events.bus import BusMessage
from ...events.envelope import blob_of, read_stored
from ...events.errors import NotFound, Unavailable
from ...events.journal import Journal
from ...events.run import CATEGORY, CLOSING_TAGS, run_stream
from ...events.subjects import Subjects
from ..broker.streams import stream_name
from ..buses.nats import NatsBus
from ..run_event import Event, of_chunk, of_recorded, public_type
from .asking import ask_over
from .run_progress import RunProgress, Tell

RETRY_S = 0.25
PAGE = 500
CLOSING = frozenset(public_type(tag) for tag in CLOSING_TAGS)


class Follower(Protocol):
    """Where events come from."""

    async def run(self, run_id: str, after: int, tell: Tell) -> Event:
        """Tell the events of a run above version `after` until it has ended; returns its last one.

        Raises:
            NotFound: There is no such run.
        """
        ...

    async def user(self, user_id: str, agent: str, tell: Tell) -> None:
        """Tell the events of a user's runs (of one agent), for ever.

        Of every run that begins or goes on from now on, from its first event.
        """
        ...


class OverJournal:
    """Follows the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def run(self, run_id: str, after: int, tell: Tell) -> Event:
        stream = run_stream(run_id)
        head = await self._journal.head(stream)
        if not head.version:
            raise NotFound("run", run_id, f"journal {self._journal.name} has no stream {stream!r}")
        [newest] = await self._journal.read(stream, head.version - 1, 1)
        if head.version <= after and newest.type in CLOSING_TAGS:
            return of_recorded(newest)
        while True:
            position = await self._journal.last_position()
            page = await self._journal.read(stream, after, PAGE)
            for recorded in page:
                event, after = of_recorded(recorded), recorded.version
                tell(event)
                if event.type in CLOSING:
                    return event
            if not page:
                await self._journal.wait(position)

    async def user(self, user_id: str, agent: str, tell: Tell) -> None:
        runs = RunProgress(agent, tell)
        position: int = await self._journal.last_position()
        while True:
            newest = await self._journal.wait(position)
            page = await self._journal.read_all(position, PAGE, category=CATEGORY)
            for recorded in page:
                if recorded.user_id == user_id:
                    run_id = recorded.stream.removeprefix(f"{CATEGORY}-")
                    for event in await self._journal.read(recorded.stream, runs.version(run_id)):
                        runs.take(of_recorded(event))
            position = page[-1].position if page else newest


class _History(Struct):
    events: list[Raw]
    head: int
    more: bool


class _LiveChunk(Struct):
    run_id: str
    chunk: ModelChunk


class OverNats:
    """Follows a system over its NATS server, with live chunks.

    A system that goes away after it was there is waited for; `note` is told.
    """

    def __init__(self, bus: NatsBus, subjects: Subjects, note: Callable[[str], None]) -> None:
        self._bus = bus
        self._subjects = subjects
        self._note = note
        self._listened = False

    async def run(self, run_id: str, after: int, tell: Tell) -> Event:
        """Also raises `Unavailable`: no system answers there."""
        runs = RunProgress("", tell, {run_id: after})

        async def listen() -> Event:
            events, chunks = self._subjects.events(None, CATEGORY, run_id), self._subjects.lives(run_id=run_id)
            async with self._listening(events, chunks, tell) as messages:
                last = await self._catch_up(run_id, runs)
                while last is None:
                    event = event_of((await anext(messages)).data)
                    last = await self._take(event, runs)
                return last

        return await self._unless_gone(listen)

    async def user(self, user_id: str, agent: str, tell: Tell) -> None:
        runs = RunProgress(agent, tell)
        stream = stream_name("events", self._subjects)
        subject = self._subjects.events(user_id, CATEGORY)
        sequence = 0

        def tell_chunk(event: Event) -> None:
            if runs.follows(event.run_id):
                tell(event)

        async def listen() -> None:
            nonlocal sequence
            async with self._listening(subject, self._subjects.lives(user_id), tell_chunk) as messages:
                if not sequence:
                    info = await self._bus.jetstream.call(f"STREAM.INFO.{stream}")
                    sequence = int(info["state"]["last_seq"])
                # What came while nobody listened: nothing the first time, an outage's worth later.
                while (stored := await self._next(stream, subject, sequence + 1)) is not None:
                    sequence = int(stored.headers["Nats-Sequence"])
                    await self._take(event_of(stored.data), runs)
                async for message in messages:
                    await self._take(event_of(message.data), runs)

        await self._unless_gone(listen)

    async def _take(self, event: Event, runs: RunProgress) -> Event | None:
        """Tell an event, and before it what is missing; the run's end if it has ended."""
        if event.version > runs.version(event.run_id) + 1:
            return await self._catch_up(event.run_id, runs)
        runs.take(event)
        return event if event.type in CLOSING else None

    async def _catch_up(self, run_id: str, runs: RunProgress) -> Event | None:
        """Tell what the journal has; the run's end if it has ended."""
        while True:
            after = runs.version(run_id)
            body = {"run_id": run_id, "after": after, "limit": PAGE}
            page: _History = await ask_over(self._bus, self._subjects, "history", body, wanted=_History)
            if not page.head:
                raise NotFound("run", run_id, "the system that answers has no such run")
            if after >= page.head:
                body |= {"after": page.head - 1}
                page = await ask_over(self._bus, self._subjects, "history", body, wanted=_History)
            event = None
            for stored in page.events:
                event = event_of(bytes(stored))
                runs.take(event)
            if event is not None and event.type in CLOSING:
                return event
            if not page.more:
                return None

    async def _next(self, stream: str, subject: str, sequence: int) -> BusMessage | None:
        """The first message of a stream on `subject` from `sequence` on; None when there is none, so far."""
        body = msgspec.json.encode({"seq": sequence, "next_by_subj": subject})
        found = await self._bus.request(f"$JS.API.DIRECT.GET.{stream}", body, 5.0)
        return None if "Status" in found.headers else found

    @asynccontextmanager
    async def _listening(self, events: str, chunks: str, tell: Tell) -> AsyncGenerator[AsyncIterator[BusMessage]]:
        """Event messages, while chunks are told as they come."""
        async with self._bus.subscribe(events) as messages, self._bus.subscribe(chunks) as pieces:
            self._listened = True

            async def tell_chunks() -> None:
                async for piece in pieces:
                    live = msgspec.json.decode(piece.data, type=_LiveChunk)
                    tell(of_chunk(live.chunk, live.run_id, ""))

            telling = asyncio.create_task(tell_chunks(), name="chunks")
            try:
                yield messages
            finally:
                telling.cancel()
                # Its end is that of the other subscription, which says why.
                await asyncio.gather(telling, return_exceptions=True)

    async def _unless_gone(self, listen: Callable[[], Awaitable[Event | None]]) -> Event:
        noted = False
        while True:
            try:
                last = await listen()
                assert last is not None, "the connection is ours to close"
                return last
            except StopAsyncIteration:
                raise Unavailable("NATS", "the connection was closed") from None
            except Unavailable as exc:
                if not self._listened and not self._bus.connected:
                    raise
                if not noted:
                    self._note(f"the system does not answer ({exc.why}); waiting for it")
                noted = True
                await asyncio.sleep(RETRY_S)


def event_of(stored: bytes) -> Event:
    """A stored event as users see it. A payload that was too large for its event stays where it is.

    Raises:
        CorruptEvent: The bytes are no event, or were changed on the way.
    """
    digest = blob_of(stored)
    if not digest:
        return of_recorded(read_stored(stored, 0))
    found = msgspec.json.decode(stored, type=_Large)
    return Event(
        type=public_type(found.type),
        run_id=found.run_id,
        session_id=found.session_id,
        version=found.version,
        at=found.at,
        payload={"blob": digest},
    )


class _Large(Struct):
    type: str
    run_id: str
    session_id: str
    version: int
    at: datetime
