"""A journal that reads its archives, too: events that were moved are read as if they were still there.

What may happen between two looks is that streams move, from the journal to an archive and never back. So the journal is
looked at first and the catalog after it: what is not here any more is there already, and what is in both counts once.
The newest event never moves, so the journal alone knows where it ends and when it goes on.

A part of an archive that cannot be read is for readers what corrupt rows are: `CorruptEvent` names each event that is
lost with it, and the rest stays readable.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

from ...events.envelope import Head, Position, Recorded, verify_read
from ...events.errors import CorruptEvent, TreadleError
from ...events.journal import Append, Journal, Pending, Snapshot
from .archive_file import Damaged
from .catalog import Archive, Catalog, Place, Shelved
from .shelves import Part, Shelves


class ReadThrough:
    """Implements `Journal`, over one whose streams may be archived."""

    def __init__(self, journal: Journal, catalog: Catalog) -> None:
        self._journal = journal
        self._catalog = catalog
        self._shelves = Shelves()
        self._archivings = 0
        self._archives: Sequence[Archive] = ()
        self._lost: tuple[int, Sequence[Place]] = (0, ())

    def __repr__(self) -> str:
        return f"<ReadThrough {self._journal!r}, {len(self._archives)} archives>"

    @property
    def journal(self) -> Journal:
        """The one below."""
        return self._journal

    @property
    def catalog(self) -> Catalog:
        """What is known of its archives."""
        return self._catalog

    async def archives(self) -> Sequence[Archive]:
        """The archives there are."""
        return await self._known()

    @property
    def name(self) -> str:
        return self._journal.name

    @property
    def owner(self) -> str:
        return self._journal.owner

    @property
    def refusal(self) -> TreadleError | None:
        return self._journal.refusal

    def submit(self, *appends: Append) -> Pending:
        return self._journal.submit(*appends)

    async def append(self, *appends: Append) -> Position:
        return await self._journal.append(*appends)

    async def head(self, stream: str) -> Head:
        return await self._journal.head(stream)

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        corrupt: CorruptEvent | None = None
        rows: Sequence[Recorded] = ()
        try:
            rows = await self._journal.read(stream, after, limit)
        except CorruptEvent as exc:
            corrupt = exc
        shelved = await self._catalog.find(stream)
        while shelved and after < shelved[-1].head.version:
            archives = await self._known()
            events = await asyncio.to_thread(self._from_archives, archives, shelved, after, limit)
            left = None if limit is None else limit - len(events)
            rest = await self._journal.read(stream, shelved[-1].head.version, left)
            again = await self._catalog.find(stream)
            if again == shelved:
                events.extend(rest)
                verify_read(events, after)
                return events
            shelved = again
        if corrupt is not None:
            raise corrupt
        return rows

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        # Up to here all events are in the journal below or in the catalog that is looked at later.
        upto = await self._journal.last_position() if category else 0
        corrupt: CorruptEvent | None = None
        rows: Sequence[Recorded] = ()
        try:
            rows = await self._journal.read_all(after, limit, category=category)
        except CorruptEvent as exc:
            corrupt, upto = exc, exc.position
        if rows and not (category and len(rows) < limit and await self._is_end(rows[-1].position, category)):
            upto = rows[-1].position
        archives = [archive for archive in await self._known() if archive.first_position <= upto]
        archives = [archive for archive in archives if archive.last_position > after]
        if archives and limit:
            rows, corrupt = await self._merged(archives, rows, corrupt, after, upto, limit, category)
        if corrupt is not None and not rows:
            raise corrupt
        return rows

    async def last_position(self) -> Position:
        return await self._journal.last_position()

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self._journal.wait(after, timeout_s)

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """As `Journal.load_snapshot`. That of an archived stream is gone: nothing wakes it."""
        return await self._journal.load_snapshot(stream, schema)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        await self._journal.save_snapshot(snapshot)

    async def is_alive(self, owner: str) -> bool:
        return await self._journal.is_alive(owner)

    def holds(self, since: float) -> bool:
        return self._journal.holds(since)

    async def close(self) -> None:
        await self._journal.close()

    async def _known(self) -> Sequence[Archive]:
        archivings = await self._catalog.archivings()
        if archivings != self._archivings:
            self._archives = await self._catalog.archives()
            self._archivings = archivings
        return self._archives

    async def _is_end(self, position: int, category: str) -> bool:
        """Whether the journal below has nothing of this category any more, not even a corrupt row."""
        try:
            return not await self._journal.read_all(position, 1, category=category)
        except CorruptEvent:
            return False

    def _from_archives(
        self, archives: Sequence[Archive], shelved: Sequence[Shelved], after: int, limit: int | None
    ) -> list[Recorded]:
        """The archived events of a stream. Runs on a thread."""
        by_id = {archive.id: archive for archive in archives}
        events: list[Recorded] = []
        for part in shelved:
            left = None if limit is None else limit - len(events)
            try:
                for event in islice(self._shelves.stream(by_id[part.archive], part, after), left):
                    events.append(event)
            except Damaged as exc:
                version = max(after, events[-1].version if events else 0, part.after)
                place = _first(_places([part]), part.positions[version - part.after] - 1, exc)
                assert place is not None, f"no event of {part.stream!r} is in the damaged part"
                raise CorruptEvent(part.stream, place.version, place.position, str(exc)) from exc
        return events

    async def _merged(
        self,
        archives: Sequence[Archive],
        rows: Sequence[Recorded],
        corrupt: CorruptEvent | None,
        after: int,
        upto: int,
        limit: int,
        category: str,
    ) -> tuple[list[Recorded], CorruptEvent | None]:
        """Rows and archived events in one order, up to the first that cannot be read; and which one that is."""
        skip: set[Part] = set()
        while True:
            found, damaged = await asyncio.to_thread(
                self._shelves.between, archives, after, upto, limit, category, skip
            )
            if damaged is None:
                break
            skip.add((damaged.archive.id, damaged.part))
            place = _first(await self._contents(damaged.archive.id), after, damaged, category)
            if place is not None and place.position <= upto:
                # Behind this one nothing is told before it was.
                upto = place.position - 1
                corrupt = CorruptEvent(place.stream, place.version, place.position, str(damaged))
        merged = {event.position: event for event in (*rows, *found) if event.position <= upto}
        return [merged[position] for position in sorted(merged)[:limit]], corrupt

    async def _contents(self, archive: int) -> Sequence[Place]:
        """All that is in an archive, by position. Only who meets a damaged one asks, and then again and again."""
        if self._lost[0] != archive:
            self._lost = archive, sorted(_places(await self._catalog.contents(archive)))
        return self._lost[1]


def _places(shelved: Iterable[Shelved]) -> Iterable[Place]:
    for part in shelved:
        for version, position in enumerate(part.positions, part.after + 1):
            yield Place(position, part.stream, version)


def _first(places: Iterable[Place], after: int, damaged: Damaged, category: str = "") -> Place | None:
    """The first event above position `after` that is lost with this part of an archive."""
    for place in places:
        if max(after + 1, damaged.first_position) <= place.position <= damaged.last_position and category in (
            "",
            place.stream.partition("-")[0],
        ):
            return place
    return None
