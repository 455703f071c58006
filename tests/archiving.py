"""A journal beside which an archiver is always at work: whatever can move has moved before the next look."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.journal import NOW

from treadle.events.envelope import Head, Recorded
from treadle.events.journal import Append, Journal, Pending
from treadle.gateways.archives.archiver import Report
from treadle.gateways.archives.opening import archive_closed

LATER = NOW + timedelta(days=1)
ANY_TYPE = ("testing.call_requested", "testing.budget_reserved", "testing.run_closed")


async def archive_all(spec: str, into: Path | None = None, before: datetime = LATER, **more: Any) -> Report:
    """Archive every stream, closed or not, as far as the archiver lets go of them."""
    return await archive_closed(spec, closed_before=before, into=into, closing_types=ANY_TYPE, **more)


class Meanwhile:
    """A journal, with something that happens before and after each look at it.

    Attributes:
        happens: Called before each reading, and again before its caller sees what was read.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.happens: Callable[[], Awaitable[object]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    @asynccontextmanager
    async def _look(self) -> AsyncGenerator[None]:
        if self.happens is not None:
            await self.happens()
        try:
            yield
        finally:
            if self.happens is not None:
                await self.happens()

    def submit(self, *appends: Append) -> Pending:
        return self._journal.submit(*appends)

    async def head(self, stream: str) -> Head:
        async with self._look():
            return await self._journal.head(stream)

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        async with self._look():
            return await self._journal.read(stream, after, limit)

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        async with self._look():
            return await self._journal.read_all(after, limit, category=category)


async def everything(journal: Journal, limit: int = 1000) -> list[Recorded]:
    """A journal from the first event to the newest."""
    found: list[Recorded] = []
    after = 0
    while page := await journal.read_all(after, limit):
        found += page
        after = page[-1].position
    return found


__all__ = ["ANY_TYPE", "LATER", "Meanwhile", "archive_all", "everything"]
