"""The catalog of a journal file, and the archiver's hold on it."""

import fcntl
import os
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ...events.envelope import Head, Recorded, read_stored, verify_chain
from ...events.errors import CorruptEvent, Unavailable
from ..journals.sqlite_archived import ARCHIVINGS, COUNT_ARCHIVING, TABLES, archived_head
from ..journals.sqlite_errors import translate
from ..journals.sqlite_file import JournalFile
from ..journals.sqlite_reader import SqliteReader
from ..journals.sqlite_store import read_head
from .catalog import Archive, Closing, Shelved

_ARCHIVES = (
    "SELECT id, directory, file, events, streams, raw_bytes, size_bytes, sha256, index_offset, index_sha256, "
    "first_position, last_position FROM archives WHERE moved = 1 ORDER BY id"
)
_SHELVED = "SELECT stream, after, version, hash, archive, positions FROM archived_streams "
_EVENTS = (
    "SELECT e.rowid, e.originator_id, e.originator_version, e.topic, e.state, b.data FROM stored_events AS e "
    "LEFT JOIN blobs AS b ON b.digest = CAST(substr(e.state, -140, 64) AS TEXT) "
    'AND CAST(substr(e.state, -149, 9) AS TEXT) = \',"blob":"\' '
)
_BLOBS_IN_USE = (
    "SELECT CAST(substr(state, -140, 64) AS TEXT) FROM stored_events "
    'WHERE rowid > ? AND CAST(substr(state, -149, 9) AS TEXT) = \',"blob":"\''
)
_MOVED = (
    "UPDATE archives SET moved = 1, events = ?, streams = ?, raw_bytes = ?, size_bytes = ?, sha256 = ?, "
    "index_offset = ?, index_sha256 = ?, first_position = ?, last_position = ? WHERE id = ? AND moved = 0"
)
_PAGE = 500


def default_directory(path: Path) -> Path:
    """Where the archives of a journal file are, unless somebody said otherwise."""
    return path.with_name(path.name + ".archives")


class SqliteCatalog:
    """Implements `Catalog` for a journal file, on the connection of the event loop."""

    def __init__(self, reader: SqliteReader, path: Path) -> None:
        self._reader = reader
        self._beside = str(default_directory(path))

    async def archivings(self) -> int:
        return self._archivings()

    async def archives(self) -> Sequence[Archive]:
        rows = self._reader.rows(_ARCHIVES) if self._archivings() else []
        return [_archive(row, self._beside) for row in rows]

    async def find(self, stream: str) -> Sequence[Shelved]:
        if not self._archivings():
            return ()
        return [_shelved(row) for row in self._reader.rows(_SHELVED + "WHERE stream = ? ORDER BY version", stream)]

    async def contents(self, archive: int) -> Sequence[Shelved]:
        return [_shelved(row) for row in self._reader.rows(_SHELVED + "WHERE archive = ?", archive)]

    def _archivings(self) -> int:
        row = self._reader.ask(ARCHIVINGS)
        return 0 if row is None else int(row[0])


class SqliteStore:
    """Implements `Store` for a journal file."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._connection = file.connect("rw")

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def default_directory(self) -> Path:
        return default_directory(self._file.path)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def locked(self) -> Generator[None]:
        """As `Store.locked`: a file beside the journal, which the kernel unlocks when the process dies."""
        path = self._file.path
        lock = os.open(path.with_name(path.name + ".archiving"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"journal {self.name!r}", "another archiving is at work", 5.0) from None
            yield
        finally:
            os.close(lock)

    def prepare(self) -> None:
        with self._errors():
            if self._connection.execute(ARCHIVINGS).fetchone() is None:
                with self._transaction():
                    for statement in TABLES:
                        self._connection.execute(statement)

    def unfinished(self) -> Sequence[tuple[int, Path]]:
        with self._errors():
            rows = self._connection.execute("SELECT id, directory, file FROM archives WHERE moved = 0").fetchall()
        return [(int(id), Path(directory or self.default_directory, file)) for id, directory, file in rows]

    def begin(self, directory: str, file: str) -> int:
        # The usual place moves with the journal, so it is not written down.
        kept = "" if Path(directory) == self.default_directory else directory
        with self._errors():
            cursor = self._connection.execute("INSERT INTO archives (directory, file) VALUES (?, ?)", (kept, file))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def abandon(self, archive: int) -> None:
        with self._errors():
            self._connection.execute("DELETE FROM archives WHERE id = ? AND moved = 0", (archive,))

    def closings(self, types: Sequence[str], after: int) -> Iterator[Closing]:
        query = (
            "SELECT rowid, originator_id, originator_version, state FROM stored_events "
            f"WHERE rowid > ? AND topic IN ({', '.join('?' * len(types))}) ORDER BY rowid LIMIT {_PAGE}"
        )
        # Page by page: a statement that stays open would keep the log from being moved to the file.
        while True:
            with self._errors():
                rows = self._connection.execute(query, (after, *types)).fetchall()
            yield from (Closing(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def ends(self) -> tuple[str, int] | None:
        with self._errors():
            row = self._connection.execute("SELECT originator_id FROM stored_events ORDER BY rowid LIMIT 1").fetchone()
            (last,) = self._connection.execute("SELECT max(rowid) FROM stored_events").fetchone()
        return None if row is None else (row[0], last)

    def head(self, stream: str) -> Head:
        with self._errors():
            return read_head(self._connection, stream)

    def archived_head(self, stream: str) -> Head:
        with self._errors():
            return archived_head(self._connection, stream)

    def events(self, stream: str) -> Sequence[Recorded]:
        query = _EVENTS + "WHERE e.originator_id = ? ORDER BY e.originator_version"
        with self._errors():
            rows = self._connection.execute(query, (stream,)).fetchall()
        events = [_recorded(row) for row in rows]
        verify_chain(events, self.archived_head(stream))
        return events

    def move(self, archive: Archive, shelved: Sequence[Shelved]) -> None:
        removed = 0
        with self._errors(), self._transaction():
            for part in shelved:
                removed += self._connection.execute(
                    "DELETE FROM stored_events WHERE originator_id = ? AND originator_version > ? "
                    "AND originator_version <= ?",
                    (part.stream, part.after, part.head.version),
                ).rowcount
                self._connection.execute("DELETE FROM snapshots WHERE stream = ?", (part.stream,))
                positions = msgspec.json.encode(part.positions).decode()
                self._connection.execute(
                    "INSERT INTO archived_streams (stream, version, after, hash, archive, positions) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (part.stream, part.head.version, part.after, part.head.hash, archive.id, positions),
                )
            entered = self._connection.execute(_MOVED, (*_figures(archive), archive.id)).rowcount
            if removed != archive.events or entered != 1:
                why = f"{removed} rows are there of {archive.events} that were read"
                raise Unavailable(f"journal {self.name!r}", why)
            self._connection.execute(COUNT_ARCHIVING)

    def drop_blobs(self) -> int:
        with self._errors():
            kept = {digest for (digest,) in self._connection.execute("SELECT digest FROM blobs")}
            if not kept:
                return 0
            (upto,) = self._connection.execute("SELECT coalesce(max(rowid), 0) FROM stored_events").fetchone()
            unused = kept - {digest for (digest,) in self._connection.execute(_BLOBS_IN_USE, (0,))}
            with self._transaction():
                # What was written meanwhile may name one of them again.
                unused -= {digest for (digest,) in self._connection.execute(_BLOBS_IN_USE, (upto,))}
                self._connection.executemany("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in unused])
        return len(unused)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise translate(exc, self._file.name) from exc


def _archive(row: Sequence[Any], beside: str) -> Archive:
    id, directory, *rest = row
    return Archive(id, directory or beside, *rest)


def _shelved(row: Sequence[Any]) -> Shelved:
    stream, after, version, digest, archive, positions = row
    return Shelved(stream, after, Head(version, digest), archive, msgspec.json.decode(positions, type=list[int]))


def _figures(archive: Archive) -> tuple[int | str, ...]:
    return msgspec.structs.astuple(archive)[3:]


def _recorded(row: Sequence[Any]) -> Recorded:
    position, stream, version, topic, state, blob = row
    recorded = read_stored(bytes(state or b""), position, blob, stream=stream, version=version)
    if recorded.type != topic:
        raise CorruptEvent(stream, version, position, f"its row says {topic!r}, it is {recorded.type!r}")
    return recorded
