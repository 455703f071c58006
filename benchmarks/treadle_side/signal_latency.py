"""A signal from one raw NATS client, until another raw client sees that its run has started.

On the way: stored by the broker, delivered to the system, taken by its session, started as a run, on disk, told by the
relay, stored by the broker again. The raw clients share the loop with the system, as they do in the limits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import nats
from measured import Measured, Round, one_after_another, play, times

from treadle import Agent, System

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
    async with System(journal="sqlite:./events.db", nats=url) as system:
        system.host(Agent("You are a helpful assistant.", model="echo"), name="support")
        await system.start_hosting()

        async def until_started() -> None:
            await publisher.publish(f"treadle.signal.alice.support.conv-{next(sessions)}", SIGNAL)
            await started.next_msg(timeout=DEADLINE_S)

        async def a_round() -> list[float]:
            samples: list[float] = []
            for _ in range(times(300)):
                samples += await one_after_another(until_started, 1)
                await completed.next_msg(timeout=DEADLINE_S)
                await asyncio.sleep(REST_S)
            return samples

        yield a_round
    await publisher.close()
    await watcher.close()


if __name__ == "__main__":
    play("Treadle", {"signal_latency": Measured("s", signal_latency)})
