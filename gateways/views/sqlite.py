"""Views in an SQLite file of their own, so that reading and folding them never holds the journal's lock.

One connection, used by one thread: a transaction crosses to the thread once and leaves the event loop free.
The file is a cache of the journal. Commits are atomic but not fsynced one by one (WAL, `synchronous=NORMAL`): after a
power cut rows and checkpoint are both a little behind, together, and are folded again from there.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ...events.errors import ReadOnly, TreadleError, Unavailable
from ...projections.views import Row, Transaction, Value

T = TypeVar("T")

MEMORY = ":memory:"
BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for those of other processes."""


def views_path(journal: str | Path) -> str:
    """Where the views of a journal belong: `events.db` has `events.views.db`, a memory journal has `:memory:`."""
    if str(journal) in ("", MEMORY):
        return MEMORY
    path = Path(journal)
    return str(path.with_name(f"{path.stem}.views{path.suffix}"))


class SqliteViews:
    """Views in the file `path`, made when it is missing, or in memory.

    Raises (everything here):
        Unavailable: Locked for longer than `busy_timeout_s`, a full disk, a file that cannot be opened or is damaged.
        ReadOnly: The file or its folder cannot be written.
    """

    def __init__(self, path: str | Path = MEMORY, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = str(path)
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treadle-views")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._connection is not None else "unused"
        return f"<SqliteViews {self.path} {state}>"

    @property
    def name(self) -> str:
        return self.path

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._run("BEGIN IMMEDIATE", work)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._run("BEGIN", work)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, begin: str, work: Callable[[Transaction], T]) -> T:
        if self._closed:
            raise Unavailable(f"views {self.path!r}", "they are closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, begin, work)

    def _in_thread(self, begin: str, work: Callable[[Transaction], T]) -> T:
        try:
            connection = self._connect()
            connection.execute(begin)
            try:
                result = work(_SqliteTransaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a failure as a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
            return result
        except sqlite3.Error as exc:
            raise _translated(exc, self.path) from exc

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self.path, timeout=self._busy_timeout_s, isolation_level=None, cached_statements=512
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def execute(self, sql: str, params: Sequence[Value] = ()) -> None:
        self._execute(sql, params)

    def change(self, sql: str, params: Sequence[Value] = ()) -> int:
        return self._execute(sql, params).rowcount

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def scan(self, sql: str, params: Sequence[Value] = ()) -> Iterator[Row]:
        return self._execute(sql, params)


_UNAVAILABLE: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "another process holds its lock",
    sqlite3.SQLITE_LOCKED: "another connection holds a table",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not serve",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "the file may not be opened",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; delete it, it is folded again from the journal",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_PROTOCOL: "another process is opening it",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


def _translated(error: sqlite3.Error, path: str) -> TreadleError | sqlite3.Error:
    """What the caller can do about `error`; an error in a statement is a bug and stays as it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    if code & 0xFF == sqlite3.SQLITE_READONLY:
        return ReadOnly(path, str(error))
    why = _UNAVAILABLE.get(code & 0xFF)
    return error if why is None else Unavailable(f"views {path!r}", f"{why} ({error})")
