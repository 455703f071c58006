"""nats-py and nothing else: one message from one connection to another, over the server that Treadle is measured on.

`core` is a publish to a subscription. `jetstream` is a publish that the server stores (fsynced: `sync_interval:
always`) and hands to a pull consumer: one such hop is the least a signal costs that cannot be lost.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import nats
from measured import Measured, Round, one_after_another, play, times
from nats.js.api import RetentionPolicy

SIGNAL = b'{"summary": "My card was charged twice"}'
DEADLINE_S = 5.0


@asynccontextmanager
async def core() -> AsyncGenerator[Round]:
    publisher, subscriber = await nats.connect(url()), await nats.connect(url())
    subscription = await subscriber.subscribe("limit.core")
    await subscriber.flush()

    async def hop() -> None:
        await publisher.publish("limit.core", SIGNAL)
        await subscription.next_msg(timeout=DEADLINE_S)

    yield lambda: one_after_another(hop, times(1000))
    await publisher.close()
    await subscriber.close()


@asynccontextmanager
async def jetstream() -> AsyncGenerator[Round]:
    publisher, subscriber = await nats.connect(url()), await nats.connect(url())
    stream = publisher.jetstream()
    await stream.add_stream(name="LIMIT", subjects=["limit.js"], retention=RetentionPolicy.WORK_QUEUE)
    consumer = await subscriber.jetstream().pull_subscribe("limit.js", durable="limit")

    async def hop() -> None:
        waiting = asyncio.ensure_future(consumer.fetch(1, timeout=DEADLINE_S))
        await publisher.publish("limit.js", SIGNAL)
        for message in await waiting:
            await message.ack()

    yield lambda: one_after_another(hop, times(300))
    await stream.delete_stream("LIMIT")
    await publisher.close()
    await subscriber.close()


def url() -> str:
    return os.environ["BENCH_NATS_URL"]


if __name__ == "__main__":
    play("NATS", {"signal_latency": Measured("s", jetstream if sys.argv[2:] == ["jetstream"] else core)})
