"""A system that hosts one agent, as a process of its own: it says `ready`, and ends when its input does.

A measurement of messages must not share a loop with the system: what the system does after a message, folding
projections for one, would hold up the clock that is to see it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from treadle import Agent, System

AGENT = "support"


async def main() -> None:
    async with System(journal="sqlite:./events.db", nats=os.environ["BENCH_NATS_URL"]) as system:
        system.host(Agent("You are a helpful assistant.", model="echo"), name=AGENT)
        await system.start_hosting()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def hosted() -> AsyncGenerator[None]:
    """The system is up in another process until the block ends."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the system did not start; it says why on standard error")
        yield
    finally:
        await process.communicate()


if __name__ == "__main__":
    asyncio.run(main())
