"""What must not grow with what has been: the journal in memory, and the reading that wakes an actor."""

import asyncio
import gc
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from recording import NOON
from waiting import until

from treadle import Agent, System
from treadle.actors import memory, session
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.entity import SNAPSHOT_EVERY, Entity, Fold
from treadle.actors.memory import AskMemory
from treadle.actors.session_messages import DescribeSession
from treadle.events.envelope import Meta, Recorded, StreamName
from treadle.events.event import Event
from treadle.events.memory import FactAsserted, memory_stream
from treadle.events.run import RunState
from treadle.events.session import RunEnded, RunOpened, session_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.journals.submission import Submission
from treadle.gateways.node import Node


async def test_a_journal_in_memory_holds_no_more_events_after_5000_runs_than_after_500() -> None:
    journal = MemoryJournal(max_finished_runs=100)
    kept: list[int] = []
    async with System(journal=journal, projections=False) as system:
        agent = system.host(Agent("Help.", model="echo"), name="support")
        for _ in range(10):
            for _ in range(5):
                await asyncio.gather(*(agent.run("Where is my parcel?") for _ in range(100)))
            kept.append(len(await journal.read_all(0, limit=100_000)))
    assert len(set(kept)) == 1
    assert kept[0] <= 100 * 4
    await journal.close()


async def test_sessions_that_are_idle_hold_none_of_their_submissions() -> None:
    async with System(projections=False) as system:
        agent = system.host(Agent("Help.", model="echo"), name="support")
        await asyncio.gather(*(agent.run("Where is my parcel?", session_id=f"s{number}") for number in range(200)))
        gc.collect()
        # Runs that have ended are unloaded a second later.
        await until(lambda: system.node.system.stats().live == 200)
        gc.collect()
        assert sum(isinstance(each, Submission) for each in gc.get_objects()) < 20


class CountingJournal(SqliteJournal):
    """Counts the events that are read of one stream."""

    events_read = 0

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        events = await super().read(stream, after, limit)
        self.events_read += len(events)
        return events


def turn(number: int) -> list[Event]:
    run_id = SYSTEM_CLOCK.new_id()
    return [
        RunOpened(run_id=run_id, prompt=f"Where is parcel {number}?"),
        RunEnded(run_id=run_id, state=RunState.COMPLETED, output="At the depot."),
    ]


def facts(number: int) -> list[Event]:
    at = NOON + timedelta(seconds=number)
    return [
        FactAsserted(fact_id=f"{number}-{half}", subject=f"parcel {number}", predicate=half, object="x", valid_from=at)
        for half in ("is at", "goes to")
    ]


S = TypeVar("S")


async def fill(path: Path, stream: StreamName, fold: Fold[S], pages: Sequence[list[Event]]) -> int:
    """Write `pages` as an actor does, one durable commit each; returns how many events that are."""
    journal = await SqliteJournal.open(path)
    entity = Entity(journal, SYSTEM_CLOCK, stream, fold, Meta(user_id="alice", epoch=1))
    for page in pages:
        entity.record(page)
        await entity.flush()
    await journal.close()
    return entity.head.version


@pytest.mark.parametrize("kind", ["session", "memory"])
async def test_waking_an_actor_reads_its_snapshot_and_what_came_after_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    if kind == "session":
        question: object = DescribeSession()
        stream = session_stream("alice", "support", "conv-1")
        written = await fill(path, stream, session.FOLD, [turn(number) for number in range(1_600)])
    else:
        stream, question = memory_stream("alice"), AskMemory()
        written = await fill(path, stream, memory.FOLD, [facts(number) for number in range(1_600)])
    journal = await CountingJournal.open(path)
    node = Node(journal)
    await node.start()
    await node.system.ref(stream).ask(question)
    read = journal.events_read
    await node.close()
    assert written == 3_200
    assert 0 < read <= SNAPSHOT_EVERY + 1
