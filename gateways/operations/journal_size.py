"""How large a journal is, and how fast it grows.

Sizes are asked of the database and cost it little; events are counted by their positions. What has been moved out of
the journal counts no more.
"""

import asyncio
import contextlib
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from ...events.errors import CorruptEvent
from ...events.journal import Journal
from ...projections import Runs
from ..journals import is_postgres, journal_path
from ..journals.sqlite_errors import translate
from ..journals.sqlite_file import connect_file
from ..journals.sqlite_recorder import LOCK_TIMEOUT_S
from ..postgres import connect, redacted, translated

DAY = timedelta(days=1)

_BYTES = (
    b"SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c "
    b"WHERE c.oid IN (to_regclass('stored_events'), to_regclass('treadle_blobs'), to_regclass('treadle_snapshots'))"
)

_FILE_BYTES = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)


class JournalFigures(Struct, frozen=True):
    """How large a journal is.

    Attributes:
        size_bytes: On its disk, with indexes and blobs; 0 for one in memory.
        runs: None where no node keeps the projection of runs.
        events_last_day: By the times that the events carry.
    """

    name: str
    events: int
    size_bytes: int
    runs: int | None
    events_last_day: int

    @property
    def bytes_per_event(self) -> int:
        return self.size_bytes // max(self.events, 1)

    @property
    def bytes_per_run(self) -> int:
        return self.size_bytes // max(self.runs or 0, 1)

    @property
    def bytes_last_day(self) -> int:
        return self.events_last_day * self.bytes_per_event


async def journal_figures(journal: Journal, spec: str, runs: Runs | None, now: datetime) -> JournalFigures:
    """The figures of `journal`, which was opened by `spec`.

    Raises:
        Unavailable: It does not answer.
    """
    last = await journal.last_position()
    first = await _first_position(journal)
    return JournalFigures(
        name=journal.name,
        events=last - first + 1 if first else 0,
        size_bytes=await asyncio.to_thread(_size_bytes, spec),
        runs=None if runs is None else await _count(runs),
        events_last_day=last - await _last_before(journal, now - DAY, first, last),
    )


async def _count(runs: Runs) -> int:
    [(count,)] = await runs.read(lambda tx: tx.query("SELECT count(*) FROM runs"))
    return int(count)


def _size_bytes(spec: str) -> int:
    if is_postgres(spec):
        with translated(redacted(spec)), connect(spec) as connection:
            (size,) = connection.execute(_BYTES).fetchone() or (0,)
            return int(size)
    path = journal_path(spec)
    if path is None:
        return 0
    try:
        with contextlib.closing(connect_file(Path(path), "ro", LOCK_TIMEOUT_S)) as connection:
            # What is still in its log counts, and the log's own length, which is kept, does not.
            [(size,)] = connection.execute(_FILE_BYTES)
            return int(size)
    except sqlite3.Error as exc:
        raise translate(exc, spec) from exc


async def _first_position(journal: Journal) -> int:
    """The first position that holds an event; 0 when there is none."""
    try:
        page = await journal.read_all(0, 1)
    except CorruptEvent as exc:
        return exc.position
    return page[0].position if page else 0


async def _last_before(journal: Journal, when: datetime, first: int, last: int) -> int:
    """The last position whose event is from before `when`, found in some twenty looks: times grow with positions."""
    low, high = max(first - 1, 0), last
    while low < high:
        middle = (low + high) // 2
        try:
            page = await journal.read_all(middle, 1)
        except CorruptEvent as exc:
            page, following = (), exc.position
        else:
            following = page[0].position if page else high
        if page and page[0].at < when:
            low = min(following, high)
        else:
            high = middle
    return low
