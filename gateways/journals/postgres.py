"""The journal on PostgreSQL: durable, for any number of processes on any number of machines.

    submission.py       what is submitted, and the handle on its outcome
    group_commit.py     the thread that stores what is waiting
    plan.py             which submissions fit the heads that are there
    postgres_store.py   a batch as a transaction
    postgres_reader.py  reading, on the event loop, by a pool of connections
    postgres_tail.py    who waits for events, and who is alive
    postgres_schema.py  the tables, on the recorder of `eventsourcing`

The stored form is in `docs/journal.md`: a row is the same bytes in every database.
"""

import asyncio
import os
import weakref
from collections.abc import Sequence
from typing import Any, Self

from ...actors.clock import SYSTEM_CLOCK, Clock
from ...events.envelope import Head, Position, Recorded
from ...events.errors import JournalTooNew, ReadOnly, Refused, TreadleError, Unavailable
from ...events.journal import FORMAT, Append, Snapshot
from ..postgres import connect, redacted, require, translated
from .group_commit import LIMIT_BYTES, GroupCommit
from .owner_name import new_owner
from .submission import Submission, prepare

require()

from .postgres_reader import PostgresReader  # noqa: E402
from .postgres_schema import make_tables  # noqa: E402
from .postgres_store import PostgresStore  # noqa: E402
from .postgres_tail import PostgresTail, lock_key  # noqa: E402

MAX_SUBMISSION_BYTES = 512 * 1024 * 1024


class PostgresJournal:
    """Implements `Journal`. Made by `open`, and used on the event loop that it was opened on.

    An append is on the server's disk when its `Pending` returns, as far as the server's `synchronous_commit` says.
    Backpressure: while more than `queue_bytes` wait for the database, `submit` raises `Unavailable`.
    """

    def __init__(self, url: str, owner: str, clock: Clock, queue_bytes: int, refusal: TreadleError | None) -> None:
        self._name = redacted(url)
        self._owner = owner
        self._new_ids = clock.new_ids
        self._refusal = refusal
        self._reader = PostgresReader(url, self._name)
        self._tail = PostgresTail(url, self._name, owner, self._reader.last_position)
        self._commits = GroupCommit(PostgresStore(url, self._name), self._name, self._tail.reached, queue_bytes)
        _OPEN.add(self)

    @classmethod
    async def open(cls, url: str, *, clock: Clock = SYSTEM_CLOCK, queue_bytes: int = LIMIT_BYTES) -> Self:
        """Open the journal in the database at `url`, and make its tables if there are none.

        Raises:
            ConfigError: The database does not let us in, or `url` is none.
            Unavailable: It cannot be reached now.
        """
        found = await asyncio.to_thread(_made, url)
        refusal = JournalTooNew(redacted(url), found, FORMAT) if found > FORMAT else None
        journal = cls(url, new_owner(), clock, queue_bytes, refusal)
        await journal._reader.open()
        await journal._tail.start()
        return journal

    def __repr__(self) -> str:
        state = "writable" if self._refusal is None else "not writable"
        return f"<PostgresJournal {self._name}, {state}, {self._commits.waiting_bytes} bytes waiting>"

    @property
    def name(self) -> str:
        return self._name

    @property
    def owner(self) -> str:
        return self._owner

    @property
    def refusal(self) -> TreadleError | None:
        """Why nothing can be written: what `submit` would raise; None when it can."""
        return self._refusal

    def submit(self, *appends: Append) -> Submission:
        """As `Journal.submit`.

        Raises:
            ReadOnly, JournalTooNew: This journal can only be read.
            Unavailable: Too much is waiting, or the journal was closed.
            Refused: The submission is larger than `MAX_SUBMISSION_BYTES`.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        submission = prepare(appends, self._new_ids)
        if submission.size_bytes > MAX_SUBMISSION_BYTES:
            raise Refused(
                f"a submission of {submission.size_bytes} bytes is larger than {MAX_SUBMISSION_BYTES}; keep the data "
                "elsewhere and record where"
            )
        self._commits.submit(submission)
        return submission

    async def append(self, *appends: Append) -> Position:
        return await self.submit(*appends)

    async def head(self, stream: str) -> Head:
        return await self._reader.head(stream)

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        return await self._reader.stream(stream, after, limit)

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        return await self._reader.all(after, limit, category)

    async def last_position(self) -> Position:
        return await self._reader.last_position()

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self._tail.wait(after, timeout_s)

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """As `Journal.load_snapshot`. One that does not fit the stream's events counts as none."""
        return await self._reader.snapshot(stream, schema)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        submission = Submission(size_bytes=len(snapshot.state), snapshot=snapshot)
        self._commits.submit(submission)
        await submission

    async def is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return not self._tail.closed
        return await self._reader.is_locked(lock_key(owner))

    async def close(self) -> None:
        self._refusal = Unavailable(self._name, "it was closed")
        await asyncio.to_thread(self._commits.close)
        await self._tail.close()
        await self._reader.close()

    def _forked(self) -> None:
        """We are a copy in a child process: the connections and the writer thread are the parent's."""
        self._refusal = ReadOnly(self._name, "it was opened before this process was forked; open it again here")


def _made(url: str) -> int:
    with translated(redacted(url)), connect(url) as connection:
        return make_tables(connection, url)


_OPEN: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_OPEN):
        journal._forked()


os.register_at_fork(after_in_child=_after_fork)
