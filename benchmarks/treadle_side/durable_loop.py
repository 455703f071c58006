"""One tool loop of two turns after the other, each on disk, fsynced, before its effect and before its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from looping import checked, looping_agent
from measured import Measured, Round, one_after_another, play, times


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        async with looping_agent() as agent:
            return await one_after_another(lambda: checked(agent), times(100))

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"durable_loop": Measured("s", durable_loop)})
