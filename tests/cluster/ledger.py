"""The outside world: a file to which all nodes write the effects of their tools, on disk before the tool goes on.

A line says when it was written, and by which process: what an owner did after it was taken over stands out.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import NamedTuple


class Effect(NamedTuple):
    """One line: a tool did what it does, at `at` (seconds since the epoch, by this machine's clock)."""

    tool: str
    call_id: str
    attempt: int
    pid: int
    at: float


class Ledger:
    """The effects of all nodes, in the order in which they happened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def effects(self) -> list[Effect]:
        """All lines."""
        if not self._path.exists():
            return []
        return [Effect(*json.loads(line)) for line in self._path.read_text().splitlines()]

    def has(self, call_id: str) -> bool:
        """Whether this call had its effect."""
        return self._path.exists() and f'"{call_id}"' in self._path.read_text()

    def write(self, tool: str, call_id: str, attempt: int, *, once: bool = False) -> None:
        """Have the effect; with `once`, not if this call had it before, which is what makes a tool idempotent."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not (once and self.has(call_id)):
                os.write(file, (json.dumps([tool, call_id, attempt, os.getpid(), time.time()]) + "\n").encode())
                os.fsync(file)
        finally:
            os.close(file)
