"""The reader's side of a journal file.

A short read is done where it is asked for, on the event loop: the rows are almost always in memory, and 20 of
them take less time than waking a thread. What is longer than `INLINE_EVENTS` or `INLINE_BYTES`, or has to
fetch blobs, or to search for a category, goes on in a thread with a connection of its own.
"""

import asyncio
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from ...events.envelope import Head, Position, Recorded, blob_of, read_stored, verify_read
from ...events.errors import CorruptEvent, Unavailable
from ...events.journal import Snapshot
from .sqlite_errors import translate
from .sqlite_file import JournalFile
from .sqlite_store import read_head

INLINE_EVENTS = 64
INLINE_BYTES = 128 * 1024
INLINE_SEARCH = 1024
"""How many rows may be searched for those of a category on the event loop."""

_SELECT = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
_STREAM = _SELECT + "WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version LIMIT ?"
_ALL = _SELECT + "WHERE rowid > ? ORDER BY rowid LIMIT ?"
# The plus keeps SQLite from using the index on the id, which would sort the whole category for every page.
_CATEGORY = _SELECT + (
    "WHERE rowid > ? AND (+originator_id = ? OR (+originator_id >= ? AND +originator_id < ?)) ORDER BY rowid LIMIT ?"
)
_SNAPSHOT = (
    "SELECT s.version, s.hash, s.state FROM snapshots AS s JOIN stored_events AS e "
    "ON e.originator_id = s.stream AND e.originator_version = s.version "
    "WHERE s.stream = ? AND s.schema = ? AND CAST(substr(e.state, -66, 64) AS TEXT) = s.hash"
)


class SqliteReader:
    """Reads a journal file. Its own connection belongs to the event loop."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def close(self) -> None:
        """Let go of the file; reading raises `Unavailable` from here on."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def last_position(self) -> Position:
        """The newest position."""
        row = self.ask("SELECT max(rowid) FROM stored_events")
        return Position(row[0] or 0 if row else 0)

    def head(self, stream: str) -> Head:
        """The end of a stream."""
        with self._errors():
            return read_head(self._own(), stream)

    def snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """The snapshot of a stream, if it fits the events that are there."""
        row = self.ask(_SNAPSHOT, stream, schema)
        return None if row is None else Snapshot(stream, Head(row[0], row[1]), schema, row[2])

    async def stream(self, stream: str, after: int, limit: int | None) -> list[Recorded]:
        """The events of one stream."""
        left = -1 if limit is None else limit
        with self._errors():
            page = _read(self._own(), _STREAM, (stream, after, left), inline=True)
        events = page.events
        if page.more:
            last = events[-1].version if events else after
            left = left if limit is None else limit - len(events)
            page = await asyncio.to_thread(self._rest, _STREAM, (stream, last, left))
            events += page.events
        if page.corrupt is not None:
            raise page.corrupt
        verify_read(events, after)
        return events

    async def all(self, after: int, limit: int, category: str) -> list[Recorded]:
        """Events of all streams, or of the streams of a category."""
        query, filter = (_CATEGORY, (category, f"{category}-", f"{category}.")) if category else (_ALL, ())
        page = _Page([], True)
        if not category or self.last_position() - after <= INLINE_SEARCH:
            with self._errors():
                page = _read(self._own(), query, (after, *filter, limit), inline=True)
        events = page.events
        if page.more:
            last = events[-1].position if events else after
            page = await asyncio.to_thread(self._rest, query, (last, *filter, limit - len(events)))
            events += page.events
        if page.corrupt is not None and not events:
            raise page.corrupt
        return events

    def _own(self) -> sqlite3.Connection:
        if self._closed:
            raise Unavailable(f"journal {self._file.name!r}", "it was closed")
        if self._connection is None:
            self._connection = self._file.connect()
        return self._connection

    def ask(self, query: str, *params: object) -> tuple[Any, ...] | None:
        """The first row."""
        with self._errors():
            row: tuple[Any, ...] | None = self._own().execute(query, params).fetchone()
            return row

    async def size_bytes(self) -> int:
        """What the file takes."""
        (pages,), (page_bytes,) = self.rows("PRAGMA page_count")[0], self.rows("PRAGMA page_size")[0]
        return int(pages) * int(page_bytes)

    async def first_position(self) -> int:
        """The position of the oldest event that is there; 0 when there is none."""
        row = self.ask("SELECT min(rowid) FROM stored_events")
        return row[0] or 0 if row else 0

    async def samples(self, positions: Sequence[int] | None) -> Sequence[tuple[str, int, int]]:
        """Stream, version and size of the events at these positions; of all for None."""

        def look() -> list[tuple[str, int, int]]:
            query = "SELECT originator_id, originator_version, length(state) FROM stored_events"
            with self._errors(), closing(self._file.connect()) as connection:
                if positions is None:
                    return connection.execute(query).fetchall()
                chosen = msgspec.json.encode(positions).decode()
                return connection.execute(
                    f"{query} WHERE rowid IN (SELECT value FROM json_each(?))", (chosen,)
                ).fetchall()

        return await asyncio.to_thread(look)

    def rows(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        """All rows."""
        with self._errors():
            return self._own().execute(query, params).fetchall()

    def _rest(self, query: str, params: tuple[object, ...]) -> "_Page":
        with self._errors(), closing(self._file.connect()) as connection:
            return _read(connection, query, params, inline=False)

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise translate(exc, self._file.name) from exc


@dataclass
class _Page:
    events: list[Recorded]
    more: bool = False
    corrupt: CorruptEvent | None = None


def _read(connection: sqlite3.Connection, query: str, params: tuple[object, ...], *, inline: bool) -> _Page:
    """Events up to the first corrupt row; when `inline`, up to what may be done on the event loop."""
    events: list[Recorded] = []
    read_bytes = 0
    with closing(connection.execute(query, params)) as rows:
        for position, stream, version, topic, state in rows:
            stored = state if isinstance(state, bytes) else str(state).encode()
            blob = blob_of(stored)
            read_bytes += len(stored)
            if inline and (blob or len(events) >= INLINE_EVENTS or read_bytes > INLINE_BYTES):
                return _Page(events, more=True)
            data = _blob(connection, blob) if blob else None
            try:
                recorded = read_stored(stored, position, data, stream=stream, version=version)
                if recorded.type != topic:
                    raise CorruptEvent(stream, version, position, f"its row says {topic!r}, it is {recorded.type!r}")
                events.append(recorded)
            except CorruptEvent as exc:
                return _Page(events, corrupt=exc)
    return _Page(events)


def _blob(connection: sqlite3.Connection, digest: str) -> bytes | None:
    row = connection.execute("SELECT data FROM blobs WHERE digest = ?", (digest,)).fetchone()
    return row[0] if row and isinstance(row[0], bytes) else None
