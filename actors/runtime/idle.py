"""Which actors have nothing to do, and since when.

Actors with the same time-out stand in one line, longest idle first, so a single timer per time-out is enough and
nothing is searched: joining, leaving and finding the next one to unload take constant time.
"""

import asyncio
from collections import OrderedDict

from .cell import Cell

__all__ = ["IdleActors"]

_ASKED_IN_VAIN = 8


class IdleActors:
    """The idle actors that can be woken again, in the order they became idle."""

    def __init__(self) -> None:
        self._lines: dict[float | None, OrderedDict[Cell, float]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def join(self, cell: Cell, loop: asyncio.AbstractEventLoop) -> None:
        """`cell` has nothing to do from now on; it is passivated when that has lasted for its time-out."""
        timeout_s = cell.kind.idle_timeout_s
        line = self._lines.get(timeout_s)
        if line is None:
            line = self._lines[timeout_s] = OrderedDict()
        line.pop(cell, None)
        line[cell] = loop.time()
        if timeout_s is not None and timeout_s not in self._timers:
            self._timers[timeout_s] = loop.call_later(timeout_s, self._sweep, timeout_s, loop)

    def leave(self, cell: Cell) -> None:
        """`cell` has something to do, or is gone."""
        line = self._lines.get(cell.kind.idle_timeout_s)
        if line is not None:
            line.pop(cell, None)

    def unload(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        """Passivate up to `count` actors, longest idle first.

        Who is unwilling goes to the end of its line, and only a few are asked in vain: a cap costs the same per
        message however many actors refuse.
        """
        patience = count + _ASKED_IN_VAIN
        while count and patience:
            lines = [line for line in self._lines.values() if line]
            if not lines:
                return
            line = min(lines, key=_longest)
            cell = next(iter(line))
            patience -= 1
            if cell.passivate():
                count -= 1
            else:
                self.join(cell, loop)

    def _sweep(self, timeout_s: float, loop: asyncio.AbstractEventLoop) -> None:
        del self._timers[timeout_s]
        line = self._lines[timeout_s]
        now = loop.time()
        # The clock of the loop is coarser than the timer: what is due within a tick is due.
        for cell in _until(line, now - timeout_s + 1e-3):
            if not cell.passivate():
                line.pop(cell, None)
                line[cell] = now  # it is asked again after another time-out
        if line:
            since = next(iter(line.values()))
            self._timers[timeout_s] = loop.call_later(max(0.0, since + timeout_s - now), self._sweep, timeout_s, loop)

    def close(self) -> None:
        """Stop the timers; nobody is passivated any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._lines.clear()


def _longest(line: "OrderedDict[Cell, float]") -> float:
    return next(iter(line.values()))


def _until(line: "OrderedDict[Cell, float]", time_s: float) -> list[Cell]:
    found: list[Cell] = []
    for cell, since in line.items():
        if since > time_s:
            break
        found.append(cell)
    return found
