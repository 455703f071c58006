"""What grows with the number of sessions in a journal on PostgreSQL: each has had one run, a few are at something.

Every case is one thing that a node does again and again, on the same databases: the first that needs a size fills it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from uuid import uuid4

from databases import kept_database
from hosting import AGENT
from measured import Measured, Round, one_after_another, play, times

from treadle import Agent, System
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.session_messages import DescribeSession
from treadle.events.envelope import EMPTY, Meta, StreamName
from treadle.events.event import Event
from treadle.events.journal import Append, Journal
from treadle.events.message import ModelReply, Usage
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import RunCompleted, RunStarted, RunState, run_stream
from treadle.events.session import RunEnded, RunOpened, SignalReceived, session_stream
from treadle.events.signal import RuntimeSignal
from treadle.gateways.journals import open_journal
from treadle.gateways.node import Node
from treadle.gateways.read_models import open_read_models
from treadle.projections import Projections

SESSIONS_A_USER = 10
AT_ONCE = 250
BUSY = 20
"""Sessions with an open run, and as many with a signal that waits for its run, however many sessions there are."""

PROMPT, ANSWER = "Where is my parcel?", "It is at the depot in Bern, and leaves tomorrow."


def session(number: int) -> StreamName:
    return session_stream(f"user-{number // SESSIONS_A_USER}", AGENT, f"conv-{number}")


def turn(number: int, opened: bool = False) -> list[Append]:
    """The first run of a session; an open one has no end."""
    run_id, at = SYSTEM_CLOCK.new_id(), datetime.now(UTC)
    user, conversation = f"user-{number // SESSIONS_A_USER}", f"conv-{number}"
    meta = Meta(user_id=user, session_id=conversation, run_id=run_id, correlation_id=run_id, epoch=1)
    talk: list[Event] = [RunOpened(run_id=run_id, prompt=PROMPT)]
    run: list[Event] = [
        RunStarted(agent=AGENT, prompt=PROMPT, owner="elsewhere:1", model="echo"),
        ModelRequested(step="1", call_id=f"{run_id}_1", digest="d" * 16),
    ]
    if not opened:
        reply = ModelReply(text=ANSWER, usage=Usage(input_tokens=200, output_tokens=20))
        run += [ModelCompleted(step="1", call_id=f"{run_id}_1", reply=reply), RunCompleted(output=ANSWER, turns=1)]
        talk.append(RunEnded(run_id=run_id, state=RunState.COMPLETED, output=ANSWER))
    return [Append(session(number), EMPTY, talk, meta, at), Append(run_stream(run_id), EMPTY, run, meta, at)]


def waiting(number: int) -> list[Append]:
    """A session with a signal that nobody has begun to answer."""
    signal = RuntimeSignal(id=SYSTEM_CLOCK.new_id(), summary=PROMPT)
    meta = Meta(user_id=f"user-{number // SESSIONS_A_USER}", session_id=f"conv-{number}", epoch=1)
    return [Append(session(number), EMPTY, [SignalReceived(signal)], meta, datetime.now(UTC))]


async def fill(url: str, sessions: int) -> None:
    """Make so many sessions, and fold them."""
    journal = await open_journal(url)
    for first in range(0, sessions, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, sessions))
        await journal.append(*(append for number in numbers for append in turn(number)))
    for number in range(sessions, sessions + BUSY):
        await journal.append(*turn(number, opened=True), *waiting(number + BUSY))
    async with folding(url, journal) as projections:
        await projections.catch_up()
    await journal.close()


@asynccontextmanager
async def folding(url: str, journal: Journal) -> AsyncGenerator[Projections]:
    views, kept = open_read_models(url, Path(f"node-{uuid4().hex}"))
    async with Projections(journal, views, kept) as projections:
        yield projections
    await views.close()


@asynccontextmanager
async def filled() -> AsyncGenerator[tuple[str, int]]:
    sessions = int(sys.argv[2])
    with kept_database(f"sized_{sessions}") as (url, is_new):
        if is_new:
            await fill(url, sessions)
        yield url, sessions


@asynccontextmanager
async def sized_append() -> AsyncGenerator[Round]:
    """A turn of a session that is new, as one commit."""
    async with filled() as (url, sessions):
        journal, numbers = await open_journal(url), count(10 * sessions)
        yield lambda: one_after_another(lambda: journal.append(*turn(next(numbers))), times(200))
        await journal.close()


@asynccontextmanager
async def sized_wake() -> AsyncGenerator[Round]:
    """An idle session is loaded, and answers."""
    async with filled() as (url, sessions):
        chance = Random(1)

        async def a_round() -> list[float]:
            node = Node(await open_journal(url))
            await node.start()
            numbers = iter(chance.sample(range(sessions), min(sessions, times(200))))
            samples = await one_after_another(
                lambda: node.system.ref(session(next(numbers))).ask(DescribeSession()), min(sessions, times(200))
            )
            await node.close()
            return samples

        yield a_round


@asynccontextmanager
async def sized_sweep() -> AsyncGenerator[Round]:
    """What each node asks every five seconds: whose runs are open, which of them are left, which signals wait."""
    async with filled() as (url, _):
        journal = await open_journal(url)
        async with folding(url, journal) as projections:

            async def sweep() -> None:
                await projections.catch_up()
                found = len(await projections.sessions.list(waiting=True, limit=1_000_000))
                owners = await projections.runs.open_owners()
                left = [owner for owner in owners if not await journal.is_alive(owner)]
                found += len(await projections.runs.open_runs(owners=left))
                if found != 2 * BUSY:
                    raise AssertionError(f"{found} sessions and runs want something, there are {2 * BUSY}")

            yield lambda: one_after_another(sweep, times(50))
        await journal.close()


@asynccontextmanager
async def sized_lists() -> AsyncGenerator[Round]:
    """A user's newest runs and sessions."""
    async with filled() as (url, sessions):
        journal = await open_journal(url)
        async with folding(url, journal) as projections:

            async def look() -> None:
                user = f"user-{sessions // SESSIONS_A_USER // 2}"
                await projections.runs.list(user_id=user)
                await projections.sessions.list(user_id=user)

            yield lambda: one_after_another(look, times(50))
        await journal.close()


@asynccontextmanager
async def sized_start() -> AsyncGenerator[Round]:
    """A node from nothing to taking signals."""
    async with filled() as (url, _):

        async def a_round() -> list[float]:
            samples: list[float] = []
            for _ in range(3):
                namespace = f"bench-{uuid4().hex[:12]}"
                system = System(journal=url, nats=os.environ["BENCH_NATS_URL"], namespace=namespace, resume=False)
                began = time.perf_counter()
                async with system:
                    system.host(Agent("You help.", model="echo"), name="somebody")
                    await system.start_hosting()
                    samples.append(time.perf_counter() - began)
            return samples

        yield a_round


CASES = {
    case.__name__: Measured("s", case) for case in (sized_append, sized_wake, sized_sweep, sized_lists, sized_start)
}

if __name__ == "__main__":
    play("Treadle", CASES)
