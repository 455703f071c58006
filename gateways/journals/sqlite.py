"""The journal on an SQLite file: durable, for one machine, shared by any number of its processes.

    submission.py       what is submitted, and the handle on its outcome
    queued.py           the writing half that journals in databases share
    group_commit.py     the thread that stores what is waiting
    sqlite_store.py     a batch as a transaction: heads checked, rows inserted, outcomes told
    sqlite_recorder.py  the tables, on the recorder of `eventsourcing`
    sqlite_reader.py    reading, on the loop or on a thread
    sqlite_file.py      what a file is, and how it may be used
    owners.py, tail.py  who else has it open, and who waits for events

The stored form is in `docs/journal.md`.
"""

import asyncio
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from ...actors.clock import SYSTEM_CLOCK, Clock
from ...events.envelope import Head, Position, Recorded
from ...events.errors import Unavailable
from ...events.journal import Snapshot
from .group_commit import LIMIT_BYTES, GroupCommit
from .owner_name import new_owner
from .owners import Owners
from .queued import QueuedJournal
from .sqlite_file import Connect, JournalFile, connect_file, open_file
from .sqlite_reader import SqliteReader
from .sqlite_recorder import LOCK_TIMEOUT_S
from .sqlite_store import SqliteStore
from .tail import Tail

_EXIT_TIMEOUT_S = 10.0


class SqliteJournal(QueuedJournal):
    """Implements `Journal`. Made by `open`.

    An append is on disk, fsynced, when its `Pending` returns. Backpressure: while more than `queue_bytes` wait
    for the disk, `submit` raises `Unavailable`.

    A journal that nobody closes is closed when it is collected, or when the interpreter ends: what was
    submitted until then is stored.
    """

    def __init__(self, file: JournalFile, owner: str, clock: Clock, queue_bytes: int) -> None:
        self._file = file
        self._reader = SqliteReader(file)
        self._tail = Tail(file.name, self._reader.last_position)
        commits = GroupCommit(SqliteStore(file), file.name, self._tail.reached, queue_bytes)
        self._finalizer = weakref.finalize(self, _shut_down, commits, self._reader, file.owners)
        super().__init__(file.name, owner, clock, commits, file.refusal)

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        read_only: bool = False,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        queue_bytes: int = LIMIT_BYTES,
        connect: Connect = connect_file,
    ) -> Self:
        """Open the journal at `path`, creating it if there is none.

        Args:
            clock: Where event ids come from.
            lock_timeout_s: How long a commit waits for another process before it is `Unavailable`.
            connect: Opens connections; tests put faults there.
        Raises:
            ConfigError: The file is something else, or its directory does not exist.
            Unavailable: It is locked or cannot be read now.
        """
        owner = new_owner()
        file = await asyncio.to_thread(
            open_file, Path(path), owner, read_only=read_only, lock_timeout_s=lock_timeout_s, open=connect
        )
        return cls(file, owner, clock, queue_bytes)

    def __repr__(self) -> str:
        state = "writable" if self._refusal is None else "not writable"
        return f"<SqliteJournal {self._file.path}, {state}, {self._commits.waiting_bytes} bytes waiting>"

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def reader(self) -> SqliteReader:
        """For who reads the journal's other tables."""
        return self._reader

    async def head(self, stream: str) -> Head:
        return self._reader.head(stream)

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        return await self._reader.stream(stream, after, limit)

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        return await self._reader.all(after, limit, category)

    async def last_position(self) -> Position:
        return self._reader.last_position()

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self._tail.wait(after, timeout_s)

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """As `Journal.load_snapshot`. One that does not fit the stream's events counts as none."""
        return self._reader.snapshot(stream, schema)

    def holds(self, since: float) -> bool:
        return True

    async def is_alive(self, owner: str) -> bool:
        return self._file.owners.is_alive(owner)

    async def close(self) -> None:
        self._finalizer.detach()
        self._refusal = Unavailable(f"journal {self.name!r}", "it was closed")
        await asyncio.to_thread(self._commits.close)
        self._tail.close()
        self._reader.close()
        self._file.owners.leave()

    def forked(self) -> None:
        super().forked()
        self._finalizer.detach()
        self._file.owners.abandon()


def _shut_down(commits: GroupCommit, reader: SqliteReader, owners: Owners) -> None:
    commits.close(_EXIT_TIMEOUT_S)
    reader.close()
    owners.leave()
