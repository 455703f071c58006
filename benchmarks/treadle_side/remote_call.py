"""The durable loop of two turns, its tool here or at a worker: what a call costs that goes over NATS.

Both run on a system with NATS, so that the relay's work is in both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from looping import asks_once, checked, stock
from measured import Measured, Round, one_after_another, play, times
from working import working

from treadle import Agent, FunctionModel, System, remote


@asynccontextmanager
async def remote_call() -> AsyncGenerator[Round]:
    place = sys.argv[2]
    tool = remote(stock) if place == "worker" else stock
    url = os.environ["BENCH_NATS_URL"]
    async with working(), System(journal="sqlite:journal.db", nats=url, projections=False) as system:
        agent = system.host(Agent("You mind the store.", model=FunctionModel(asks_once), tools=[tool]), name="store")
        yield lambda: one_after_another(lambda: checked(agent), times(100))


if __name__ == "__main__":
    play("Treadle", {"remote_call": Measured("s", remote_call)})
