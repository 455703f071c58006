"""The outside world: a file in which tools leave their effects, one line each, on disk before the tool goes on.

Nothing of Treadle is in it, and no crash of a run undoes a line.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

from .points import Points


class Effect(NamedTuple):
    """One line: a tool did what it does."""

    tool: str
    call_id: str
    attempt: int
    pid: int


class Ledger:
    """The effects of a program.

    Args:
        points: Told before and after each effect.
    """

    def __init__(self, path: Path, points: Points | None = None) -> None:
        self._path = path
        self._points = points or Points()

    def effects(self) -> list[Effect]:
        """All lines, in the order in which they were written."""
        if not self._path.exists():
            return []
        return [Effect(*json.loads(line)) for line in self._path.read_text().splitlines()]

    def has(self, call_id: str) -> bool:
        return any(effect.call_id == call_id for effect in self.effects())

    def write(self, tool: str, call_id: str, attempt: int, *, once: bool = False) -> None:
        """Have the effect; with `once`, not if this call had it before, which is what makes a tool idempotent."""
        self._points.reach_again(f"before effect of {tool}")
        line = json.dumps([tool, call_id, attempt, os.getpid()]) + "\n"
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not (once and self.has(call_id)):
                os.write(file, line.encode())
                os.fsync(file)
        finally:
            os.close(file)
        self._points.reach_again(f"after effect of {tool}")
