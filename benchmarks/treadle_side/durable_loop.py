"""One tool loop of two turns after the other, each on disk, fsynced, before its effect and before its answer."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext

from databases import new_database
from looping import checked, looping_agent
from measured import Measured, Round, one_after_another, play, times


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        async with looping_agent() as agent:
            return await one_after_another(lambda: checked(agent), times(100))

    yield a_round


@asynccontextmanager
async def postgres_loop() -> AsyncGenerator[Round]:
    """The same, where the argument says; one database for all rounds, as agents share one."""
    with new_database() if sys.argv[2] == "postgresql" else nullcontext("sqlite:journal.db") as journal:

        async def a_round() -> list[float]:
            async with looping_agent(journal) as agent:
                return await one_after_another(lambda: checked(agent), times(100))

        yield a_round


if __name__ == "__main__":
    play(
        "Treadle",
        {"durable_loop": Measured("s", durable_loop), "postgres_loop": Measured("s", postgres_loop)},
    )
