"""A submission: appends that are stored together or not at all, and the caller's handle on their outcome.

It is made on the event loop and settled by whoever stores it, a writer thread or the loop itself. The two
threads share no lock; what makes that safe is the order of two steps on either side:

    the loop, to wait        register the waiter, then look whether it is settled
    the writer, to settle    settle, then look whether somebody waits

One of them always sees the other, and a submission nobody waits for costs no wake-up.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple

from ...events.envelope import Head, Position, Row, envelopes
from ...events.journal import BLOB_LIMIT_BYTES, Append, Snapshot


class Change(NamedTuple):
    """One stream's part of a submission: it has to end with `before`, and will end with `after`."""

    stream: str
    before: Head
    after: Head


class Submission:
    """Implements `Pending`. Awaiting one whose outcome is known does not suspend."""

    __slots__ = (
        "_error",
        "_position",
        "_settled",
        "_waiters",
        "awaited",
        "blobs",
        "changes",
        "ids",
        "rows",
        "size_bytes",
        "snapshot",
    )

    def __init__(
        self,
        ids: Sequence[str] = (),
        changes: Sequence[Change] = (),
        rows: Sequence[Row] = (),
        blobs: Sequence[tuple[str, bytes]] = (),
        size_bytes: int = 0,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.ids = ids
        self.changes = changes
        self.rows = rows
        self.blobs = blobs
        self.size_bytes = size_bytes
        self.snapshot = snapshot
        self._settled = False
        self._position = 0
        self._error: Exception | None = None
        self._waiters: list[Future[None]] | None = None
        # Told when somebody begins to wait.
        self.awaited: Callable[[], None] | None = None

    def __repr__(self) -> str:
        streams = ", ".join(f"{change.stream} v{change.after.version}" for change in self.changes)
        outcome = (repr(self._error) if self._error else f"stored at {self._position}") if self._settled else "queued"
        return f"<Submission {streams or 'empty'}, {outcome}>"

    @property
    def heads(self) -> Sequence[Head]:
        return [change.after for change in self.changes]

    @property
    def done(self) -> bool:
        return self._settled

    @property
    def position(self) -> Position:
        if not self._settled:
            raise RuntimeError("the position is known once the submission has been awaited")
        if self._error is not None:
            raise self._error
        return Position(self._position)

    def __await__(self) -> Generator[Any, None, Position]:
        if not self._settled and (awaited := self.awaited) is not None:
            awaited()
        if not self._settled:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = [waiter]
            else:
                self._waiters.append(waiter)
            if not self._settled:
                yield from waiter
        return self.position

    def settle(self, position: int) -> None:
        """It is stored, and its last event has this position."""
        self._position = position
        self._done()

    def fail(self, error: Exception) -> None:
        """It came to this, and `error` says whether anything was stored."""
        self._error = error
        self._done()

    def _done(self) -> None:
        # The handle may be kept for long, what it carried need not be.
        self.rows = self.blobs = ()
        self.snapshot = self.awaited = None
        self._settled = True

    def waiters(self) -> Sequence[Future[None]]:
        """Whom to wake once it is settled."""
        return self._waiters or ()


def prepare(
    appends: Sequence[Append], new_ids: Callable[[int], list[str]], limit_bytes: int = BLOB_LIMIT_BYTES
) -> Submission:
    """The submission of `appends`: ids drawn, payloads encoded, chains extended.

    Raises:
        TypeError: Something is no event. Encoding errors pass through as they are; nothing is queued then.
    """
    ids: list[str] = []
    changes: list[Change] = []
    rows: list[Row] = []
    blobs: list[tuple[str, bytes]] = []
    for append in appends:
        stream, head, events = append.stream, append.head, append.events
        its_ids = new_ids(len(events))
        its_rows, after, its_blobs = envelopes(stream, head, events, append.meta, its_ids, append.at, limit_bytes)
        changes.append(Change(stream, head, after))
        # Nearly every submission is one append, whose lists are taken as they are.
        ids = ids + its_ids if ids else its_ids
        rows = rows + its_rows if rows else its_rows
        blobs = blobs + its_blobs if blobs else its_blobs
    size_bytes = 0
    for row in rows:
        size_bytes += len(row[3])
    for _, data in blobs:
        size_bytes += len(data)
    return Submission(ids, changes, rows, blobs, size_bytes)


def wake(waiters: Iterable[Future[None]]) -> None:
    """Lets waiters of the running loop go on; to be called on their loop."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def wake_all(waiters: Iterable[Future[None]], here: AbstractEventLoop | None = None) -> None:
    """Lets waiters of any loops go on, with one call per loop.

    Args:
        here: The loop that runs this; None on a thread of ours.
    """
    by_loop: dict[AbstractEventLoop, list[Future[None]]] = {}
    for waiter in waiters:
        by_loop.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, group in by_loop.items():
        if loop is here:
            wake(group)
            continue
        # A closed loop has nobody left who could wait.
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(wake, group)
            except RuntimeError:
                if not loop.is_closed():
                    raise
