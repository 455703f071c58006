"""The tail of a journal: who waits for events that are not there yet.

Commits of this journal object wake its waiters at once (`reached`). Commits of others are found by looking,
every `POLL_S` while somebody waits and never otherwise.
"""

import asyncio
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Sequence

from ...events.envelope import Position
from ...events.errors import TreadleError, Unavailable
from .submission import wake, wake_all

POLL_S = 0.025


class Tail:
    """Waits on one event loop at a time for positions.

    Args:
        name: The journal's, for messages.
        look: Reads the newest position; called on the loop.
        poll_s: How often to look for events of others; None when there are no others.
    """

    def __init__(self, name: str, look: Callable[[], int], poll_s: float | None = POLL_S) -> None:
        self._name = name
        self._look = look
        self._poll_s = poll_s
        self._waiting: list[tuple[int, Future[None]]] = []
        self._timer: TimerHandle | None = None
        self._timer_loop: AbstractEventLoop | None = None
        self._closed = False
        self._newest = 0  # of our own commits, or found by looking

    def reached(self, position: int) -> Sequence[Future[None]]:
        """Who waited for this. May be called from the thread that commits, after the commit."""
        self._newest = position
        if not self._waiting:
            return ()
        return [waiter for after, waiter in list(self._waiting) if after < position]

    async def wait(self, after: int, timeout_s: float | None) -> Position:
        """As `Journal.wait`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            if self._closed:
                raise Unavailable(f"journal {self._name!r}", "it was closed while somebody waited for events")
            entry = (after, loop.create_future())
            self._waiting.append(entry)
            try:
                # Looked at after registering: a commit in between finds the waiter, or is found here.
                newest = self._look()
                if newest > after or (deadline is not None and loop.time() >= deadline):
                    return Position(newest)
                self._watch(loop)
                async with asyncio.timeout_at(deadline):
                    await entry[1]
                if self._newest > after:
                    return Position(self._newest)
            except TimeoutError:
                return Position(self._look())
            finally:
                self._waiting.remove(entry)

    def close(self) -> None:
        """Let everybody go; they raise `Unavailable`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        # Some may be of a loop that has ended: nobody is left there to let go.
        wake_all([waiter for _, waiter in self._waiting])

    def _watch(self, loop: AbstractEventLoop) -> None:
        # A timer of a loop that has ended will never fire: the loop of this waiter needs one of its own.
        if self._poll_s is not None and (self._timer is None or self._timer_loop is not loop):
            self._timer_loop = loop
            self._timer = loop.call_later(self._poll_s, self._poll, loop)

    def _poll(self, loop: AbstractEventLoop) -> None:
        self._timer = None
        if not self._waiting or self._closed:
            return
        try:
            wake(self.reached(self._look()))
        except TreadleError:
            # They look themselves when they wake, and the error is theirs.
            wake([waiter for _, waiter in self._waiting])
        self._watch(loop)
