"""Group commit: one thread that stores whatever is waiting as one transaction, then what came in meanwhile.

Submitting only queues. An fsync costs the same for one event as for a thousand, so under load the batches grow
by themselves and the disk is never the limit; when idle a submission is its own batch and waits for nobody.

What is waiting is bounded in bytes: past `limit_bytes` a submission is refused, and nothing of it is queued.

The thread is a daemon, so that a program that forgets `close` still ends; what is queued then is stored by a
finalizer on the way out (see `sqlite.py`). The thread knows its queue and its store, and not the journal, so a
forgotten journal can be collected.
"""

import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Protocol

from ...events.errors import AppendUncertain, Unavailable
from .submission import Submission, wake_from_thread

LIMIT_BYTES = 64 * 1024 * 1024
MAX_BATCH = 2048

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where batches go. Used by the writer thread alone."""

    def commit(self, batch: Sequence[Submission]) -> int:
        """Store a batch, settle each submission of it, and return the journal's newest position."""
        ...

    def tidy(self) -> None:
        """Do what nobody waits for. Called after each commit, when those who waited for it have been woken."""
        ...

    def close(self) -> None: ...


class GroupCommit:
    """The queue before a store, and the thread behind it, which starts with the first submission.

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
        self._queue: SimpleQueue[Submission | None] = SimpleQueue()
        # Each counter has one thread that writes it; their difference is what waits.
        self._queued_bytes = 0
        self._stored_bytes = 0
        self._thread: Thread | None = None
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
        self._queue.put(submission)
        if self._thread is None:
            self._thread = Thread(target=self._run, name=f"journal {self._name}", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float | None = None) -> None:
        """Store what is queued, then end the thread and close the store. Blocks; call it from another thread."""
        already, self._closed = self._closed, True
        if self._thread is None:
            if not already:
                self._store.close()
            return
        if not already:
            self._queue.put(None)
        # The collector may run a finalizer on any thread, this one included.
        if self._thread is not current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        take = self._queue.get
        take_now = self._queue.get_nowait
        open = True
        try:
            while open:
                first = take()
                if first is None:
                    break
                batch = [first]
                try:
                    while len(batch) < MAX_BATCH:
                        following = take_now()
                        if following is None:
                            open = False
                            break
                        batch.append(following)
                except Empty:
                    pass
                self._commit(batch)
                self._store.tidy()
        finally:
            self._store.close()

    def _commit(self, batch: list[Submission]) -> None:
        size_bytes = sum([submission.size_bytes for submission in batch])
        waiters: list[Future[None]] = []
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
        self._stored_bytes += size_bytes
        for submission in batch:
            waiters += submission.waiters()
        if waiters:
            wake_from_thread(waiters)
