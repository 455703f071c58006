"""A time-out that says so."""

import asyncio


class Deadline:
    """A time-out that can be told from a `TimeoutError` of the code under it."""

    __slots__ = ("_timeout", "limit_s")

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._timeout: asyncio.Timeout | None = None

    def guard(self) -> asyncio.Timeout:
        """What the code under it runs in: `async with deadline.guard():`, once."""
        self._timeout = asyncio.timeout(self.limit_s)
        return self._timeout

    @property
    def expired(self) -> bool:
        return self._timeout is not None and self._timeout.expired()
