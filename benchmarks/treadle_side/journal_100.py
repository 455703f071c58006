"""Appending 100 events a commit: encoded, chained, fsynced."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, play, times
from recorded import Stream, fill, journal

BATCH = 100


@asynccontextmanager
async def journal_100() -> AsyncGenerator[Round]:
    async with journal() as opened:

        async def a_round() -> list[float]:
            stream, commits = Stream(), times(300)
            started = time.perf_counter()
            await fill(opened, stream, [BATCH] * commits)
            return [BATCH * commits / (time.perf_counter() - started)]

        yield a_round


if __name__ == "__main__":
    play("Treadle", {"journal_100": Measured("events/s", journal_100)})
