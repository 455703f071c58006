"""The journal in memory: for scripts and tests. Quick, shared with nobody, and gone with the process.

It keeps the promises of the port except that nothing outlives the process. A submission is stored inside
`submit`, so its `Pending` is known at once.

It does not grow without a bound: past `max_finished_runs` or `max_bytes` it forgets the runs that finished
first, whole streams at a time. A forgotten stream reads as empty. What is not finished is never forgotten, so
open runs and sessions are the program's to bound.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from ...actors.clock import SYSTEM_CLOCK, Clock
from ...events.envelope import EMPTY, Head, Position, Recorded, blob_of, read_stored, verify_read
from ...events.errors import CorruptEvent, Unavailable, VersionConflict
from ...events.journal import Append, Snapshot
from .memory_recorder import Entry, MemoryRecorder
from .owner_name import new_owner
from .submission import Change, Submission, prepare, wake
from .tail import Tail

CLOSING_TYPES = frozenset({"run.completed", "run.failed", "run.cancelled", "run.interrupted"})
MAX_FINISHED_RUNS = 10_000
MAX_BYTES = 256 * 1024 * 1024

_ROW_BYTES = 200
"""What a row takes beside its bytes, about."""


def _nothing(closing: Recorded) -> Iterable[str]:
    return ()


class MemoryJournal:
    """Implements `Journal`.

    Args:
        max_finished_runs, max_bytes: How much is kept of what has finished.
        closing_types: A stream has finished while its last event is of one of these.
        also_forget: Names streams that go with a finished one, by its closing event: the session of an
            anonymous run, say, which nobody can come back to.
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        max_finished_runs: int = MAX_FINISHED_RUNS,
        max_bytes: int = MAX_BYTES,
        closing_types: Iterable[str] = CLOSING_TYPES,
        also_forget: Callable[[Recorded], Iterable[str]] = _nothing,
    ) -> None:
        self._new_ids = clock.new_ids
        self._owner = new_owner()
        self._recorder = MemoryRecorder()
        self._heads: dict[str, Head] = {}
        self._blobs: dict[str, tuple[bytes, int]] = {}
        self._snapshots: dict[str, Snapshot] = {}
        # In the order in which they finished.
        self._finished: dict[str, None] = {}
        self._size_bytes = 0
        self._max_finished_runs = max_finished_runs
        self._max_bytes = max_bytes
        self._closing_types = frozenset(closing_types)
        self._also_forget = also_forget
        self._tail = Tail("memory", lambda: self._recorder.last_position, poll_s=None)
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryJournal {len(self._heads)} streams, {len(self._recorder)} events, {self._size_bytes} bytes>"

    @property
    def name(self) -> str:
        return "memory"

    @property
    def owner(self) -> str:
        return self._owner

    @property
    def refusal(self) -> None:
        """None: it can always be written."""
        return

    @property
    def size_bytes(self) -> int:
        """About what is kept: stored forms, blobs, and a little for each row."""
        return self._size_bytes

    def submit(self, *appends: Append) -> Submission:
        """As `Journal.submit`; done when it returns."""
        self._check_open()
        submission = prepare(appends, self._new_ids)
        conflict = self._conflict(submission.changes)
        if conflict is not None:
            submission.fail(conflict)
            return submission
        rows, changes = submission.rows, submission.changes
        for digest, data in submission.blobs:
            self._keep_blob(digest, data)
        self._size_bytes += submission.size_bytes + _ROW_BYTES * len(rows)
        position = self._recorder.insert_rows(rows)
        submission.settle(position)
        for stream, _, after in changes:
            self._heads[stream] = after
        for stream, _, type, _ in rows:
            if type in self._closing_types:
                self._finished[stream] = None
            elif self._finished:
                self._finished.pop(stream, None)
        if self._size_bytes > self._max_bytes or len(self._finished) > self._max_finished_runs:
            self._forget_oldest()
        if waiters := self._tail.reached(position):
            wake(waiters)
        return submission

    async def append(self, *appends: Append) -> Position:
        return await self.submit(*appends)

    async def head(self, stream: str) -> Head:
        self._check_open()
        return self._heads.get(stream, EMPTY)

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        self._check_open()
        # Versions have no holes, so a version is an index.
        stop = None if limit is None else after + limit
        events = [self._recorded(entry) for entry in self._recorder.stream(stream)[after:stop]]
        verify_read(events, after)
        return events

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        self._check_open()
        events: list[Recorded] = []
        rows = self._recorder.after(after)
        if category:
            rows = (entry for entry in rows if entry[1].partition("-")[0] == category)
        for entry in islice(rows, limit):
            try:
                events.append(self._recorded(entry))
            except CorruptEvent:
                if not events:
                    raise
                break
        return events

    async def last_position(self) -> Position:
        self._check_open()
        return Position(self._recorder.last_position)

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self._tail.wait(after, timeout_s)

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """As `Journal.load_snapshot`. One that does not fit the stream's events counts as none."""
        snapshot = self._snapshots.get(stream)
        if snapshot is None or snapshot.schema != schema:
            return None
        found = self._recorder.stream(stream)[snapshot.head.version - 1 : snapshot.head.version]
        return snapshot if found and self._recorded(found[0]).head == snapshot.head else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        kept = self._snapshots.get(snapshot.stream)
        if kept is None or kept.schema != snapshot.schema or kept.head.version <= snapshot.head.version:
            self._snapshots[snapshot.stream] = snapshot
            self._size_bytes += len(snapshot.state) - (len(kept.state) if kept else 0)

    def holds(self, since: float) -> bool:
        return True

    async def is_alive(self, owner: str) -> bool:
        return owner == self._owner and not self._closed

    async def close(self) -> None:
        self._closed = True
        self._tail.close()

    def forget(self, stream: str) -> None:
        """Remove a stream and all that belongs to it. Positions are not used again, versions start anew."""
        for _, _, _, _, stored in self._recorder.forget(stream):
            self._size_bytes -= len(stored) + _ROW_BYTES
            if self._blobs and (digest := blob_of(stored)):
                self._drop_blob(digest)
        snapshot = self._snapshots.pop(stream, None)
        if snapshot is not None:
            self._size_bytes -= len(snapshot.state)
        self._heads.pop(stream, None)
        self._finished.pop(stream, None)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("journal 'memory'", "it was closed")

    def _forget_oldest(self) -> None:
        while self._finished and (len(self._finished) > self._max_finished_runs or self._size_bytes > self._max_bytes):
            stream = next(iter(self._finished))
            also = list(self._also_forget(self._recorded(self._recorder.stream(stream)[-1])))
            for name in (stream, *also):
                self.forget(name)

    def _conflict(self, changes: Sequence[Change]) -> VersionConflict | None:
        ahead: dict[str, Head] = {}
        for stream, before, after in changes:
            found = ahead.get(stream) or self._heads.get(stream, EMPTY)
            # The hash, not only the version: where an event of ours failed, another may stand in its place.
            if found is not before and found != before:
                return VersionConflict(stream, before.version, found.version)
            ahead[stream] = after
        return None

    def _recorded(self, entry: Entry) -> Recorded:
        position, stream, version, _, stored = entry
        blob = None
        if self._blobs and (digest := blob_of(stored)):
            blob = self._blobs.get(digest, (None, 0))[0]
        return read_stored(stored, position, blob, stream=stream, version=version)

    def _keep_blob(self, digest: str, data: bytes) -> None:
        kept, uses = self._blobs.get(digest, (data, 0))
        self._blobs[digest] = kept, uses + 1
        if uses:
            # Counted with the submission, and already here.
            self._size_bytes -= len(data)

    def _drop_blob(self, digest: str) -> None:
        data, uses = self._blobs.pop(digest)
        if uses > 1:
            self._blobs[digest] = data, uses - 1
        else:
            self._size_bytes -= len(data)
