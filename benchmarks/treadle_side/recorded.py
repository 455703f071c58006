"""A run's events as they are stored, for the cases that measure the journal alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

from treadle.actors.clock import SYSTEM_CLOCK
from treadle.events.envelope import EMPTY, Head, Meta
from treadle.events.event import Event
from treadle.events.journal import Append, Journal
from treadle.events.run import run_stream
from treadle.events.tool_step import ToolCompleted, ToolRequested
from treadle.gateways.journals import open_journal


@asynccontextmanager
async def journal() -> AsyncGenerator[Journal]:
    opened = await open_journal("sqlite:journal.db")
    try:
        yield opened
    finally:
        await opened.close()


class Stream:
    """Appends to one run's stream, each building on the one before."""

    def __init__(self) -> None:
        self.run_id = SYSTEM_CLOCK.new_id()
        self._meta = Meta(session_id=self.run_id, run_id=self.run_id, correlation_id=self.run_id, epoch=1)
        self._events = self._calls()
        self.head: Head = EMPTY

    def append(self, size: int) -> Append:
        """The next `size` events; the caller sets `head` when they are submitted."""
        events = [next(self._events) for _ in range(size)]
        return Append(run_stream(self.run_id), self.head, events, self._meta, datetime.now(UTC))

    def _calls(self) -> Iterator[Event]:
        for number in count(1):
            call_id = f"{self.run_id}_{number}_0"
            yield ToolRequested(step=str(number), call_id=call_id, tool="stock", args={"item": "bolts"})
            yield ToolCompleted(call_id=call_id, output="42 of bolts", duration_ms=0.012)


async def fill(into: Journal, stream: Stream, sizes: Sequence[int]) -> None:
    """One durable commit for each size, one in flight at a time."""
    for size in sizes:
        pending = into.submit(stream.append(size))
        stream.head = pending.heads[0]
        await pending
