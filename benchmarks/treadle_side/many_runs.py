"""Memory of a process after many runs on the journal in memory, which forgets the oldest past its bounds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, play, times
from resident import resident_mb

from treadle import Agent

AT_ONCE = 100


@asynccontextmanager
async def many_runs() -> AsyncGenerator[Round]:
    runs = times(int(sys.argv[2]))
    agent = Agent("You are a helpful assistant.", model="echo")

    async def a_round() -> list[float]:
        for _ in range(0, runs, AT_ONCE):
            await asyncio.gather(*(agent.run("Tell me a joke.") for _ in range(AT_ONCE)))
        return [resident_mb()]

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"many_runs": Measured("MiB", many_runs, warm_ups=0)})
