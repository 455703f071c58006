"""The recorder of `eventsourcing` for SQLite, taught to insert fast and to know its positions.

The table is the library's, `stored_events (originator_id, originator_version, topic, state)`, and so are its
promises: one row per stream and version, and `rowid` as the global order. Added here:

* many rows go in with one statement. SQLite's driver lets go of Python's lock around every statement, and a
  busy event loop takes up to 5 ms to give it back: a row at a time would cost that much each;
* positions are chosen before the insert, one above the highest that ever was. A trigger remembers what is
  deleted, so that a position never names two events, whoever deletes rows and by whatever program;
* the journal's other tables: `meta`, `blobs`, `snapshots`.
"""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eventsourcing.persistence import InterfaceError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTransaction,
)

from ...events.envelope import Row
from ...events.journal import NEW_FORMAT

APPLICATION_ID = int.from_bytes(b"TRDL", "big")
"""In the header of every journal file, so that `file` and we can tell it from other databases."""

LOCK_TIMEOUT_S = 5.0

EVENTS = "stored_events"

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    f"INSERT OR IGNORE INTO meta VALUES ('format', {NEW_FORMAT}), ('deleted_up_to', 0), ('resolved_commits', 0)",
    "CREATE TRIGGER IF NOT EXISTS positions_are_never_reused AFTER DELETE ON stored_events BEGIN "
    "UPDATE meta SET value = OLD.rowid WHERE key = 'deleted_up_to' AND value < OLD.rowid; END",
    "CREATE TABLE IF NOT EXISTS blobs (digest TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS snapshots (stream TEXT PRIMARY KEY, version INTEGER NOT NULL, hash TEXT NOT NULL, "
    "schema TEXT NOT NULL, state BLOB NOT NULL)",
)

_LAST_POSITION = (
    "SELECT max((SELECT value FROM meta WHERE key = 'deleted_up_to'), "
    "(SELECT coalesce(max(rowid), 0) FROM stored_events))"
)
_COLUMNS = "rowid, originator_id, originator_version, topic, state"
_ROWS_PER_STATEMENT = 1024


def connect(
    path: Path,
    *,
    mode: str = "rw",
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """A connection whose commits are fsynced, in autocommit mode, usable from any one thread at a time.

    Args:
        mode: `rw`, `rwc` to create the file, `ro`, or `immutable` where not even a lock can be taken.
        factory: The connection's class.
    """
    access = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{access}",
        uri=True,
        timeout=lock_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        factory=factory,
        cached_statements=256,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:  # the first to read the file, and so to be told that it is no database
        connection.close()
        raise
    return connection


class _Transaction(SQLiteTransaction):
    def __enter__(self) -> SQLiteCursor:
        cursor = self.connection.cursor()
        # A writer asks for the lock at once: one that has read first may be refused it without waiting.
        cursor.execute("BEGIN IMMEDIATE" if self.commit else "BEGIN")
        return cursor


class _Connection(SQLiteConnection):
    @contextmanager
    def transaction(self, *, commit: bool) -> Generator[SQLiteCursor]:
        with _Transaction(self, commit=commit) as cursor, cursor:
            yield cursor


class _Pool(SQLiteConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__(db_name=str(path))
        self.path = path

    def _create_connection(self) -> SQLiteConnection:
        try:
            connection = connect(self.path, mode="rwc")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as exc:
            raise InterfaceError(exc) from exc
        connection.row_factory = sqlite3.Row
        return _Connection(connection, max_age=self.max_age)


class JournalDatastore(SQLiteDatastore):
    """The library's datastore on a journal file: WAL, fsynced commits, writers that wait for one another."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), originator_id_type="text")
        self.pool.close()
        self.pool = _Pool(path)


class JournalRecorder(SQLiteApplicationRecorder):
    """Records on a journal file, through the library's interface or with `insert_rows` inside a transaction."""

    def __init__(self, datastore: SQLiteDatastore) -> None:
        super().__init__(datastore, events_table_name=EVENTS)

    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(), *SCHEMA]

    def _insert_events(self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        first = last_position(c.sqlite_cursor) + 1
        rows = [(str(s.originator_id), s.originator_version, s.topic, s.state) for s in stored_events]
        insert_rows(c.sqlite_cursor, first, rows)
        return list(range(first, first + len(rows)))


def last_position(cursor: sqlite3.Cursor | sqlite3.Connection) -> int:
    """The highest position that was ever given away; needs the write lock to stay true."""
    return int(cursor.execute(_LAST_POSITION).fetchone()[0])


def insert_rows(cursor: sqlite3.Cursor, first: int, rows: Sequence[Row]) -> None:
    """Insert `rows` at the positions `first`, `first` + 1 …

    Raises:
        sqlite3.IntegrityError: One of them is there already; some of the others may have been inserted.
    """
    done, left, size = 0, len(rows), _ROWS_PER_STATEMENT
    while left:
        while size > left:
            size >>= 1
        values = chain.from_iterable(rows[done : done + size])
        cursor.execute(_insert_statement(size), [first + done, *values])
        done += size
        left -= size


@cache
def _insert_statement(rows: int) -> str:
    # Sizes are powers of two, so that a handful of prepared statements serves every batch. The first row is told
    # its position; SQLite gives the others one above the highest there is, which is the row before.
    values = ", ".join(["(?, ?, ?, ?, ?)", *["(NULL, ?, ?, ?, ?)"] * (rows - 1)])
    return f"INSERT INTO {EVENTS} ({_COLUMNS}) VALUES {values}"
