"""The writer's side of a journal file: batches of submissions as transactions.

A transaction checks every head it builds on while it holds the write lock. Heads and the last position are
cached between transactions, and the cache is good for as long as `PRAGMA data_version` stands still: it moves
when anybody else, in this process or another, has committed to the file.

A new stream is not looked up. If it exists after all, the unique key says so, and the batch is done again with
every head looked up; a lost race is rare, and a new stream is the most common append there is.

The outcome of each step:

    BEGIN, INSERT fail     nothing was stored: `Unavailable`, or `ReadOnly`; the connection is opened anew
    COMMIT fails           the file is asked (`_resolve`): stored, not stored, or `AppendUncertain`
"""

import sqlite3
from collections.abc import Sequence

from ...events.envelope import Head
from ...events.logs import get_logger
from .plan import Heads, Plan, uncertain
from .sqlite_archived import archived_head
from .sqlite_errors import translate
from .sqlite_file import JournalFile
from .sqlite_recorder import insert_rows, last_position
from .submission import Submission

CHECKPOINT_PAGES = 1000
"""How many pages the log holds, about, before they are moved to the file. Moving a page twice costs twice."""
_PAGE_BYTES = 4096
STRETCH_AFTER = 16
"""Commits after which the log is given its full length at once: a program that writes a little never pays for it."""
_LOG_LIMIT_BYTES = 64 * 1024 * 1024
_CACHE_KIB = -2000  # SQLite's default

log = get_logger(__name__)

_SELECT_HEAD = (
    "SELECT originator_version, CAST(substr(state, -66, 64) AS TEXT) FROM stored_events "
    "WHERE originator_id = ? ORDER BY originator_version DESC LIMIT 1"
)
_SELECT_STORED = "SELECT state FROM stored_events WHERE originator_id = ? AND originator_version = ?"
_INSERT_BLOB = "INSERT OR IGNORE INTO blobs (digest, data) VALUES (?, ?)"
_SAVE_SNAPSHOT = (
    "INSERT INTO snapshots (stream, version, hash, schema, state) VALUES (?, ?, ?, ?, ?) ON CONFLICT (stream) "
    "DO UPDATE SET version = excluded.version, hash = excluded.hash, schema = excluded.schema, state = excluded.state "
    "WHERE excluded.version >= snapshots.version OR excluded.schema <> snapshots.schema"
)


class SqliteStore:
    """Stores batches in a journal file. Belongs to one thread at a time."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._data_version = -1
        self._heads = Heads()
        self._last = 0
        self._pages = 0
        self._commits = 0  # of this connection
        self._begun: sqlite3.Cursor | None = None
        self._lock_timeout_s = 0.0

    def commit(self, batch: Sequence[Submission]) -> int:
        """As `Store.commit`."""
        try:
            cursor = self._begun or self._begin()
            self._begun = None
            try:
                plan = self._insert(cursor, batch, trust_new=True)
            except sqlite3.IntegrityError:
                cursor.execute("ROLLBACK")
                cursor = self._begin()
                plan = self._insert(cursor, batch, trust_new=False)
        except sqlite3.Error as exc:
            self.close()
            error = translate(exc, self._file.name)
            for submission in batch:
                submission.fail(error)
            return self._last
        try:
            cursor.execute("COMMIT")
        except sqlite3.Error as exc:
            self.close()
            self._resolve(plan, exc)
        else:
            self._remember(plan)
            plan.settle()
        return self._last

    def try_begin(self) -> bool:
        """As `Store.try_begin`: takes the write lock if nobody has it."""
        if self._connection is None:
            return False
        try:
            self._begun = self._begin(lock_timeout_s=0)
        except sqlite3.Error as exc:
            # Whatever it is, `commit` meets it again, and then it has its outcome.
            log.debug("journal %s: a transaction was left to the thread: %s", self._file.name, exc)
            return False
        return True

    @property
    def untidy(self) -> bool:
        """As `Store.untidy`."""
        return self._connection is not None and (self._pages >= CHECKPOINT_PAGES or self._commits == STRETCH_AFTER)

    def tidy(self) -> None:
        """As `Store.tidy`: moves the log to the file, which SQLite would otherwise do inside a commit."""
        if self._connection is None:
            return
        if self._commits == STRETCH_AFTER:
            self._commits += 1
            self._stretch_log(self._connection)
        if self._pages < CHECKPOINT_PAGES:
            return
        self._pages = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as exc:
            # Nothing is lost, it is all in the log, and the next commit will say what is wrong with the disk.
            log.warning("journal %s: could not move its log to the file, will try again: %s", self._file.name, exc)

    def _stretch_log(self, connection: sqlite3.Connection) -> None:
        """Make the log as long as it gets between two checkpoints.

        A commit that makes a file longer has two things to sync, its data and the file's new length: 330 µs for one
        that takes 200 in the middle of a file. What a transaction spills before it is rolled back is not in the log,
        and the room it took is.
        """
        connection.execute("PRAGMA cache_size = 1")
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_INSERT_BLOB, ("", bytes(CHECKPOINT_PAGES * _PAGE_BYTES)))
        except sqlite3.Error as exc:
            log.info("journal %s: its log will grow with each commit: %s", self._file.name, exc)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute(f"PRAGMA cache_size = {_CACHE_KIB}")

    def close(self) -> None:
        """Let go of the file; the next batch opens it again."""
        connection, self._connection, self._cursor, self._begun = self._connection, None, None, None
        if connection is not None:
            connection.close()

    def _begin(self, lock_timeout_s: float | None = None) -> sqlite3.Cursor:
        """A cursor in a transaction that holds the write lock, with the caches fit for it."""
        if lock_timeout_s is None:
            lock_timeout_s = self._file.lock_timeout_s
        if self._connection is None or self._cursor is None:
            self._connection = self._file.connect()
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
            self._cursor = self._connection.cursor()
            self._data_version = -1
            self._lock_timeout_s = self._file.lock_timeout_s
            self._commits = 0
        if lock_timeout_s != self._lock_timeout_s:
            self._connection.execute(f"PRAGMA busy_timeout = {int(lock_timeout_s * 1000)}")
            self._lock_timeout_s = lock_timeout_s
        cursor = self._cursor
        cursor.execute("BEGIN IMMEDIATE")
        (data_version,) = cursor.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._data_version = data_version
            self._heads.clear()
            self._last = last_position(cursor)
        return cursor

    def _insert(self, cursor: sqlite3.Cursor, batch: Sequence[Submission], *, trust_new: bool) -> Plan:
        plan = Plan(self._last)

        def read(stream: str) -> Head:
            return read_head(cursor, stream)

        for submission in batch:
            if not plan.add(submission, self._heads, read, trust_new=trust_new):
                continue
            if submission.blobs:
                cursor.executemany(_INSERT_BLOB, submission.blobs)
            if submission.snapshot is not None:
                it = submission.snapshot
                cursor.execute(_SAVE_SNAPSHOT, (it.stream, it.head.version, it.head.hash, it.schema, it.state))
            # A page of the index for each stream, and those of the table.
            self._pages += len(submission.changes) + submission.size_bytes // _PAGE_BYTES
        self._pages += 2
        insert_rows(cursor, self._last + 1, plan.rows)
        return plan

    def _remember(self, plan: Plan) -> None:
        self._last = plan.last
        self._commits += self._commits < STRETCH_AFTER
        self._heads.stored(plan.heads)

    def _resolve(self, plan: Plan, cause: sqlite3.Error) -> None:
        """Find out whether a commit that ended in an error is in the file.

        A commit that is written and could not be synced is invisible, and yet might come back when the log is
        read after a crash. So the answer is only given after a commit of our own: it overwrites such remains.
        """
        try:
            cursor = self._begin()
            stored = [_is_stored(cursor, submission) for submission, _ in plan.accepted]
            cursor.execute("UPDATE meta SET value = value + 1 WHERE key = 'resolved_commits'")
            cursor.execute("COMMIT")
        except sqlite3.Error as exc:
            self.close()
            why = f"{cause}, then {exc}"
            plan.lose(lambda submission: uncertain(submission, why))
            return
        # One transaction: what is known of a part of it is known of all of it. The caches are `_begin`'s, and
        # newer than the plan.
        if any(stored):
            plan.settle()
        else:
            plan.fail(translate(cause, self._file.name))


def read_head(cursor: sqlite3.Cursor | sqlite3.Connection, stream: str) -> Head:
    """The end of a stream as it stands in the file; `EMPTY` when there is none."""
    row = cursor.execute(_SELECT_HEAD, (stream,)).fetchone()
    return archived_head(cursor, stream) if row is None else Head(int(row[0]), row[1])


def _is_stored(cursor: sqlite3.Cursor, submission: Submission) -> bool:
    if not submission.rows:
        return False
    stream, version, _, stored = submission.rows[-1]
    found = cursor.execute(_SELECT_STORED, (stream, version)).fetchone()
    return found is not None and found[0] == stored
