"""The writer's side of a journal on PostgreSQL: batches of submissions as transactions.

A transaction takes the table's lock, as every writer does, so that positions are in the order of the commits. Under
it the sequence of positions tells whether anybody else has written since our last commit: while it stands where we
left it, the heads that are cached are good.

The outcome of each step:

    BEGIN, INSERT fail     nothing was stored: `Unavailable`, or `ReadOnly`
    COMMIT fails           the database is asked (`_resolve`): stored, not stored, or `AppendUncertain`

A server that is away, since it is started anew perhaps, is waited for as long as `patience.py` says: the batch is tried
again when nothing of it is stored, and until that is known the database is asked again. Somebody may have written to
its streams meanwhile, who took a run over; then it conflicts, as it would have at once.
"""

import contextlib
from collections.abc import Sequence
from threading import Event
from typing import Any, NamedTuple

import psycopg
from psycopg import errors

from ...events.envelope import EMPTY, Head
from ...events.errors import TreadleError, Unavailable
from ...events.logs import get_logger
from ..postgres import connect, translate
from .patience import Patience
from .plan import Heads, Plan, uncertain
from .postgres_archived import ARCHIVED_HEAD
from .submission import Submission

log = get_logger(__name__)

CHANNEL = "stored_events"
"""Where commits are notified; the library's recorders use it, too."""

COMMIT_S = 10.0
"""How long one commit may hold the lock of all writers, from which on the server ends it: its process may be paused."""

_LOCK_S = COMMIT_S + 5.0  # others wait longer than that, and lose nothing by it
_TRANSACTION_TIMEOUT = 170_000  # the first version of PostgreSQL that has one

_NEWEST = b"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM stored_events_notification_id_seq"
_INSERT = (
    b"INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id) "
    b"SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[])"
)
_ADVANCE = b"SELECT setval('stored_events_notification_id_seq', %b)"
HEAD = (
    "SELECT originator_version, state FROM stored_events "
    "WHERE originator_id = %s ORDER BY originator_version DESC LIMIT 1"
)
_BLOB = "INSERT INTO treadle_blobs (digest, data) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_SNAPSHOT = (
    "INSERT INTO treadle_snapshots AS kept (stream, version, hash, schema, state) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash, schema = excluded.schema, "
    "state = excluded.state WHERE excluded.version >= kept.version OR excluded.schema <> kept.schema"
)
_STORED = "SELECT state FROM stored_events WHERE originator_id = %s AND originator_version = %s"


class PostgresStore:
    """Stores batches in a database. Belongs to the writer thread: the loop does not wait for a network."""

    untidy = False

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: psycopg.Connection[Any] | None = None
        self._leaving = Event()
        self._heads = Heads()
        self._begin_sql = b""
        self._last = -1

    def commit(self, batch: Sequence[Submission]) -> int:
        """As `Store.commit`."""
        patience = Patience(self._leaving)
        while (failure := self._attempt(batch, patience)) is not None:
            if not (failure.away and patience.wait()):
                for submission in batch:
                    submission.fail(failure.error)
                break
        return max(self._last, 0)

    def leave(self) -> None:
        """Wait for no server any more. May be called from another thread."""
        self._leaving.set()

    def _attempt(self, batch: Sequence[Submission], patience: Patience) -> "_Failure | None":
        """Store `batch`, and settle it; why nothing of it is stored, if so."""
        try:
            plan = self._plan(batch)
        except (psycopg.Error, TreadleError) as exc:
            return self._failed(exc)
        try:
            self._open().execute(b"COMMIT")
        except psycopg.Error as exc:
            return self._resolve(plan, exc, patience)
        self._last = plan.last
        self._heads.stored(plan.heads)
        plan.settle()
        return None

    def _failed(self, exc: psycopg.Error | TreadleError) -> "_Failure":
        away = self._connection is None or self._connection.closed
        self.close()
        error = exc if isinstance(exc, TreadleError) else translate(exc, self._name)
        return _Failure(error, away and isinstance(error, Unavailable))

    def _plan(self, batch: Sequence[Submission]) -> Plan:
        """The batch, inserted and not committed."""
        kept = self._connection
        try:
            return self._inserted(batch)
        except psycopg.OperationalError:
            if kept is None or not kept.closed:
                raise
        # The connection is of yesterday: the server was started anew since, and nothing of this transaction is left.
        self.close()
        return self._inserted(batch)

    def _inserted(self, batch: Sequence[Submission]) -> Plan:
        try:
            return self._insert(batch, trust_new=True)
        except errors.UniqueViolation:
            self._rollback()
            return self._insert(batch, trust_new=False)

    def try_begin(self) -> bool:
        """As `Store.try_begin`: never, the loop does not wait for a network."""
        return False

    def tidy(self) -> None:
        """As `Store.tidy`: the database tidies up by itself."""

    def close(self) -> None:
        """Let go of the connection; the next batch makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):  # it may be the reason why we close it
                connection.close()

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = connect(self._url)
            self._begin_sql = _beginning(self._connection.info.server_version)
            self._last = -1
        return self._connection

    def _rollback(self) -> None:
        self._open().execute(b"ROLLBACK")

    def _begin(self) -> psycopg.Connection[Any]:
        """A connection in a transaction that holds the table's lock, with the caches fit for it."""
        connection = self._open()
        cursor = connection.execute(self._begin_sql)
        while cursor.nextset():
            pass
        (last,) = cursor.fetchone() or (0,)
        if last != self._last:
            self._heads.clear()
            self._last = int(last)
        return connection

    def _insert(self, batch: Sequence[Submission], *, trust_new: bool) -> Plan:
        connection = self._begin()

        def read(stream: str) -> Head:
            return read_head(connection, stream)

        plan = Plan(self._last)
        accepted = [s for s in batch if plan.add(s, self._heads, read, trust_new=trust_new)]
        with connection.pipeline():
            for submission in accepted:
                for digest, data in submission.blobs:
                    connection.execute(_BLOB, (digest, data))
                if submission.snapshot is not None:
                    it = submission.snapshot
                    connection.execute(_SNAPSHOT, (it.stream, it.head.version, it.head.hash, it.schema, it.state))
            if plan.rows:
                streams, versions, topics, states = (list(column) for column in zip(*plan.rows, strict=True))
                positions = list(range(self._last + 1, plan.last + 1))
                connection.execute(_INSERT, (streams, versions, topics, states, positions))
                connection.execute(_ADVANCE, (plan.last,))
                connection.execute(b"NOTIFY " + CHANNEL.encode())
        return plan

    def _resolve(self, plan: Plan, cause: psycopg.Error, patience: Patience) -> "_Failure | None":
        """Find out whether a commit that ended in an error was made, and settle it; why it was not, if that is so.

        The server may still be at it. It holds the table's lock until it is done, so the answer is only given under a
        lock of our own.
        """
        failure = self._failed(cause)
        try:
            stored = self._look(plan, patience)
        except (psycopg.Error, TreadleError) as exc:
            why = f"{type(cause).__name__}, then {type(exc).__name__}"
            plan.lose(lambda submission: uncertain(submission, why))
            return None
        if not stored:
            return failure
        plan.settle()
        return None

    def _look(self, plan: Plan, patience: Patience) -> bool:
        """Whether the plan is stored. It is one transaction: what is known of a part of it is known of all of it."""
        while True:
            try:
                connection = self._begin()
                stored = [_is_stored(connection, submission) for submission, _ in plan.accepted]
                connection.execute(b"ROLLBACK")
                return any(stored)
            except (psycopg.Error, TreadleError) as exc:
                if not (self._failed(exc).away and patience.wait()):
                    raise


class _Failure(NamedTuple):
    """Why nothing of a batch is stored, and whether that is because the server is away."""

    error: TreadleError
    away: bool


def _beginning(server_version: int) -> bytes:
    """How a commit begins: it waits for the lock of all writers, holds it for so long at most, and asks for the newest
    position.

    A client that stops between two messages of a pipeline is in no statement, and its transaction is not idle: only a
    limit of the transaction as a whole ends it.
    """
    limit = f"SET LOCAL transaction_timeout = {COMMIT_S * 1000:.0f}; "
    return (
        f"BEGIN; SET LOCAL lock_timeout = {_LOCK_S * 1000:.0f}; LOCK TABLE stored_events IN EXCLUSIVE MODE; "
        f"{limit if server_version >= _TRANSACTION_TIMEOUT else ''}"
    ).encode() + _NEWEST


def read_head(connection: psycopg.Connection[Any], stream: str) -> Head:
    """The end of a stream as it stands in the database; `EMPTY` when there is none."""
    row = connection.execute(HEAD, (stream,)).fetchone()
    if row is not None:
        return head_in(int(row[0]), row[1])
    row = connection.execute(ARCHIVED_HEAD, (stream,)).fetchone()
    return EMPTY if row is None else Head(int(row[0]), row[1])


def head_in(version: int, stored: bytes) -> Head:
    """The head that a stored event makes: its hash stands at the end of it."""
    return Head(version, bytes(stored[-66:-2]).decode("ascii", "replace"))


def _is_stored(connection: psycopg.Connection[Any], submission: Submission) -> bool:
    if not submission.rows:
        return False
    stream, version, _, stored = submission.rows[-1]
    found = connection.execute(_STORED, (stream, version)).fetchone()
    return found is not None and found[0] == stored
