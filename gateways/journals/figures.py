"""How large a journal is, what in it is large, and how fast it grows; cheap enough to ask every few seconds.

A small journal is counted. Of a large one about `SAMPLES` events are looked at, spread over its positions: shares and
means are then good to a few per cent for whatever is not rare. Archives are counted exactly: the catalog knows them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from msgspec import Struct

from ...events.errors import CorruptEvent
from ...events.journal import Journal
from ..archives.read_through import ReadThrough
from .memory import MemoryJournal
from .sqlite import SqliteJournal

SAMPLES = 2000
_MOST_LOOKUPS = 20 * SAMPLES

Sample = tuple[str, int, int]
"""Of one event: stream, version, size of the stored form in bytes."""


class CategoryFigures(Struct, frozen=True):
    """What a category has in the journal, archives apart. A sampled figure is an estimate."""

    streams: int = 0
    events: int = 0
    size_bytes: int = 0

    @property
    def events_per_stream(self) -> float:
        return self.events / self.streams if self.streams else 0.0

    @property
    def bytes_per_stream(self) -> float:
        """Of stored events, before what the database adds to each."""
        return self.size_bytes / self.streams if self.streams else 0.0


class ArchivedFigures(Struct, frozen=True):
    """What has moved to archives."""

    archives: int = 0
    streams: int = 0
    events: int = 0
    raw_bytes: int = 0
    size_bytes: int = 0


class JournalFigures(Struct, frozen=True):
    """A journal in numbers.

    Attributes:
        exact: Whether events were counted; False when they were sampled.
        size_bytes: Of stored events.
        database_bytes: What they take in the database, with its indexes and what is free in its pages; 0 in memory.
        categories: By name; `categories["run"].bytes_per_stream` is the cost of a run.
        new_events, new_bytes: Recorded since `since`.
    """

    exact: bool
    events: int
    size_bytes: int
    database_bytes: int
    categories: Mapping[str, CategoryFigures]
    archived: ArchivedFigures
    since: datetime
    new_events: int
    new_bytes: int


class Measured(Protocol):
    """What a reader of a database tells of the journal in it."""

    async def size_bytes(self) -> int:
        """What the events take, indexes and all."""
        ...

    async def first_position(self) -> int:
        """The position of the oldest event that is there; 0 when there is none."""
        ...

    async def samples(self, positions: Sequence[int] | None) -> Sequence[Sample]:
        """The events at these positions, as far as there are any; all events for None."""
        ...


async def journal_figures(journal: Journal, now: datetime, window: timedelta = timedelta(days=1)) -> JournalFigures:
    """The figures of an open journal.

    Args:
        window: How far back growth is looked at.
    """
    below = journal.journal if isinstance(journal, ReadThrough) else journal
    archived = await _archived(journal) if isinstance(journal, ReadThrough) else ArchivedFigures()
    reader = _reader(below)
    last = await below.last_position()
    first = await reader.first_position() if reader is not None else 1
    span = last - first + 1 if last else 0
    left = last - archived.events  # positions without an event are those of archives, but for a few
    exact = reader is None or left <= SAMPLES
    if reader is None:
        samples: Sequence[Sample] = await _count(below)
    elif exact:
        samples = await reader.samples(None)
    else:
        # Where most has moved, most positions are looked up in vain.
        lookups = min(SAMPLES * span // left, _MOST_LOOKUPS, span)
        samples = await reader.samples(_spread(first, span, lookups))
    categories = _by_category(samples, 1.0 if exact or not samples else left / len(samples))
    events = sum(category.events for category in categories.values())
    size_bytes = sum(category.size_bytes for category in categories.values())
    ever, ever_bytes = events + archived.events, size_bytes + archived.raw_bytes
    new_events = last - await _position_at(below, now - window, first, last) if span else 0
    return JournalFigures(
        exact=exact,
        events=events,
        size_bytes=size_bytes,
        database_bytes=await reader.size_bytes() if reader is not None else 0,
        categories=categories,
        archived=archived,
        since=now - window,
        new_events=new_events,
        new_bytes=round(new_events * ever_bytes / ever) if ever else 0,
    )


def _spread(first: int, span: int, count: int) -> list[int]:
    """One position in each of `count` equal parts, by chance: runs that are alike repeat, and a fixed step may too."""
    chance = Random(span)  # the same journal has the same figures
    return [first + int(span * (n + chance.random()) / count) for n in range(count)]


def _reader(journal: Journal) -> Measured | None:
    if isinstance(journal, MemoryJournal):
        return None
    if isinstance(journal, SqliteJournal):
        return journal.reader
    from .postgres import PostgresJournal  # its driver is an extra

    return journal.reader if isinstance(journal, PostgresJournal) else None


def _by_category(samples: Sequence[Sample], scale: float) -> dict[str, CategoryFigures]:
    counted: dict[str, list[int]] = {}
    for stream, version, size_bytes in samples:
        figures = counted.setdefault(stream.partition("-")[0], [0, 0, 0])
        figures[0] += version == 1
        figures[1] += 1
        figures[2] += size_bytes
    return {
        category: CategoryFigures(*(round(figure * scale) for figure in figures))
        for category, figures in sorted(counted.items())
    }


async def _archived(journal: ReadThrough) -> ArchivedFigures:
    archives = await journal.archives()
    return ArchivedFigures(
        len(archives),
        sum(archive.streams for archive in archives),
        sum(archive.events for archive in archives),
        sum(archive.raw_bytes for archive in archives),
        sum(archive.size_bytes for archive in archives),
    )


async def _count(journal: Journal) -> list[Sample]:
    found: list[Sample] = []
    after = 0
    while page := await journal.read_all(after):
        found += [(event.stream, event.version, len(event.stored)) for event in page]
        after = page[-1].position
    return found


async def _position_at(journal: Journal, at: datetime, low: int, high: int) -> int:
    """The newest position before a time. Clocks differ a little between nodes, and so may this."""
    low -= 1
    while low < high:
        middle = (low + high) // 2
        try:
            page = await journal.read_all(middle, 1)
        except CorruptEvent as exc:
            low = exc.position  # when that was is not known; the next one tells
            continue
        if page and page[0].at < at:
            low = page[0].position
        else:
            high = middle
    return low
