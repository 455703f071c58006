"""A signal from one raw NATS client, until another raw client sees that its run has started.

On the way: stored by the broker, delivered to the system, taken by its session, started as a run, on disk, told by the
relay. Each signal is the first of its session, and meets a system at rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from itertools import count
from uuid import uuid4

import nats
from databases import new_database
from hosting import AGENT, SQLITE, hosted
from measured import Measured, Round, one_after_another, play, times

SIGNAL = b'{"summary": "My card was charged twice"}'
DEADLINE_S = 5.0
REST_S = 0.005
"""What comes after a run's end, acknowledging and folding, is no part of the next signal's time."""


@asynccontextmanager
async def signal_latency() -> AsyncGenerator[Round]:
    url, namespace = os.environ["BENCH_NATS_URL"], f"bench-{uuid4().hex[:12]}"
    publisher, watcher = await nats.connect(url), await nats.connect(url)
    started = await watcher.subscribe(f"{namespace}.event.*.run.*.started")
    completed = await watcher.subscribe(f"{namespace}.event.*.run.*.completed")
    await watcher.flush()
    sessions = count(1)

    async def until_started() -> None:
        await publisher.publish(f"{namespace}.signal.alice.{AGENT}.conv-{next(sessions)}", SIGNAL)
        await started.next_msg(timeout=DEADLINE_S)

    async def a_round() -> list[float]:
        samples: list[float] = []
        for _ in range(times(300)):
            samples += await one_after_another(until_started, 1)
            await completed.next_msg(timeout=DEADLINE_S)
            await asyncio.sleep(REST_S)
        return samples

    journal = new_database() if "postgresql" in sys.argv else nullcontext(SQLITE)
    with journal as where:
        async with hosted(where, namespace):
            yield a_round
    await publisher.close()
    await watcher.close()


if __name__ == "__main__":
    measured = Measured("s", signal_latency)
    play("Treadle", {"signal_latency": measured, "postgres_signal": measured})
