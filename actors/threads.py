"""Threads for synchronous tools and hooks: as many as there are calls up to a limit, reused, and never in the way of
an exit.

The standard pool has a handful of threads and waits for all of them when the interpreter ends, so one tool that
hangs would stop every other and then the process. These are daemons: what still runs at the end is abandoned, and
its run says that the outcome is unknown.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class ToolThreads:
    """A pool of daemon threads.

    Args:
        limit: How many calls may run at once; further ones wait in order.
        idle_s: Seconds after which a thread without work ends.
    """

    def __init__(self, limit: int = 256, idle_s: float = 10.0) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._jobs: deque[_Job] = deque()
        self._ready = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._told_when_empty: Callable[[], object] | None = None

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    async def run(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises, called in a thread with this task's context variables.

        Cancelling this call does not stop the thread: nothing can. The caller has to treat the outcome as unknown.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = copy_context()
        with self._ready:
            if self._closed:
                raise RuntimeError("the threads for tools are closed")
            self._jobs.append((lambda: context.run(function), future, loop))
            if self._idle >= len(self._jobs):
                self._ready.notify()
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=f"treadle-tool-{self._threads}", daemon=True).start()
        return await future

    def _work(self) -> None:
        while True:
            with self._ready:
                self._idle += 1
                while not self._jobs:
                    if self._closed or not self._ready.wait(self._idle_s):
                        if self._jobs:
                            break
                        self._idle -= 1
                        self._threads -= 1
                        if not self._threads and self._told_when_empty is not None:
                            self._told_when_empty()
                        return
                self._idle -= 1
                function, future, loop = self._jobs.popleft()
            try:
                result, error = function(), None
            except BaseException as exc:
                result, error = None, exc
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                # The loop has gone; so has whoever waited, and the run's history says `unknown`.
                del result, error
            del function, future, loop

    async def close(self, timeout_s: float = 2.0) -> int:
        """End idle threads and wait for busy ones up to `timeout_s`; returns how many had to be abandoned."""
        loop = asyncio.get_running_loop()
        empty: asyncio.Future[None] = loop.create_future()
        with self._ready:
            self._closed = True
            self._jobs.clear()
            self._ready.notify_all()
            if not self._threads:
                return 0
            self._told_when_empty = lambda: loop.call_soon_threadsafe(_settle, empty, None, None)
        try:
            await asyncio.wait((empty,), timeout=timeout_s)
        finally:
            with self._ready:
                # A tool that ends later must not look for this loop.
                self._told_when_empty = None
        return self._threads


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif not isinstance(error, Exception) or isinstance(error, StopIteration):
        # In a task of the loop these would end more than the tool: the coroutine that waits, or the process.
        made = RuntimeError(f"the function raised {error!r}")
        made.__cause__ = error
        future.set_exception(made)
    else:
        future.set_exception(error)
