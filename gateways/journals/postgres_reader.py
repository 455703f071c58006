"""The reader's side of a journal on PostgreSQL: connections of the event loop, a few at a time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ...events.envelope import EMPTY, Head, Position, Recorded, blob_of, read_stored, verify_read
from ...events.errors import CorruptEvent, Unavailable
from ...events.journal import Snapshot
from ..postgres import CONNECT_TIMEOUT_S, conninfo, translate
from ..postgres_calls import AsyncConnection, heeding_cancels
from .postgres_archived import ARCHIVED_HEAD, ARCHIVES
from .postgres_store import HEAD, head_in

PAGE = 500
_COLUMNS = "SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events "
_STREAM = _COLUMNS + "WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s"
_ALL = _COLUMNS + "WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
_CATEGORY = _COLUMNS + (
    "WHERE notification_id > %s AND split_part(originator_id, '-', 1) = %s ORDER BY notification_id LIMIT %s"
)
_LAST = "SELECT coalesce(max(notification_id), 0) FROM stored_events"
_SNAPSHOT = (
    "SELECT s.version, s.hash, s.state, e.state FROM treadle_snapshots AS s JOIN stored_events AS e "
    "ON e.originator_id = s.stream AND e.originator_version = s.version WHERE s.stream = %s AND s.schema = %s"
)


class PostgresReader:
    """Reads a journal. Belongs to the event loop it was opened on."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._pool = AsyncConnectionPool(
            conninfo(url),
            connection_class=AsyncConnection,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=8,
            open=False,
            timeout=CONNECT_TIMEOUT_S,
        )

    async def open(self) -> None:
        """Begin to connect; who reads waits until there is a connection."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Let go of the connections; reading raises `Unavailable` from here on."""
        await self._pool.close()

    async def last_position(self) -> Position:
        """The newest position."""
        row = await self.ask(_LAST)
        return Position(int(row[0]) if row else 0)

    async def head(self, stream: str) -> Head:
        """The end of a stream."""
        row = await self.ask(HEAD, stream)
        if row is not None:
            return head_in(int(row[0]), row[1])
        row = await self.ask(ARCHIVED_HEAD, stream)
        return EMPTY if row is None else Head(int(row[0]), row[1])

    async def archivings(self) -> int:
        """How often streams were moved to an archive."""
        row = await self.ask(ARCHIVES)
        return 0 if row is None else int(row[0])

    async def snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """The snapshot of a stream, if it fits the events that are there."""
        row = await self.ask(_SNAPSHOT, stream, schema)
        if row is None or head_in(int(row[0]), row[3]).hash != row[1]:
            return None
        return Snapshot(stream, Head(int(row[0]), row[1]), schema, row[2])

    async def stream(self, stream: str, after: int, limit: int | None) -> list[Recorded]:
        """The events of one stream."""
        events: list[Recorded] = []
        version = after
        while limit is None or len(events) < limit:
            wanted = PAGE if limit is None else min(PAGE, limit - len(events))
            rows = await self.rows(_STREAM, stream, version, wanted)
            for row in rows:
                events.append(await self._recorded(row))
                version = events[-1].version
            if len(rows) < wanted:
                break
        verify_read(events, after)
        return events

    async def all(self, after: int, limit: int, category: str) -> list[Recorded]:
        """Events of all streams, or of the streams of a category."""
        rows = await (self.rows(_CATEGORY, after, category, limit) if category else self.rows(_ALL, after, limit))
        events: list[Recorded] = []
        for row in rows:
            try:
                events.append(await self._recorded(row))
            except CorruptEvent:
                if not events:
                    raise
                break
        return events

    async def size_bytes(self) -> int:
        """What the events take, indexes and all."""
        row = await self.ask("SELECT pg_total_relation_size('stored_events')")
        return int(row[0]) if row else 0

    async def first_position(self) -> int:
        """The position of the oldest event that is there; 0 when there is none."""
        row = await self.ask("SELECT coalesce(min(notification_id), 0) FROM stored_events")
        return int(row[0]) if row else 0

    async def samples(self, positions: Sequence[int] | None) -> Sequence[tuple[str, int, int]]:
        """Stream, version and size of the events at these positions; of all for None."""
        query = "SELECT originator_id, originator_version, octet_length(state) FROM stored_events"
        if positions is None:
            rows = await self.rows(query)
        else:
            rows = await self.rows(query + " WHERE notification_id = ANY(%s)", list(positions))
        return [(str(stream), int(version), int(size)) for stream, version, size in rows]

    async def is_locked(self, key: int) -> bool:
        """Whether somebody holds this advisory lock."""
        classid, objid = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
        found = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted"
        return await self.ask(found, classid, objid) is not None

    async def _recorded(self, row: Sequence[Any]) -> Recorded:
        position, stream, version, topic, state = row
        stored = bytes(state or b"")
        digest = blob_of(stored)
        data = None
        if digest:
            blob = await self.ask("SELECT data FROM treadle_blobs WHERE digest = %s", digest)
            data = bytes(blob[0]) if blob else None
        recorded = read_stored(stored, int(position), data, stream=stream, version=int(version))
        if recorded.type != topic:
            raise CorruptEvent(stream, version, position, f"its row says {topic!r}, it is {recorded.type!r}")
        return recorded

    async def ask(self, query: str, *params: object) -> Sequence[Any] | None:
        """The first row."""
        async with self._connection() as connection:
            row: Sequence[Any] | None = await (await connection.execute(query.encode(), params)).fetchone()
            return row

    async def rows(self, query: str, *params: object) -> Sequence[Sequence[Any]]:
        """All rows."""
        async with self._connection() as connection:
            rows: Sequence[Sequence[Any]] = await (await connection.execute(query.encode(), params)).fetchall()
            return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection]:
        if self._pool.closed:
            raise Unavailable(self._name, "it was closed")
        try:
            with heeding_cancels():
                async with self._pool.connection() as connection:
                    yield connection
        except PoolTimeout as exc:
            raise Unavailable(self._name, f"no connection within {CONNECT_TIMEOUT_S} s", 1.0) from exc
        except psycopg.Error as exc:
            raise translate(exc, self._name) from exc
