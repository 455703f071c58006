"""Group commit: whatever is waiting is stored as one transaction, then what came in meanwhile.

Submitting only queues. An fsync costs the same for one event as for a thousand, so under load the batches grow
by themselves and the disk is never the limit. What is queued is gathered until somebody awaits a part of it, and
for a few turns of the loop at most: a run's start and its first step share a commit, and an idle loop turns at once.
The first who awaits in a turn need not even wait for the next: theirs is stored while they ask. Whoever comes after
them in that turn is one of many, and those share.

Two may store a batch, and a lock lets one at a time:

    the writer thread   the rule: the loop goes on while the disk works
    the loop itself     a small batch, while the disk has been answering within `QUICK_S`: waking a thread and being
                        woken by it takes longer than such a commit does

What might make the loop wait is the thread's: a first commit, a write lock that somebody else holds, moving the log
to the file, and every commit after a slow one, until the disk is quick again.

What is waiting is bounded in bytes: past `limit_bytes` a submission is refused, and nothing of it is queued.

The thread is a daemon, so that a program that forgets `close` still ends; what is queued then is stored by a
finalizer on the way out (see `sqlite.py`). The thread knows its queue and its store, and not the journal, so a
forgotten journal can be collected.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from time import perf_counter
from typing import Protocol

from ...events.errors import AppendUncertain, Unavailable
from ...events.logs import get_logger
from .submission import Submission, wake_all

LIMIT_BYTES = 64 * 1024 * 1024
MAX_BATCH = 2048

TURNS = 4
"""Turns of the loop that a submission nobody awaits is held back, for others to share its commit."""

AT_ONCE = 2
"""Commits in one turn of the loop for those who await alone: a run that never waits for anything else has two."""

QUICK_S = 0.0005
"""How long a commit may block the loop, in seconds: about what a thread would cost it."""

_SMALL_BATCH = 32
_SMALL_BYTES = 128 * 1024
# Weight of the newest commit in the mean: after one of 5 ms the thread is back for some ten commits.
_WEIGHT = 0.2
_UNKNOWN_S = 0.02

log = get_logger(__name__)


class Store(Protocol):
    """Where batches go. Used by one thread at a time."""

    def commit(self, batch: Sequence[Submission]) -> int:
        """Store a batch, settle each submission of it, and return the journal's newest position."""
        ...

    def try_begin(self) -> bool:
        """Begin the transaction of the next `commit` if that takes no waiting; tells whether it has begun."""
        ...

    @property
    def untidy(self) -> bool:
        """Whether there is something for `tidy` to do."""
        ...

    def tidy(self) -> None:
        """Do what nobody waits for, now that those who waited have been woken. May take long."""
        ...

    def close(self) -> None: ...


class GroupCommit:
    """The queue before a store, and who empties it.

    Args:
        name: The journal's, for messages.
        reached: Asked after each commit who else waits for that position.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        reached: Callable[[int], Sequence[Future[None]]],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._store = store
        self._name = name
        self._reached = reached
        self._limit_bytes = limit_bytes
        self._queue: deque[Submission] = deque()
        # Each counter has one writer, the loop and whoever stores; their difference is what waits.
        self._queued_bytes = 0
        self._stored_bytes = 0
        self._gathering: AbstractEventLoop | None = None  # the loop that will call `_turn`
        self._turns = 0
        self._at_once = 0
        self._storing = Lock()
        self._commit_s = _UNKNOWN_S
        self._thread: Thread | None = None
        self._wakeups: SimpleQueue[bool] = SimpleQueue()
        self._closed = False

    @property
    def waiting_bytes(self) -> int:
        """What is queued and not settled yet."""
        return self._queued_bytes - self._stored_bytes

    def submit(self, submission: Submission) -> None:
        """Queue it.

        Raises:
            Unavailable: It was closed, or too much is waiting. One submission is always taken, of whatever size.
        """
        waiting = self._queued_bytes - self._stored_bytes
        if waiting and waiting + submission.size_bytes > self._limit_bytes:
            raise Unavailable(f"journal {self._name!r}", f"{waiting} bytes are waiting for the disk", 0.1)
        if self._closed:
            raise Unavailable(f"journal {self._name!r}", "it was closed")
        self._queued_bytes += submission.size_bytes
        submission.awaited = self._hurry
        self._queue.append(submission)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wake_thread()  # no loop will turn
            return
        if loop is not self._gathering:
            self._gathering, self._turns = loop, TURNS
            loop.call_soon(self._turn, loop)

    def close(self, timeout_s: float | None = None) -> None:
        """Store what is queued, then end the thread and close the store. Blocks; call it from another thread."""
        already, self._closed = self._closed, True
        if not already:
            self._wakeups.put(False)
        if self._thread is None:
            with self._storing:
                self._store_queue()
                self._store.close()
        # The collector may run a finalizer on any thread, this one included.
        elif self._thread is not current_thread():
            self._thread.join(timeout_s)

    # --- gathering, on the loop ---

    def _hurry(self) -> None:
        """Somebody awaits what is queued: store it now, or when the loop turns."""
        loop = self._gathering
        if (
            loop is not None
            and self._at_once < AT_ONCE
            and self._commit_s <= QUICK_S
            and loop is asyncio.get_running_loop()
        ):
            self._at_once += 1
            if self._store_here(loop):
                return
        self._turns = 1

    def _turn(self, loop: AbstractEventLoop) -> None:
        self._at_once = 0
        if not self._queue:
            self._gathering = None
            return
        self._turns -= 1
        if self._turns > 0:
            loop.call_soon(self._turn, loop)
            return
        self._gathering = None
        if self._commit_s > QUICK_S or not self._store_here(loop):
            self._wake_thread()

    def _store_here(self, loop: AbstractEventLoop) -> bool:
        """Store what is queued on the loop, if it is little and nobody is in the way; tells whether it was done."""
        if len(self._queue) > _SMALL_BATCH or self.waiting_bytes > _SMALL_BYTES:
            return False
        if not self._storing.acquire(blocking=False):
            return False
        try:
            if self._queue and not self._store.try_begin():
                return False
            if batch := self._take():
                wake_all(self._commit(batch), loop)
            return not self._store.untidy
        finally:
            self._storing.release()

    # --- storing, on the thread or on the loop, with the lock ---

    def _wake_thread(self) -> None:
        self._wakeups.put(True)
        if self._thread is None:
            thread = Thread(target=self._run, name=f"journal {self._name}", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        open = True
        while open:
            open = self._wakeups.get()
            with self._storing:
                self._store_queue()
                if not open:
                    self._store.close()

    def _store_queue(self) -> None:
        while batch := self._take():
            wake_all(self._commit(batch))
            self._store.tidy()
        if self._store.untidy:
            self._store.tidy()

    def _take(self) -> list[Submission]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), MAX_BATCH))]

    def _commit(self, batch: list[Submission]) -> list[Future[None]]:
        """Store `batch`, whatever comes of it, and return whom to wake."""
        size_bytes = sum([submission.size_bytes for submission in batch])
        waiters: list[Future[None]] = []
        begun = perf_counter()
        try:
            waiters += self._reached(self._store.commit(batch))
        except Exception as exc:
            # A fault in our own code. Nobody may wait for ever because of it, and the next batch starts clean.
            log.exception("journal %s: a commit of %d submissions failed", self._name, len(batch))
            for submission in batch:
                if not submission.done:
                    streams = tuple(change.stream for change in submission.changes)
                    submission.fail(AppendUncertain(streams, tuple(submission.ids), repr(exc)))
            self._store.close()
        self._commit_s += _WEIGHT * (perf_counter() - begun - self._commit_s)
        self._stored_bytes += size_bytes
        for submission in batch:
            waiters += submission.waiters()
        return waiters
