"""Views in PostgreSQL, where all nodes fold and read the same ones.

Whoever writes first takes the one advisory lock of these views, for the length of the transaction: nodes that start at
the same moment make the tables one after the other, and what a node has compared (a schema, a checkpoint) still holds
when it writes. A node that is paused inside a transaction is cut off by the server after a while, and the lock is free.

Who writes does not wait for the answer to a statement before the next is sent (libpq's pipeline mode): on a network, a
round trip for each would be all that folding does.

Two connections, each used by one thread: reading does not wait for a transaction that waits for another node's. A
connection that is lost is opened anew when it is next needed. What was under way is `Unavailable`; if that was the
commit itself it may be stored all the same, which is why the checkpoint lies beside the rows and is compared.

The tables stand in a schema of their own, apart from a journal in the same database. They are a cache of it:
`DROP SCHEMA treadle_views CASCADE` while no node runs costs a rebuild.
"""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from ...events.errors import Unavailable
from ...projections.views import Transaction
from ..postgres import connect, redacted, require, translated

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

SCHEMA = "treadle_views"

_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"  # sees all that was committed before it got the lock
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresViews:
    """Views in the database at `url`, in its schema `schema`, which is made when it is missing.

    Raises (everything here):
        Unavailable: The server cannot be reached, is restarting, or another node holds the lock for too long.
        ReadOnly: The user or the database may not be written.
        ConfigError: psycopg is missing, the server does not let this user in, or a statement is wrong.
    """

    def __init__(self, url: str, *, schema: str = SCHEMA) -> None:
        require()
        self._name = redacted(url)
        self._schema = schema
        self._writer = _Lane(url, schema, "write")
        self._reader = _Lane(url, schema, "read")
        self._closed = False

    def __repr__(self) -> str:
        return f"<PostgresViews {self._name} {self._schema} {'closed' if self._closed else 'open'}>"

    @property
    def name(self) -> str:
        return self._name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        return await self._writer.run(_WRITE, work, alone=True)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        return await self._reader.run(_READ, work)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(self._writer.close(), self._reader.close())

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"views {self._name!r}", "they are closed")


class _Lane:
    """One connection and the thread that uses it."""

    def __init__(self, url: str, schema: str, purpose: str) -> None:
        self._url = url
        self._schema = schema
        self._what = f"views {redacted(url)!r}"
        self._lock = int.from_bytes(hashlib.sha256(f"treadle views {schema}".encode()).digest()[:8], signed=True)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"treadle-views-{purpose}")
        self._connection: psycopg.Connection | None = None

    async def run(self, begin: str, work: Callable[[Transaction], T], *, alone: bool = False) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, begin, work, alone)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _in_thread(self, begin: str, work: Callable[[Transaction], T], alone: bool) -> T:
        with translated(self._what):
            connection = self._begin(begin)
            from .postgres_dialect import PostgresTransaction

            try:
                if alone:
                    connection.execute(f"SELECT pg_advisory_xact_lock({self._lock})".encode())
                with connection.pipeline() if alone else nullcontext() as pipeline:
                    result = work(PostgresTransaction(connection, pipeline))
                if connection.execute(b"COMMIT").statusmessage != "COMMIT":
                    raise Unavailable(self._what, "a statement had failed, and the transaction was rolled back")
            except BaseException as exc:
                self._roll_back(connection, exc)
                raise
            return result

    def _begin(self, begin: str) -> "psycopg.Connection":
        """A connection in a new transaction. One that was lost while nobody used it is nothing to complain of."""
        from psycopg import OperationalError

        if self._connection is not None:
            try:
                self._connection.execute(begin.encode())
                return self._connection
            except OperationalError:
                self._disconnect()
        connection = self._connection = self._connect()
        connection.execute(begin.encode())
        return connection

    def _connect(self) -> "psycopg.Connection":
        connection = connect(self._url)
        try:
            from psycopg.sql import SQL, Identifier

            from .postgres_dialect import adapt

            known = connection.execute(b"SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._schema,)).fetchone()
            if known is None:
                with connection.transaction():
                    connection.execute(f"SELECT pg_advisory_xact_lock({self._lock})".encode())
                    connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(self._schema)))
            connection.execute(SQL("SET search_path TO {}").format(Identifier(self._schema)))
            adapt(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _roll_back(self, connection: "psycopg.Connection", cause: BaseException) -> None:
        from psycopg import Error
        from psycopg.errors import ReadOnlySqlTransaction

        try:
            connection.execute(b"ROLLBACK")
        except Error:
            self._disconnect()  # which the server takes for a rollback
        if isinstance(cause, ReadOnlySqlTransaction):
            self._disconnect()  # by now it may be another host of the URL that takes writes

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
