"""A system that hosts one agent, as a process of its own: it says `ready`, and ends when its input does.

A measurement of messages must not share a loop with the system: what the system does after a message, folding
projections for one, would hold up the clock that is to see it.

    hosting.py [JOURNAL [NAMESPACE [NODES]]]     ready when so many nodes share the signals
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from treadle import Agent, System
from treadle.gateways.placement import Placement

AGENT = "support"
SQLITE = "sqlite:./events.db"
NAMESPACE = "treadle"


async def main(journal: str = SQLITE, namespace: str = NAMESPACE, nodes: str = "1") -> None:
    async with System(journal=journal, nats=os.environ["BENCH_NATS_URL"], namespace=namespace) as system:
        system.host(Agent("You are a helpful assistant.", model="echo"), name=AGENT)
        await system.start_hosting()
        assert system.placement is not None
        while not shared(system.placement, int(nodes)):  # noqa: ASYNC110 - it says so to nobody
            await asyncio.sleep(0.05)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def shared(placement: Placement, nodes: int) -> bool:
    """Whether so many nodes are there, and this one has its share of the signals."""
    return len(placement.records) == nodes and 0 < len(placement.owned) <= -(-placement.count // nodes)


@asynccontextmanager
async def hosted(journal: str = SQLITE, namespace: str = NAMESPACE, nodes: int = 1) -> AsyncGenerator[list[int]]:
    """So many nodes are up in other processes until the block ends; gives their process ids."""
    pipe = asyncio.subprocess.PIPE
    processes: list[Process] = []
    try:
        for _ in range(nodes):
            arguments = (__file__, journal, namespace, str(nodes))
            processes.append(await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe))
        for process in processes:
            assert process.stdout is not None
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError("the system did not start; it says why on standard error")
        yield [process.pid for process in processes]
    finally:
        await asyncio.gather(*(process.communicate() for process in processes))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
