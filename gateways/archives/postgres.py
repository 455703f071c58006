"""The catalog of a journal on PostgreSQL, and the archiver's hold on it."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from ...events.envelope import EMPTY, Head, Recorded, read_stored, verify_chain
from ...events.errors import CorruptEvent, JournalTooNew, Unavailable
from ...events.journal import FORMAT
from ..journals.postgres_archived import ARCHIVED_HEAD, COUNT_ARCHIVING, GUARD, GUARDED
from ..journals.postgres_reader import PostgresReader
from ..journals.postgres_schema import make_tables
from ..journals.postgres_store import read_head
from ..postgres import connect, redacted, translate
from .catalog import Archive, Closing, Shelved

LOCK = 0x74724152
"""The advisory lock of the archiver."""

_ARCHIVES = (
    "SELECT id, directory, file, events, streams, raw_bytes, size_bytes, sha256, index_offset, index_sha256, "
    "first_position, last_position FROM treadle_archives WHERE moved = 1 ORDER BY id"
)
_SHELVED = 'SELECT stream, "after", version, hash, archive, positions FROM treadle_archived_streams '
_BLOB = "substring(e.state FROM octet_length(e.state) - 139 FOR 64)"
_NAMES_BLOB = 'substring(e.state FROM octet_length(e.state) - 148 FOR 9) = \',"blob":"\'::bytea'
_EVENTS = (
    "SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, b.data FROM stored_events AS e "
    f"LEFT JOIN treadle_blobs AS b ON {_NAMES_BLOB} AND b.digest = encode({_BLOB}, 'escape') "
)
_BLOBS_IN_USE = (
    f"SELECT encode({_BLOB}, 'escape') FROM stored_events AS e "
    f"WHERE e.notification_id > %s AND e.notification_id <= %s AND {_NAMES_BLOB}"
)
_CLOSINGS = (
    "SELECT notification_id, originator_id, originator_version, state FROM stored_events "
    "WHERE notification_id > %s AND notification_id <= %s AND topic = ANY(%s) ORDER BY notification_id"
)
_REMOVE = (
    "DELETE FROM stored_events AS e USING unnest(%s::text[], %s::bigint[], %s::bigint[]) AS s (stream, since, version) "
    "WHERE e.originator_id = s.stream AND e.originator_version > s.since AND e.originator_version <= s.version"
)
_ENTER = (
    'INSERT INTO treadle_archived_streams (stream, "after", version, hash, archive, positions) '
    "SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[])"
)
_MOVED = (
    "UPDATE treadle_archives SET moved = 1, events = %s, streams = %s, raw_bytes = %s, size_bytes = %s, sha256 = %s, "
    "index_offset = %s, index_sha256 = %s, first_position = %s, last_position = %s WHERE id = %s AND moved = 0"
)
_RANGE = 20_000
"""Positions that one statement looks at: no statement may take long, and most find little."""


class PostgresCatalog:
    """Implements `Catalog` for a journal on PostgreSQL."""

    def __init__(self, reader: PostgresReader) -> None:
        self._reader = reader
        self._any = False

    async def archivings(self) -> int:
        return await self._reader.archivings()

    async def archives(self) -> Sequence[Archive]:
        rows = await self._reader.rows(_ARCHIVES) if await self._has_any() else ()
        return [Archive(*row) for row in rows]

    async def find(self, stream: str) -> Sequence[Shelved]:
        if not await self._has_any():
            return ()
        rows = await self._reader.rows(_SHELVED + "WHERE stream = %s ORDER BY version", stream)
        return [_shelved(row) for row in rows]

    async def contents(self, archive: int) -> Sequence[Shelved]:
        return [_shelved(row) for row in await self._reader.rows(_SHELVED + "WHERE archive = %s", archive)]

    async def _has_any(self) -> bool:
        # Once there are some they stay: from then on this costs no question.
        self._any = self._any or await self.archivings() > 0
        return self._any


class PostgresStore:
    """Implements `Store` for a journal on PostgreSQL. Its role has to own the tables, or may delete at least."""

    default_directory = None

    def __init__(self, url: str) -> None:
        self._name = redacted(url)
        self._connection = connect(url)

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def locked(self) -> Generator[None]:
        """As `Store.locked`. The lock ends with the connection, and so does what is done under it."""
        (got,) = self._ask("SELECT pg_try_advisory_lock(%s)", LOCK) or (False,)
        if not got:
            raise Unavailable(self.name, "another archiving is at work", 5.0)
        try:
            yield
        finally:
            if not self._connection.broken:
                self._ask("SELECT pg_advisory_unlock(%s)", LOCK)

    def prepare(self) -> None:
        with self._errors():
            found = make_tables(self._connection, self._name)
        if found > FORMAT:
            raise JournalTooNew(self._name, found, FORMAT)
        if self._ask(GUARDED) is None:
            with self._errors(), self._connection.transaction():
                for statement in GUARD:
                    self._connection.execute(statement.encode(), prepare=False)

    def unfinished(self) -> Sequence[tuple[int, Path]]:
        rows = self._rows("SELECT id, directory, file FROM treadle_archives WHERE moved = 0")
        return [(int(id), Path(directory, file)) for id, directory, file in rows]

    def begin(self, directory: str, file: str) -> int:
        row = self._ask("INSERT INTO treadle_archives (directory, file) VALUES (%s, %s) RETURNING id", directory, file)
        assert row is not None
        return int(row[0])

    def abandon(self, archive: int) -> None:
        self._rows("DELETE FROM treadle_archives WHERE id = %s AND moved = 0 RETURNING id", archive)

    def closings(self, types: Sequence[str], after: int) -> Iterator[Closing]:
        for low in range(after, self._last(), _RANGE):
            for position, stream, version, state in self._rows(_CLOSINGS, low, low + _RANGE, list(types)):
                yield Closing(position, stream, version, bytes(state))

    def ends(self) -> tuple[str, int] | None:
        row = self._ask("SELECT originator_id FROM stored_events ORDER BY notification_id LIMIT 1")
        return None if row is None else (row[0], self._last())

    def head(self, stream: str) -> Head:
        with self._errors():
            return read_head(self._connection, stream)

    def archived_head(self, stream: str) -> Head:
        row = self._ask(ARCHIVED_HEAD, stream)
        return EMPTY if row is None else Head(int(row[0]), row[1])

    def events(self, stream: str) -> Sequence[Recorded]:
        rows = self._rows(_EVENTS + "WHERE e.originator_id = %s ORDER BY e.originator_version", stream)
        events = [_recorded(row) for row in rows]
        verify_chain(events, self.archived_head(stream))
        return events

    def move(self, archive: Archive, shelved: Sequence[Shelved]) -> None:
        streams = [part.stream for part in shelved]
        after = [part.after for part in shelved]
        versions = [part.head.version for part in shelved]
        hashes = [part.head.hash for part in shelved]
        positions = [msgspec.json.encode(part.positions).decode() for part in shelved]
        with self._errors(), self._connection.transaction():
            removed = self._connection.execute(_REMOVE, (streams, after, versions)).rowcount
            self._connection.execute("DELETE FROM treadle_snapshots WHERE stream = ANY(%s)", (streams,))
            entry = (streams, after, versions, hashes, [archive.id] * len(streams), positions)
            self._connection.execute(_ENTER, entry)
            figures = msgspec.structs.astuple(archive)[3:]
            entered = self._connection.execute(_MOVED, (*figures, archive.id)).rowcount
            if removed != archive.events or entered != 1:
                raise Unavailable(self.name, f"{removed} rows are there of {archive.events} that were read")
            self._connection.execute(COUNT_ARCHIVING)

    def drop_blobs(self) -> int:
        kept = {digest for (digest,) in self._rows("SELECT digest FROM treadle_blobs")}
        if not kept:
            return 0
        upto, unused = self._last(), set(kept)
        for low in range(0, upto, _RANGE):
            unused -= {digest for (digest,) in self._rows(_BLOBS_IN_USE, low, min(low + _RANGE, upto))}
        with self._errors(), self._connection.transaction():
            # The lock of the writers: what they wrote meanwhile may name one of them again.
            self._connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
            unused -= {digest for (digest,) in self._connection.execute(_BLOBS_IN_USE.encode(), (upto, self._last()))}
            self._connection.execute("DELETE FROM treadle_blobs WHERE digest = ANY(%s)", (list(unused),))
        return len(unused)

    def _last(self) -> int:
        (last,) = self._ask("SELECT coalesce(max(notification_id), 0) FROM stored_events") or (0,)
        return int(last)

    def _ask(self, query: str, *params: object) -> Sequence[Any] | None:
        with self._errors():
            row: Sequence[Any] | None = self._connection.execute(query.encode(), params).fetchone()
            return row

    def _rows(self, query: str, *params: object) -> Sequence[Sequence[Any]]:
        with self._errors():
            rows: Sequence[Sequence[Any]] = self._connection.execute(query.encode(), params).fetchall()
            return rows

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as exc:
            raise translate(exc, self._name) from exc


def _shelved(row: Sequence[Any]) -> Shelved:
    stream, after, version, digest, archive, positions = row
    return Shelved(stream, after, Head(version, digest), archive, msgspec.json.decode(positions, type=list[int]))


def _recorded(row: Sequence[Any]) -> Recorded:
    position, stream, version, topic, state, blob = row
    data = None if blob is None else bytes(blob)
    recorded = read_stored(bytes(state or b""), position, data, stream=stream, version=version)
    if recorded.type != topic:
        raise CorruptEvent(stream, version, position, f"its row says {topic!r}, it is {recorded.type!r}")
    return recorded
