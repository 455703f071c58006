"""Time and ids: the two things a decision may not make up itself."""

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
        """Seconds that never go back, for time-outs."""
        ...

    def new_id(self) -> str:
        """A UUIDv7: unique everywhere, and ids of one process sort by when they were made."""
        ...


class SystemClock:
    """The machine's clock and its random numbers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_ms = 0
        self._counter = 0
        self._random = b""
        self._pid = os.getpid()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self) -> str:
        # RFC 9562, method 1: 48 bits of milliseconds, a 12-bit counter within one, 62 random bits.
        with self._lock:
            ms = time.time_ns() // 1_000_000
            if ms > self._last_ms:
                self._last_ms, self._counter = ms, 0
            else:
                self._counter += 1
                if self._counter > 0xFFF:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            if len(self._random) < 8 or self._pid != os.getpid():
                # Random bytes are drawn by the page; a forked child must not share its parent's.
                self._random, self._pid = os.urandom(4096), os.getpid()
            low = int.from_bytes(self._random[-8:], "big") & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
            self._random = self._random[:-8]
            text = f"{self._last_ms << 16 | 0x7000 | self._counter:016x}{low:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


SYSTEM_CLOCK = SystemClock()
