"""A time-out that says so, and that costs next to nothing while nothing is late.

A run sets one for every call it makes, and nearly all calls end long before. So a limit of a second and more does not
get a timer of its own: it is looked at ten times a second, together with all others of the loop, and may be late by
that much.
"""

import asyncio
from types import TracebackType
from weakref import WeakKeyDictionary

_LOOK_EVERY_S = 0.1


class Deadline:
    """What the code under it runs in, once: `async with deadline:`. Late, it is cancelled and `TimeoutError` is raised.

    Args:
        limit_s: Seconds; None for no limit.
    """

    __slots__ = ("_late", "_timeout", "_when", "limit_s")

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._timeout: asyncio.Timeout | None = None
        self._late: _Late | None = None
        self._when = 0.0

    @property
    def expired(self) -> bool:
        """Whether the code was cut off; tells its own `TimeoutError` from ours."""
        return self._timeout is not None and self._timeout.expired()

    @property
    def when(self) -> float:
        """The loop's time at which it is late."""
        return self._when

    def cut_off(self) -> None:
        """It is late."""
        if self._timeout is not None:
            self._timeout.reschedule(0)

    async def __aenter__(self) -> None:
        if self.limit_s is None:
            return
        loop = asyncio.get_running_loop()
        self._when = loop.time() + self.limit_s
        if self.limit_s < 10 * _LOOK_EVERY_S:
            self._timeout = asyncio.timeout_at(self._when)
        else:
            self._timeout = asyncio.timeout(None)
            self._late = _late_of(loop)
            self._late.add(self, loop)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._late is not None:
            self._late.discard(self)
        if self._timeout is not None:
            await self._timeout.__aexit__(kind, error, traceback)


class _Late:
    """The deadlines of one loop, looked at together while there are any. It does not hold the loop."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._looking = False

    def add(self, deadline: Deadline, loop: asyncio.AbstractEventLoop) -> None:
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


_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Late]" = WeakKeyDictionary()


def _late_of(loop: asyncio.AbstractEventLoop) -> _Late:
    late = _loops.get(loop)
    if late is None:
        late = _loops[loop] = _Late()
    return late
