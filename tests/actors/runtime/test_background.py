"""Tasks of an actor end with it, also those that forget that they were cancelled."""

import asyncio
import contextvars

import pytest

from treadle.actors.runtime import background
from treadle.actors.runtime.background import Background


async def test_a_task_that_forgets_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_S", 0.01)
    waiting = asyncio.Event()

    async def forgetful() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    failures: list[Exception] = []
    tasks = Background(failures.append)
    task = tasks.spawn(asyncio.get_running_loop(), forgetful(), "forgetful", contextvars.copy_context())
    await waiting.wait()
    async with asyncio.timeout(20):
        await tasks.cancel()
    assert task.cancelled()
    assert (len(tasks), failures) == (0, [])
