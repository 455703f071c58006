"""A recorder of `eventsourcing` in memory that can forget streams, which the library's own cannot.

Rows stand in the order of their positions. A forgotten row leaves a hole there, and when half of it is holes
the list is written anew: memory stays within twice what is kept, positions keep growing, and neither forgetting
nor inserting depends on how much there is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from threading import RLock
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Notification, StoredEvent, Subscription

from ...events.envelope import Row

Entry = tuple[int, str, int, str, bytes]
"""Position, stream, version, type, stored form."""

_version = itemgetter(2)
_FEW_HOLES = 1024


class MemoryRecorder(ApplicationRecorder):
    """Events in memory. Versions of a stream have to grow; a hole between them is the caller's affair."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._streams: dict[str, list[Entry]] = {}
        self._log: list[Entry | None] = []
        self._positions: list[int] = []
        self._last = 0
        self._holes = 0

    @property
    def last_position(self) -> int:
        """The highest position that was ever given away."""
        return self._last

    def __len__(self) -> int:
        return len(self._log) - self._holes

    def insert_rows(self, rows: Sequence[Row]) -> int:
        """Insert rows whose versions follow their streams, and return the last one's position."""
        position = self._last
        for stream, version, type, stored in rows:
            position += 1
            entry = (position, stream, version, type, stored)
            entries = self._streams.get(stream)
            if entries is None:
                self._streams[stream] = [entry]
            else:
                entries.append(entry)
            self._log.append(entry)
            self._positions.append(position)
        self._last = position
        return position

    def stream(self, stream: str) -> Sequence[Entry]:
        """All rows of a stream, in order."""
        return self._streams.get(stream, ())

    def after(self, position: int) -> Iterable[Entry]:
        """Rows of all streams above a position, in order."""
        for index in range(bisect_right(self._positions, position), len(self._log)):
            entry = self._log[index]
            if entry is not None:
                yield entry

    def forget(self, stream: str) -> Sequence[Entry]:
        """Remove a stream and return its rows."""
        with self._lock:
            entries = self._streams.pop(stream, [])
            for entry in entries:
                self._log[bisect_left(self._positions, entry[0])] = None
            self._holes += len(entries)
            if self._holes > _FEW_HOLES and self._holes * 2 > len(self._log):
                self._log = [entry for entry in self._log if entry is not None]
                self._positions = [entry[0] for entry in self._log if entry is not None]
                self._holes = 0
            return entries

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        with self._lock:
            last: dict[str, int] = {}
            for event in stored_events:
                stream = str(event.originator_id)
                entries = self.stream(stream)
                before = last.get(stream, entries[-1][2] if entries else -1)
                if event.originator_version <= before:
                    raise IntegrityError(f"{stream!r} has version {before}, {event.originator_version} is not after it")
                last[stream] = event.originator_version
            first = self._last + 1
            self.insert_rows([(str(e.originator_id), e.originator_version, e.topic, e.state) for e in stored_events])
            return list(range(first, self._last + 1))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        with self._lock:
            entries = self.stream(str(originator_id))
            start = 0 if gt is None else bisect_right(entries, gt, key=_version)
            stop = len(entries) if lte is None else bisect_right(entries, lte, key=_version)
            found = entries[start:stop]
            if desc:
                found = found[::-1]
            return [StoredEvent(originator_id, version, type, stored) for _, _, version, type, stored in found[:limit]]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        found: list[Notification] = []
        with self._lock:
            for position, stream, version, type, stored in self.after(after):
                if len(found) == limit or (stop is not None and position > stop):
                    break
                if not topics or type in topics:
                    found.append(Notification(stream, version, type, stored, id=position))
        return found

    def max_notification_id(self) -> int | None:
        return self._last or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Not offered, as with the library's SQLite recorder: `Journal.wait` tells of new events."""
        raise NotImplementedError(f"{type(self).__qualname__} has no subscriptions, use Journal.wait")
