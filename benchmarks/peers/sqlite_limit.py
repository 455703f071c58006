"""The standard library's sqlite3 and nothing else: what the disk and the database allow.

The table is the one Treadle's journal writes to; WAL with `synchronous=FULL`, so a commit is fsynced before it returns.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from uuid import uuid4

from measured import Measured, Round, one_after_another, play, times

TABLE = """
CREATE TABLE IF NOT EXISTS events (
    originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
    PRIMARY KEY (originator_id, originator_version)
)
"""
STATE = b"x" * 690  # the mean size of a stored event of a tool loop of two turns, envelope and hash included
BATCH = 100


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect("limit.db", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(TABLE)
        yield connection
    finally:
        connection.close()


def writer(connection: sqlite3.Connection) -> Callable[[int], None]:
    """A function that appends so many events to a stream of this writer, in one commit."""
    stream, versions = f"run-{uuid4()}", count(1)

    def commit(events: int) -> None:
        rows = [(stream, next(versions), "run.tool_requested", STATE) for _ in range(events)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    return commit


@asynccontextmanager
async def journal_100() -> AsyncGenerator[Round]:
    with database() as connection:

        async def a_round() -> list[float]:
            commit, commits = writer(connection), times(300)
            started = time.perf_counter()
            for _ in range(commits):
                commit(BATCH)
            return [BATCH * commits / (time.perf_counter() - started)]

        yield a_round


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    """Two fsynced commits of four events: the least for a loop that waits for the disk before effect and answer."""
    with database() as connection:

        async def a_round() -> list[float]:
            commit = writer(connection)

            async def two_commits() -> None:
                commit(4)
                commit(4)

            return await one_after_another(two_commits, times(300))

        yield a_round


if __name__ == "__main__":
    play(
        "sqlite3",
        {"journal_100": Measured("events/s", journal_100), "durable_loop": Measured("s", durable_loop)},
    )
