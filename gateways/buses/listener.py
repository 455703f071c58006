"""What waits for one listener: in order, bounded, and with an end that is never silent."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from ...events.errors import Unavailable

T = TypeVar("T")


class Listener(Generic[T]):
    """An iterator over what is offered to it.

    Args:
        what: Names the listener in errors.
        limit: How many items may wait. One more, and the listener fails with `Unavailable` after those.
    """

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._items: deque[T] = deque()
        self._more = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    def offer(self, item: T) -> None:
        if self._ended:
            return
        if len(self._items) >= self._limit:
            self.end(Unavailable(self._what, f"the listener fell {self._limit} messages behind; listen again"))
            return
        self._items.append(item)
        self._more.set()

    def end(self, error: Exception | None = None) -> None:
        """Nothing follows what is waiting but `error`, or the end of the iteration. Only the first end counts."""
        if not self._ended:
            self._ended, self._error = True, error
            self._more.set()

    def __aiter__(self) -> "Listener[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()
