"""Where projections read: the part of a journal they need, page by page, around corrupt rows."""

from collections.abc import Sequence
from typing import Protocol

from ..events.envelope import Position, Recorded
from ..events.errors import CorruptEvent


class Source(Protocol):
    """The part of a `Journal` that projections read."""

    @property
    def name(self) -> str: ...
    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]: ...
    async def last_position(self) -> Position: ...
    async def wait(self, after: int, timeout_s: float | None = None) -> Position: ...


async def read_page(journal: Source, after: int, limit: int) -> tuple[Sequence[Recorded], CorruptEvent | None]:
    """Events above position `after`, or the corrupt one that comes next; nothing and None at the end.

    No event is skipped: where a read fails for a corrupt row further on, a shorter one gets those before it.
    """
    while True:
        try:
            return await journal.read_all(after, limit), None
        except CorruptEvent as exc:
            if limit == 1:
                return (), exc
            # Positions may have gaps: there are at most this many events before the corrupt one.
            limit = max(1, min(limit // 2, exc.position - after - 1))
