"""A time-out that says so, and that costs next to nothing while nothing is late.

A run sets one for every call it makes, and nearly all calls end long before. So a limit of a second and more does not
get a timer of its own: it is looked at ten times a second, together with all others of the loop, and may be late by
that much.
"""

import asyncio
from asyncio import AbstractEventLoop, Task, TimerHandle
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

_LOOK_EVERY_S = 0.1


class Deadline:
    """What the code under it runs in, once: `with deadline:`. Late, its task is cancelled and `TimeoutError` is raised.

    Args:
        limit_s: Seconds; None for no limit.

    Attributes:
        expired: Whether the code was cut off; tells its own `TimeoutError` from ours.
        when: The loop's time at which it is late.
    """

    __slots__ = ("_cancelling", "_late", "_task", "_timer", "expired", "limit_s", "when")

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self.expired = False
        self.when = 0.0
        self._task: Task[Any] | None = None
        self._cancelling = 0
        self._timer: TimerHandle | None = None
        self._late: _Late | None = None

    def cut_off(self) -> None:
        """It is late."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        if self.limit_s is None:
            return
        loop = asyncio.get_running_loop()
        task = self._task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cut off")
        self._cancelling = task.cancelling()
        self.when = loop.time() + self.limit_s
        if self.limit_s < 10 * _LOOK_EVERY_S:
            self._timer = loop.call_at(self.when, self.cut_off)
        else:
            self._late = _late_of(loop)
            self._late.add(self, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._late is not None:
            self._late.discard(self)
        # Somebody else may have cancelled the task as well, and that is still to be heard.
        if self.expired and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class _Late:
    """The deadlines of one loop, looked at together while there are any. It does not hold the loop."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._looking = False

    def add(self, deadline: Deadline, loop: AbstractEventLoop) -> None:
        self._deadlines.add(deadline)
        if not self._looking:
            self._looking = True
            loop.call_later(_LOOK_EVERY_S, self._look)

    def discard(self, deadline: Deadline) -> None:
        self._deadlines.discard(deadline)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in [each for each in self._deadlines if each.when <= now]:
            self._deadlines.discard(deadline)
            deadline.cut_off()
        self._looking = bool(self._deadlines)
        if self._looking:
            loop.call_later(_LOOK_EVERY_S, self._look)


_loops: "WeakKeyDictionary[AbstractEventLoop, _Late]" = WeakKeyDictionary()


def _late_of(loop: AbstractEventLoop) -> _Late:
    late = _loops.get(loop)
    if late is None:
        late = _loops[loop] = _Late()
    return late
