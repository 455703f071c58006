"""Signals from a raw NATS client until all their runs have completed: nodes are processes, on one PostgreSQL.

Each case is one view of the same round: how many runs a second, and what processor time a run took of the nodes and of
the database. Where nodes, database and broker share a few cores, only the last two say what more
machines would do.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

import nats
from databases import new_database, process_cpu_s, server_cpu_s
from hosting import AGENT, SQLITE, hosted
from measured import Measured, Round, play, times
from nats.aio.client import Client

DEADLINE_S = 120.0
SIGNAL = b'{"summary": "My card was charged twice"}'
TURNS = 2
"""Signals a session gets in a round, one after the other: the second one waits for the first one's run."""


@dataclass(frozen=True)
class Work:
    """What a round took."""

    runs: int
    wall_s: float
    nodes_s: float
    database_s: float


@asynccontextmanager
async def working(view: Callable[[Work], float]) -> AsyncGenerator[Round]:
    nodes, where = int(sys.argv[2]), sys.argv[3]
    namespace = f"bench-{uuid4().hex[:12]}"
    sessions = count(1)
    client = await nats.connect(os.environ["BENCH_NATS_URL"])
    with ExitStack() as stack:
        journal = SQLITE if where == "sqlite" else stack.enter_context(new_database())
        async with hosted(journal, namespace, nodes) as pids:

            async def a_round() -> list[float]:
                before = [process_cpu_s(pid) for pid in pids]
                database = server_cpu_s()
                began = time.perf_counter()
                runs = await completed(client, namespace, sessions, times(1000))
                wall_s = time.perf_counter() - began
                # What follows a run's end is its work, too: views are folded, signals acknowledged, others wake up.
                await asyncio.sleep(1.5)
                used = sum(process_cpu_s(pid) for pid in pids) - sum(before)
                return [view(Work(runs, wall_s, used, server_cpu_s() - database))]

            yield a_round
    await client.close()


async def completed(client: Client, namespace: str, sessions: count[int], signals: int) -> int:
    """Publish so many signals and wait until each has had its run; returns how many that were."""
    ended: set[str] = set()
    done = asyncio.Event()

    async def see(message: nats.aio.msg.Msg) -> None:
        ended.add(message.subject)  # a relay may tell an event twice
        if len(ended) >= signals:
            done.set()

    subscription = await client.subscribe(f"{namespace}.event.*.run.*.completed", cb=see)
    await client.flush()
    stream = client.jetstream()
    for _ in range(signals // TURNS):
        subject = f"{namespace}.signal.alice.{AGENT}.conv-{next(sessions)}"
        await asyncio.gather(*(stream.publish(subject, SIGNAL) for _ in range(TURNS)))
    async with asyncio.timeout(DEADLINE_S):
        await done.wait()
    await subscription.unsubscribe()
    return len(ended)


CASES = {
    "nodes": Measured("runs/s", lambda: working(lambda work: work.runs / work.wall_s)),
    "nodes_cpu": Measured("s", lambda: working(lambda work: work.nodes_s / work.runs)),
    "nodes_database": Measured("s", lambda: working(lambda work: work.database_s / work.runs)),
}

if __name__ == "__main__":
    play("Treadle", CASES)
