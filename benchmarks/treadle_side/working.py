"""A worker with the tool of the measured loop, as a process of its own: it says `ready`, and ends with its input."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from looping import stock

from treadle import Worker


async def main() -> None:
    async with Worker([stock], nats=os.environ["BENCH_NATS_URL"]):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def working() -> AsyncGenerator[None]:
    """The worker is there until the block ends."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the worker did not start; it says why on standard error")
        yield
    finally:
        await process.communicate()


if __name__ == "__main__":
    asyncio.run(main())
