"""The journal: the append-only log of everything that happened, and the only way state changes.

A port. `gateways/journals/` keeps it in memory and on SQLite; `tests/contracts/journal.py` is what each promises.
"""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from .envelope import EMPTY, Head, Meta, Position, Recorded, StreamName
from .errors import TreadleError
from .event import Event

BLOB_LIMIT_BYTES = 256 * 1024
"""Payloads above this size are stored as blobs, and the event carries their digest."""

NEW_FORMAT = 1
"""The format of a new journal. From 2 on some of its streams are in archives, which Treadles of format 1 do not see."""

FORMAT = 2
"""The highest journal format this Treadle knows; a journal with a higher one is opened read-only."""


class Append(Struct, frozen=True, gc=False):
    """Events for one stream.

    Attributes:
        head: The end of the stream that the decision was made on; `EMPTY` for a new stream.
        at: When they happened, by the caller's clock, in UTC.
    """

    stream: StreamName
    head: Head
    events: Sequence[Event]
    meta: Meta
    at: datetime


class Snapshot(Struct, frozen=True):
    """A cache of a fold: the state of `stream` at `head`. Dropping it changes only speed.

    `schema` names the state's form; a snapshot of another form is ignored.
    """

    stream: str
    head: Head
    schema: str
    state: bytes


class Pending(Protocol):
    """Appends that are queued. Await it to be sure: it returns when they are on disk, fsynced.

    It may be awaited again, and by several tasks. An outcome that nobody awaits is told nobody; what builds on it
    conflicts.

    Raises (when awaited):
        VersionConflict: A stream moved on; nothing of this submission was stored.
        AppendUncertain: The journal cannot tell whether it was stored; read back by `ids`.
        Unavailable: Nothing was stored.
        ReadOnly: Nothing was stored, and nothing will be.
    """

    @property
    def heads(self) -> Sequence[Head]:
        """The ends of the streams once this is stored, in the order of the appends: build the next on them."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the events, in order."""
        ...

    @property
    def done(self) -> bool:
        """Whether the outcome is known; `await` returns or raises at once then."""
        ...

    @property
    def position(self) -> Position:
        """The last event's place in the journal. Only after a successful await."""
        ...

    def __await__(self) -> Generator[Any, None, Position]: ...


class Journal(Protocol):
    """The event store. Safe to use from one event loop; several processes may open the same one.

    Order: events of one stream have versions 1, 2, 3 … without a hole; positions grow in commit order, so a
    reader that has seen position p will never see a new event at or below p.
    """

    @property
    def name(self) -> str:
        """For messages: where this journal is, without secrets."""
        ...

    @property
    def owner(self) -> str:
        """Names this process as a writer, uniquely; see `is_alive`."""
        ...

    @property
    def refusal(self) -> TreadleError | None:
        """Why nothing can be written: what `submit` would raise; None when it can."""
        ...

    def submit(self, *appends: Append) -> Pending:
        """Queue appends, all or none, without waiting.

        Submissions are stored in the order in which they were made. What is queued together may share one
        commit; a conflict in one never fails another. Later submissions may build on `Pending.heads` before
        this one is stored: if this one fails, they conflict.

        An append without events only asks that the stream ends with its head.

        Raises:
            Unavailable: Too much is waiting already, or the journal was closed; nothing was queued.
            ReadOnly, JournalTooNew: This journal cannot be written.
        """
        ...

    async def append(self, *appends: Append) -> Position:
        """`submit` and wait. Returns the position of the last event."""
        ...

    async def head(self, stream: str) -> Head:
        """The end of `stream`; `EMPTY` when there is none."""
        ...

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        """The events of `stream` with a version above `after`, in order and without a hole.

        Raises:
            CorruptEvent: Names stream, version and position of the first row that is not what was stored, or that
                does not follow the one before it. The rows before it are read with `limit`; to go on behind a row
                of bad bytes read after its version, behind a hole after the version before the one named.
        """
        ...

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        """Events of all streams (of a category) with a position above `after`, in order.

        May return fewer than there are; nothing only when there is nothing. The links between the events of a
        stream are not checked here, `verify` does that.

        Raises:
            CorruptEvent: The next row is not what was stored; go on after its position to read the rest.
        """
        ...

    async def last_position(self) -> Position:
        """The position of the newest event, 0 when there is none."""
        ...

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        """Wait until there is an event above position `after`, written by whichever process.

        Returns:
            The newest position; it is `after` or less when `timeout_s` ran out first.
        """
        ...

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        """The snapshot of `stream`, if there is one of this schema whose head is in the stream."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one of that stream."""
        ...

    async def is_alive(self, owner: str) -> bool:
        """Whether the process that called itself `owner` lives, as far as can be told from here.

        False is certain (the operating system, the database or a lease says so); True may be stale. The guarantee
        does not rest on it: whoever takes over appends first, and the former owner's next append conflicts.
        """
        ...

    def holds(self, since: float) -> bool:
        """Whether nobody can have found this process dead between `since`, by the clock's `monotonic`, and now.

        A process that was paused for long may have been taken for dead, and what it owned taken over. What was stored
        after `since` is then not enough to go on: an append asks whether this is so.
        """
        ...

    async def close(self) -> None:
        """Store what was submitted, then let go of files and threads."""
        ...


__all__ = ["BLOB_LIMIT_BYTES", "EMPTY", "FORMAT", "NEW_FORMAT", "Append", "Journal", "Pending", "Snapshot"]
