"""Time that only the test moves."""

import asyncio
from datetime import datetime, timedelta

from recording import NOON

from treadle.actors.clock import SystemClock


class HandClock(SystemClock):
    """It is noon until the test says otherwise. Who sleeps wakes when so much time was moved.

    Attributes:
        asked: How long each sleep was to be, in order.
    """

    def __init__(self, start: datetime = NOON) -> None:
        super().__init__()
        self.asked: list[float] = []
        self._begins = start
        self._seconds = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._begins + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self._seconds + seconds, woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not woken.done() for _, woken in self._sleeping)

    def move(self, seconds: float) -> None:
        """So much later."""
        self._seconds += seconds
        for until, woken in self._sleeping:
            if until <= self._seconds and not woken.done():
                woken.set_result(None)
