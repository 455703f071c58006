"""Verifying a whole journal: every row's hash, every stream's chain, and ends that somebody remembers.

What a chain cannot show by itself is that its newest events were cut off. For that give `verify` the heads
that were signed, printed or sent elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from .envelope import EMPTY, Head, Recorded
from .errors import CorruptEvent

PAGE = 1000
_UNKNOWN = ""


class Problem(Struct, frozen=True):
    """Something in a journal that is not as it was written. `position` is 0 when there is no row to point at."""

    stream: str
    version: int
    position: int
    why: str

    def __str__(self) -> str:
        return f"{self.stream} event {self.version} at position {self.position}: {self.why}"


class Readable(Protocol):
    """The part of a `Journal` that is read here."""

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]: ...


async def verify(journal: Readable, heads: Mapping[str, Head] | None = None) -> list[Problem]:
    """Reads a journal from the first event to the newest and returns all that is wrong with it, in order.

    Memory: one head for each stream, whatever the number of events.

    Args:
        heads: Ends of streams as they are known from elsewhere: the streams must reach and contain them.
    """
    expected = heads or {}
    problems: list[Problem] = []
    ends: dict[str, Head] = {}
    position = 0
    while True:
        try:
            page = await journal.read_all(position, PAGE)
        except CorruptEvent as exc:
            problems.append(Problem(exc.stream, exc.version, exc.position, exc.why))
            # What its hash was is not known any more; the event after it tells only its own.
            ends[exc.stream] = Head(exc.version, _UNKNOWN)
            position = exc.position
            continue
        if not page:
            break
        position = page[-1].position
        for event in page:
            end = ends.get(event.stream, EMPTY)
            why = ""
            if event.version != end.version + 1:
                why = f"it follows version {end.version}: events are missing or in another order"
            elif end.hash != _UNKNOWN and event.prev_hash != end.hash:
                why = f"it was chained to {event.prev_hash[:12]}…, the event before it has {end.hash[:12]}…"
            known = expected.get(event.stream)
            if known is not None and known.version == event.version and known.hash != event.hash:
                why = why or f"its hash was {known.hash[:12]}…, and is {event.hash[:12]}…: the stream was written anew"
            if why:
                problems.append(Problem(event.stream, event.version, event.position, why))
            ends[event.stream] = event.head
    for stream, known in expected.items():
        end = ends.get(stream, EMPTY)
        if end.version < known.version:
            why = f"the stream ends at version {end.version}, it had {known.version}: it was cut off"
            problems.append(Problem(stream, known.version, 0, why))
    return problems
