"""Workflows of ten plain functions: the time of a run, divided by its nodes; and a map over ten thousand items."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from measured import Measured, Round, one_after_another, play, times
from resident import peak_mb, resident_mb

from treadle import END, START, Workflow, step

NODES = 10
ITEMS, AT_ONCE = 10_000, 100
LETTING_GO_S = 0.2


async def add_one(value: int) -> int:
    return value + 1


safe = step(read_only=True)(lambda value: value + 1)
"""Changes nothing, and says so: nobody has to wait for the disk before it."""


def chain(node: Callable[[int], Any], runtime: str) -> Workflow:
    return Workflow.chain([node] * NODES, runtime=runtime)


def parallel(node: Callable[[int], Any], runtime: str) -> Workflow:
    return Workflow.parallel([node] * NODES, merge=step(read_only=True)(sum), runtime=runtime, max_concurrency=NODES)


def circle(node: Callable[[int], Any], runtime: str) -> Workflow:
    """One node, again and again."""
    made = Workflow("circle", runtime=runtime)
    made.add_node("add", node).add_edge(START, "add")
    made.add_router("add", lambda value: "done" if value == NODES else "again", {"done": END, "again": "add"})
    return made


SHAPES = {"chain": (chain, NODES), "parallel": (parallel, NODES), "circle": (circle, NODES)}
"""Each with what it comes to when it is given 0."""


def played(shape: str, runtime: str) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        draw, output = SHAPES[shape]
        node = safe if sys.argv[2:] == ["read_only"] else add_one

        async def a_round() -> list[float]:
            async with draw(node, runtime) as workflow:

                async def run() -> None:
                    result = await workflow.run(0)
                    if result.output != output:
                        raise AssertionError(f"not the workflow that is measured: {result!r}")

                return [taken / NODES for taken in await one_after_another(run, times(50))]

        yield a_round

    return case


@asynccontextmanager
async def mapping() -> AsyncGenerator[Callable[[], Any]]:
    """A map over all items, so many at a time."""
    runtime = "memory" if sys.argv[2:] == ["memory"] else "sqlite:journal.db"
    items = times(ITEMS)
    async with Workflow.chain([Workflow.map(add_one, limit=AT_ONCE)], runtime=runtime) as workflow:

        async def run() -> None:
            result = await workflow.run(list(range(items)))
            if result.output != list(range(1, items + 1)):
                raise AssertionError("not the map that is measured")

        yield run


@asynccontextmanager
async def workflow_map() -> AsyncGenerator[Round]:
    async with mapping() as run:

        async def a_round() -> list[float]:
            return [taken / times(ITEMS) for taken in await one_after_another(run, 1)]

        yield a_round


@asynccontextmanager
async def workflow_map_memory() -> AsyncGenerator[Round]:
    """What a map takes while it goes on, and what is left of it when it has ended: more than after the one before."""
    async with mapping() as run:

        async def peak() -> list[float]:
            before = peak_mb()
            await run()
            return [peak_mb() - before]

        async def left() -> list[float]:
            await run()
            await asyncio.sleep(LETTING_GO_S)
            before = resident_mb()
            await run()
            await asyncio.sleep(LETTING_GO_S)
            return [resident_mb() - before]

        yield left if "left" in sys.argv[2:] else peak


@asynccontextmanager
async def workflow_map_journal() -> AsyncGenerator[Round]:
    """What is on disk for each item, the log included."""

    async def a_round() -> list[float]:
        async with mapping() as run:
            await run()
        return [stored_bytes() / times(ITEMS)]

    yield a_round


def stored_bytes() -> int:
    return sum(path.stat().st_size for path in Path().glob("journal.db*"))


CASES = {
    **{
        f"workflow_{shape}{ending}": Measured("s", played(shape, runtime))
        for shape in SHAPES
        for ending, runtime in (("", "memory"), ("_durable", "sqlite:journal.db"))
    },
    "workflow_map": Measured("s", workflow_map, warm_ups=0),
    "workflow_map_memory": Measured("MiB", workflow_map_memory, warm_ups=0),
    "workflow_map_journal": Measured("bytes", workflow_map_journal, warm_ups=0),
}

if __name__ == "__main__":
    play("Treadle", CASES)
