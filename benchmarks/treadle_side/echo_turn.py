"""One echo turn in memory, nothing configured; four events and their chain all the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, one_after_another, play, times

from treadle import Agent


@asynccontextmanager
async def echo_turn() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        agent = Agent("You are a helpful assistant.", model="echo")
        return await one_after_another(lambda: agent.run("Tell me a joke."), times(100))

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"echo_turn": Measured("s", echo_turn)})
