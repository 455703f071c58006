"""Seconds to import an agent library, each sample in a fresh interpreter of the environment it is installed in.

The statement is the first line of a user's program, `from X import Agent`: a facade that loads its names lazily gains
nothing by it.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, play, times

TIMED = "import time; started = time.perf_counter(); {statement}; print(time.perf_counter() - started)"


async def seconds(statement: str) -> float:
    # -I: no PYTHONPATH and no user site, only what is installed.
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", TIMED.format(statement=statement), stdout=PIPE, stderr=PIPE
    )
    output, errors = await child.communicate()
    if child.returncode:
        raise SystemExit(errors.decode().strip().rpartition("\n")[2])
    return float(output)


@asynccontextmanager
async def import_time() -> AsyncGenerator[Round]:
    statement = sys.argv[2]

    async def a_round() -> list[float]:
        return [await seconds(statement) for _ in range(times(5))]

    yield a_round


if __name__ == "__main__":
    play(sys.argv[2].split()[1], {"import_time": Measured("s", import_time)})
