"""What every measured program shares; standard library only, because it runs in the peers' environment too.

A measured program is one process for one contender and one case. It sets up, warms up and says `ready`; then each line
on its standard input asks for one round, and it answers with one JSON line:

    {"contender": "loomflow", "case": "echo_turn", "unit": "s", "values": [0.00021, 0.00020, …]}

Between rounds it waits, so that the parent can let contenders take turns. The end of its input ends it. What the
program or its libraries print goes to standard error: standard output carries the protocol alone.

Environment: `BENCH_QUICK=1` asks for shorter rounds, `BENCH_NATS_URL` names the broker of the cases that need one.
Files go into the current directory, which the parent makes afresh for each program on the disk under test.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

Round: TypeAlias = Callable[[], Awaitable[list[float]]]
"""Runs one round and gives its samples, in the unit of the case."""


@dataclass(frozen=True)
class Measured:
    """One case as a contender plays it.

    Attributes:
        unit: `s` for seconds per call, `<things>/s` for a rate, or any other unit of the samples.
        setup: Opens whatever the rounds need and yields the round; closing it releases everything.
        warm_ups: Rounds that are played and thrown away before the first that counts.
    """

    unit: str
    setup: Callable[[], AbstractAsyncContextManager[Round]]
    warm_ups: int = 1


def times(full: int) -> int:
    """How often to repeat in a round: `full`, or a tenth of it (3 at least) when a quick look was asked for."""
    return max(3, full // 10) if os.environ.get("BENCH_QUICK") else full


async def one_after_another(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Seconds of each of `count` calls, the next one starting when the last has answered."""
    samples: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        samples.append(time.perf_counter() - started)
    return samples


async def all_at_once(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Calls per second when `count` of them are started together; one sample."""
    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(count)))
    return [count / (time.perf_counter() - started)]


def play(contender: str, cases: Mapping[str, Measured]) -> None:
    """Play the case named by the first argument until standard input ends; the `main` of every measured program."""
    case = sys.argv[1] if len(sys.argv) > 1 else ""
    if case not in cases:
        raise SystemExit(f"usage: {sys.argv[0]} CASE, one of: {', '.join(sorted(cases))}")
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**fields: object) -> None:
        print(json.dumps({"contender": contender, "case": case, "unit": cases[case].unit, **fields}), file=protocol)
        protocol.flush()

    async def rounds() -> None:
        async with cases[case].setup() as play_round:
            for _ in range(cases[case].warm_ups):
                await play_round()
            say(ready=True)
            # Read in a thread: a contender that keeps a connection alive must be able to while others are measured.
            while await asyncio.to_thread(sys.stdin.readline):
                gc.collect()
                say(values=await play_round())

    asyncio.run(rounds())
