"""What one node does for all: events a second that it folds into the views on PostgreSQL, and that it publishes.

Each round is the whole of a journal, from its first event.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from databases import new_database
from measured import Measured, Round, play, times
from sized import AT_ONCE, turn

from treadle.events.subjects import Subjects
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.journals import open_journal
from treadle.gateways.read_models import open_read_models
from treadle.gateways.relay import Relay
from treadle.projections import Projections


async def filled(url: str) -> int:
    """Fill a journal; returns how many events it has."""
    journal = await open_journal(url)
    for first in range(0, times(3000), AT_ONCE):
        await journal.append(*(append for number in range(first, first + AT_ONCE) for append in turn(number)))
    last = await journal.last_position()
    await journal.close()
    return last


@asynccontextmanager
async def following_fold() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        with new_database() as url:
            events = await filled(url)
            journal = await open_journal(url)
            views, kept = open_read_models(url, Path(f"node-{uuid4().hex}"))
            began = time.perf_counter()
            async with Projections(journal, views, kept) as projections:
                await projections.catch_up()
                rate = events / (time.perf_counter() - began)
            await views.close()
            await journal.close()
            return [rate]

    yield a_round


@asynccontextmanager
async def following_publish() -> AsyncGenerator[Round]:
    with new_database() as url:
        events = await filled(url)

        async def a_round() -> list[float]:
            journal = await open_journal(url)
            subjects = Subjects(f"bench-{uuid4().hex[:12]}")
            bus = await NatsBus.connect(os.environ["BENCH_NATS_URL"], namespace=subjects.namespace)
            relay = Relay(journal, bus, subjects)
            began = time.perf_counter()
            await relay.start()
            while relay.position < events:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            rate = events / (time.perf_counter() - began)
            await relay.close()
            await bus.close()
            await journal.close()
            return [rate]

        yield a_round


if __name__ == "__main__":
    play(
        "Treadle",
        {
            "following_fold": Measured("events/s", following_fold),
            "following_publish": Measured("events/s", following_publish),
        },
    )
