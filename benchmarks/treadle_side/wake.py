"""Waking an actor with 100,000 events behind it: a session, a memory partition."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from measured import Measured, Round, play, times

from treadle.actors import memory as memory_actor
from treadle.actors import session as session_actor
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.entity import Entity, Fold
from treadle.actors.memory import AskMemory
from treadle.actors.session_messages import DescribeSession
from treadle.events.envelope import Meta, StreamName
from treadle.events.event import Event
from treadle.events.memory import FactAsserted, memory_stream
from treadle.events.run import RunState
from treadle.events.session import RunEnded, RunOpened, session_stream
from treadle.gateways.journals import open_journal
from treadle.gateways.node import Node

PAGE = 500


def turns(number: int) -> Sequence[Event]:
    run_id = SYSTEM_CLOCK.new_id()
    return (
        RunOpened(run_id=run_id, prompt=f"Where is parcel {number}?"),
        RunEnded(run_id=run_id, state=RunState.COMPLETED, output=f"Parcel {number} is at the depot."),
    )


def facts(number: int) -> Sequence[Event]:
    at = datetime.now(UTC)
    return [
        FactAsserted(
            fact_id=SYSTEM_CLOCK.new_id(),
            subject=f"parcel {number}-{half}",
            predicate="is at",
            object="the depot",
            valid_from=at,
        )
        for half in (1, 2)
    ]


KINDS: dict[str, tuple[StreamName, Fold[Any], Callable[[int], Sequence[Event]], Any]] = {
    "session": (session_stream("alice", "support", "conv-1"), session_actor.FOLD, turns, DescribeSession()),
    "memory": (memory_stream("alice"), memory_actor.FOLD, facts, AskMemory()),
}


@asynccontextmanager
async def wake() -> AsyncGenerator[Round]:
    stream, fold, events, question = KINDS[sys.argv[2]]
    journal = await open_journal("sqlite:journal.db")
    entity = Entity(journal, SYSTEM_CLOCK, stream, fold, Meta(user_id="alice", epoch=1))
    for page in range(0, times(100_000), PAGE):
        for number in range(page, page + PAGE, 2):
            entity.record(events(number))
        await entity.flush()
    await journal.close()

    async def a_round() -> list[float]:
        samples: list[float] = []
        for _ in range(times(10)):
            node = Node(await open_journal("sqlite:journal.db"))
            await node.start()
            began = time.perf_counter()
            await node.system.ref(stream).ask(question)
            samples.append(time.perf_counter() - began)
            await node.close()
        return samples

    yield a_round


if __name__ == "__main__":
    play("Treadle", {"wake": Measured("s", wake)})
