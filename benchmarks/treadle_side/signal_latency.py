"""A signal from one raw NATS client, until another raw client sees that its run has started.

On the way: stored by the broker, delivered to the system, taken by its session, started as a run, on disk, told by the
relay. Each signal is the first of its session, and meets a system at rest.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import nats
from hosting import AGENT, hosted
from measured import Measured, Round, one_after_another, play, times

SIGNAL = b'{"summary": "My card was charged twice"}'
DEADLINE_S = 5.0
REST_S = 0.005
"""What comes after a run's end, acknowledging and folding, is no part of the next signal's time."""


@asynccontextmanager
async def signal_latency() -> AsyncGenerator[Round]:
    url = os.environ["BENCH_NATS_URL"]
    publisher, watcher = await nats.connect(url), await nats.connect(url)
    started = await watcher.subscribe("treadle.event.*.run.*.started")
    completed = await watcher.subscribe("treadle.event.*.run.*.completed")
    await watcher.flush()
    sessions = count(1)

    async def until_started() -> None:
        await publisher.publish(f"treadle.signal.alice.{AGENT}.conv-{next(sessions)}", SIGNAL)
        await started.next_msg(timeout=DEADLINE_S)

    async def a_round() -> list[float]:
        samples: list[float] = []
        for _ in range(times(300)):
            samples += await one_after_another(until_started, 1)
            await completed.next_msg(timeout=DEADLINE_S)
            await asyncio.sleep(REST_S)
        return samples

    async with hosted():
        yield a_round
    await publisher.close()
    await watcher.close()


if __name__ == "__main__":
    play("Treadle", {"signal_latency": Measured("s", signal_latency)})
