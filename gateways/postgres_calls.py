"""Connections to PostgreSQL on which no call waits for ever.

A server that is paused, or cut off behind a proxy, still has a kernel that acknowledges what is sent: neither
keepalives nor `tcp_user_timeout` notice, and psycopg waits as long as the socket is open. Here a call that hears
nothing for `SILENCE_S` ends with `OperationalError` and closes its connection, because nobody knows what the server
makes of it. What that means for a commit is for the caller: it is uncertain until the database has been asked.

A statement that takes long is another matter. The server ends it by itself, and says so (`STATEMENT_TIMEOUT_S`).
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import OperationalError
from psycopg.pq.abc import PGconn

from .postgres import STATEMENT_TIMEOUT_S

SILENCE_S = STATEMENT_TIMEOUT_S + 5.0
"""How long a call waits for the next byte: longer than the server takes to end a statement by itself."""

T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """For threads."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        return super().wait(_until_silent(gen, self.pgconn), *args, **options)


class AsyncConnection(psycopg.AsyncConnection[Any]):
    """For an event loop. Whoever listens says for how long: `notifies(timeout=…)`."""

    async def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        with heeding_cancels():
            return await super().wait(_until_silent(gen, self.pgconn), *args, **options)


@contextmanager
def heeding_cancels() -> Generator[None]:
    """Raise `CancelledError` at the end of the block if it was cancelled and has not noticed.

    psycopg and its pool wait by `asyncio.wait_for`, which up to Python 3.11 forgets that it was cancelled when what it
    waits for comes at the same moment. Whoever cancels a task and waits for it would wait for ever.
    """
    task = asyncio.current_task()
    cancelled = task.cancelling() if task is not None else 0
    yield
    if task is not None and task.cancelling() > cancelled:
        raise asyncio.CancelledError


def _until_silent(gen: Generator[Any, Any, T], pgconn: PGconn) -> Generator[Any, Any, T]:
    """What psycopg waits for, while something comes: it is given 0 every 100 ms in which nothing did."""
    heard = monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() - heard > SILENCE_S:
                pgconn.finish()
                raise OperationalError(f"the server has not answered for {SILENCE_S:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: T = end.value
        return answer
