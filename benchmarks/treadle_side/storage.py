"""Size of the journal's files on disk for each event, after a checkpoint."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from measured import Measured, Round, play
from recorded import Stream, journal

RUN = 8
"""Events of a tool loop of two turns: so many have a stream of their own."""
RUNS_A_COMMIT = 125


def bytes_per_event() -> float:
    connection = sqlite3.connect("journal.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (stored,) = connection.execute("SELECT count(*) FROM stored_events").fetchone()
    connection.close()
    return float(sum(file.stat().st_size for file in Path().rglob("*") if file.is_file()) / stored)


@asynccontextmanager
async def storage() -> AsyncGenerator[Round]:
    events = int(sys.argv[2]) // (10 if os.environ.get("BENCH_QUICK") else 1)

    async def a_round() -> list[float]:
        async with journal() as opened:
            left = events
            while left > 0:
                appends = [Stream().append(RUN) for _ in range(min(RUNS_A_COMMIT, left // RUN or 1))]
                await opened.append(*appends)
                left -= len(appends) * RUN
        return [bytes_per_event()]

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"storage": Measured("bytes", storage, warm_ups=0)})
