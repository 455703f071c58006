"""Fixtures of the actor runtime's tests: a system that must leave nothing behind, and waiting with a deadline."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from treadle.actors.runtime import ActorSystem

Until: TypeAlias = Callable[[Callable[[], bool]], Awaitable[None]]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - some conditions are met by threads, which set no event of the loop
            await asyncio.sleep(0.001)


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds, at most ten seconds."""
    return _until


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    """A running actor system; when it has closed, no task and no thread of it may be left."""
    tasks = asyncio.all_tasks()
    threads = set(threading.enumerate())
    async with ActorSystem("test", close_timeout_s=10) as system:
        yield system
    left = {task for task in asyncio.all_tasks() - tasks if not task.get_name().startswith("Task-")}
    assert not left
    assert not {thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio_")}
