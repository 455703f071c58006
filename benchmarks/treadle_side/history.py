"""What grows with the history of one run or one conversation: reading it after a restart."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, one_after_another, play, times
from recorded import Stream, fill, journal

PAGE = 500


@asynccontextmanager
async def history_run() -> AsyncGenerator[Round]:
    events = int(sys.argv[2])
    stream = Stream()
    async with journal() as opened:
        await fill(opened, stream, [min(PAGE, events - first) for first in range(0, events, PAGE)])

        async def read() -> None:
            found = await opened.read(f"run-{stream.run_id}")
            if len(found) != events:
                raise AssertionError(f"{len(found)} events, not {events}")

        yield lambda: one_after_another(read, times(30) if events < 10_000 else 3)


if __name__ == "__main__":
    play("Treadle", {"history_run": Measured("s", history_run)})
