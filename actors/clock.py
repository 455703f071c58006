"""Time and ids: the two things a decision may not make up itself."""

import asyncio
import os
import time
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Where actors take time and ids from; tests move one by hand."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for time-outs; a machine's sleep counts where it can tell."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long; at least let others go on."""
        ...

    def new_id(self) -> str:
        """A UUIDv7: unique everywhere, and ids of one process sort by when they were made."""
        ...

    def new_ids(self, count: int) -> list[str]:
        """So many of them, in order."""
        ...


# On Linux the usual one stands still while the machine sleeps, and others have long taken it for dead.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clock and its random numbers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_ms = 0
        self._counter = 0
        self._prefix = ""
        self._tails: list[str] = []
        self._process = _process

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_SINCE_BOOT)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new_id(self) -> str:
        return self.new_ids(1)[0]

    def new_ids(self, count: int) -> list[str]:
        # RFC 9562, method 1: 48 bits of milliseconds, a 12-bit counter within one, 62 random bits. Every event
        # has one: the text of the milliseconds is kept, and the random parts are drawn by the page.
        ids: list[str] = []
        with self._lock:
            ms = time.time_ns() // 1_000_000
            if ms > self._last_ms:
                self._start(ms)
            if self._process is not _process:
                self._tails.clear()
                self._process = _process
            tails, prefix, counter = self._tails, self._prefix, self._counter
            for _ in range(count):
                if not tails:
                    tails += _random_tails()
                if counter > 0xFFF:
                    self._start(self._last_ms + 1)
                    prefix, counter = self._prefix, 0
                ids.append(f"{prefix}{counter:03x}{tails.pop()}")
                counter += 1
            self._counter = counter
        return ids

    def _start(self, ms: int) -> None:
        text = f"{ms:012x}"
        self._last_ms, self._counter, self._prefix = ms, 0, f"{text[:8]}-{text[8:]}-7"


_process = object()


def _after_fork() -> None:
    # A forked child must not draw the random parts that its parent has in store.
    global _process
    _process = object()


os.register_at_fork(after_in_child=_after_fork)


_VARIANT = str.maketrans("0123456789abcdef", "89ab" * 4)


def _random_tails() -> list[str]:
    """The last two groups of 256 UUIDs: two bits of variant, 62 random ones."""
    page = os.urandom(256 * 8).hex()
    variants = page.translate(_VARIANT)
    return [f"-{variants[at]}{page[at + 1 : at + 4]}-{page[at + 4 : at + 16]}" for at in range(0, len(page), 16)]


SYSTEM_CLOCK = SystemClock()
