"""A message to a local actor and its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from measured import Measured, Round, one_after_another, play, times

from treadle.actors.runtime import ActorSystem, CoroutineActor


@dataclass
class Ask:
    number: int


@dataclass
class Answer:
    number: int


class Counter(CoroutineActor):
    def on_receive(self, message: Ask) -> Answer:
        return Answer(message.number + 1)


@asynccontextmanager
async def actor_ask() -> AsyncGenerator[Round]:
    async with ActorSystem() as system:
        system.register("counter", lambda _: Counter())
        message, counter = Ask(1), system.ref("counter-default")

        async def ask() -> None:
            if (await counter.ask(message)).number != 2:
                raise AssertionError("not the answer")

        yield lambda: one_after_another(ask, times(3000))


if __name__ == "__main__":
    play("Treadle", {"actor_ask": Measured("s", actor_ask)})
