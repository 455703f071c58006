"""Memory of a process with 10,000 idle sessions in it, each with a turn behind it and its state loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, play, times
from resident import resident_mb

from treadle import Agent

AT_ONCE = 100


@asynccontextmanager
async def idle_sessions() -> AsyncGenerator[Round]:
    sessions = times(10_000)
    async with Agent("You are a helpful assistant.", model="echo", runtime="sqlite:journal.db") as agent:

        async def turn(number: int) -> None:
            await agent.run("Where is my parcel?", session_id=f"conv-{number}", user_id=f"user-{number}")

        async def a_round() -> list[float]:
            for first in range(0, sessions, AT_ONCE):
                await asyncio.gather(*(turn(number) for number in range(first, first + AT_ONCE)))
            live = (await agent.node()).system.stats().live
            if live < sessions:
                raise AssertionError(f"{live} actors are live, of {sessions} sessions: some were unloaded")
            return [resident_mb()]

        yield a_round


if __name__ == "__main__":
    play("Treadle", {"idle_sessions": Measured("MiB", idle_sessions, warm_ups=0)})
