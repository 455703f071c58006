"""The journal on PostgreSQL: durable, for any number of processes on any number of machines.

    submission.py       what is submitted, and the handle on its outcome
    queued.py           the writing half that journals in databases share
    group_commit.py     the thread that stores what is waiting
    plan.py             which submissions fit the heads that are there
    postgres_store.py   a batch as a transaction
    postgres_reader.py  reading, on the event loop, by a pool of connections
    postgres_tail.py    who waits for events, and who is alive
    postgres_schema.py  the tables, on the recorder of `eventsourcing`
    postgres_roles.py   who may do what with them

The stored form is in `docs/journal.md`: a row is the same bytes in every database.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

from ...actors.clock import SYSTEM_CLOCK, Clock
from ...events.envelope import Head, Position, Recorded
from ...events.errors import JournalTooNew, ReadOnly, TreadleError, Unavailable
from ...events.journal import FORMAT, Snapshot
from ..postgres import check_direct, connect, redacted, translated
from .group_commit import LIMIT_BYTES, GroupCommit
from .owner_name import new_owner
from .postgres_reader import PostgresReader
from .postgres_schema import make_tables, may_append
from .postgres_store import PostgresStore
from .postgres_tail import PostgresTail, lock_key
from .queued import QueuedJournal


class PostgresJournal(QueuedJournal):
    """Implements `Journal`. Made by `open`, and used on the event loop that it was opened on.

    An append is on the server's disk when its `Pending` returns, as far as the server's `synchronous_commit` says.
    A server that is away is waited for (`patience.py`). Backpressure: while more than `queue_bytes` wait for the
    database, `submit` raises `Unavailable`.
    """

    def __init__(self, url: str, owner: str, clock: Clock, queue_bytes: int, refusal: TreadleError | None) -> None:
        name = redacted(url)
        self._reader = PostgresReader(url, name)
        self._tail = PostgresTail(url, name, owner, self._reader.last_position, clock.monotonic)
        self._store = PostgresStore(url, name)
        commits = GroupCommit(self._store, name, self._tail.reached, queue_bytes)
        super().__init__(name, owner, clock, commits, refusal)

    @classmethod
    async def open(cls, url: str, *, clock: Clock = SYSTEM_CLOCK, queue_bytes: int = LIMIT_BYTES) -> Self:
        """Open the journal in the database at `url`, and make its tables if there are none.

        Raises:
            ConfigError: The database does not let us in or is reached through a pooler, its tables are for the owner
                to make, or `url` is none.
            Unavailable: It cannot be reached now.
        """
        refusal = await asyncio.to_thread(_make, url)
        journal = cls(url, new_owner(), clock, queue_bytes, refusal)
        await journal._reader.open()
        await journal._tail.start()
        return journal

    def __repr__(self) -> str:
        state = "writable" if self._refusal is None else "not writable"
        return f"<PostgresJournal {self._name}, {state}, {self._commits.waiting_bytes} bytes waiting>"

    @property
    def reader(self) -> PostgresReader:
        """For who reads the journal's other tables."""
        return self._reader

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

    async def is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return not self._tail.closed
        return await self._reader.is_locked(lock_key(owner)) or self._tail.is_just_back

    def holds(self, since: float) -> bool:
        return self._tail.holds(since)

    async def close(self) -> None:
        self._refusal = Unavailable(self._name, "it was closed")
        self._store.leave()
        await asyncio.to_thread(self._commits.close)
        await self._tail.close()
        await self._reader.close()


def _make(url: str) -> TreadleError | None:
    """Make what is missing in the database; returns why nothing can be written, if so."""
    name = redacted(url)
    with translated(name), connect(url) as connection:
        check_direct(connection, name)
        found = make_tables(connection, name)
        if found > FORMAT:
            return JournalTooNew(name, found, FORMAT)
        if not may_append(connection):
            return ReadOnly(name, f"role {connection.info.user!r} may not append")
    return None
