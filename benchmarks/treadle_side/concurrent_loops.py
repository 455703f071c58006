"""500 tool loops of two turns at once: their appends share commits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from looping import checked, looping_agent
from measured import Measured, Round, all_at_once, play


@asynccontextmanager
async def concurrent_loops() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        async with looping_agent() as agent:
            return await all_at_once(lambda: checked(agent), 500)

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"concurrent_loops": Measured("runs/s", concurrent_loops)})
