"""Tasks that an actor owns.

Each runs beside the messages, and none outlives the instance that started it: when the actor stops, restarts or is
passivated they are cancelled and awaited. A task that fails is a failure of its actor.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Background"]

PATIENCE_S = 5.0
"""How long a task may take to clean up before it is cancelled again."""


class Background:
    """The running tasks of one instance of an actor."""

    __slots__ = ("_failed", "_tasks")

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed = failed

    def spawn(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        name: str,
        context: contextvars.Context,
    ) -> asyncio.Task[Any]:
        """Start a task."""
        task = loop.create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):  # the loop itself deals with KeyboardInterrupt and its like
            self._failed(error)

    def kill(self) -> list[asyncio.Task[Any]]:
        """Cancel all tasks and do not wait; returns them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended; errors in their clean-up count as failures.

        What has not ended after `PATIENCE_S` is cancelled again: before Python 3.12, `asyncio.wait_for` forgets a
        cancellation that comes together with its answer, and clients of databases and brokers wait with it.
        """
        while self._tasks:
            self.kill()
            await asyncio.wait(tuple(self._tasks), timeout=PATIENCE_S)
            # Done callbacks run after the waiter is woken; the set is empty one turn of the loop later.
            await asyncio.sleep(0)

    def __len__(self) -> int:
        return len(self._tasks)
