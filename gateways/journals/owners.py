"""Who has a journal file open, as the operating system knows it.

Every opened journal holds a lock on a file of its own in `<journal>.owners/`. The kernel lets go of it when the
process ends, `kill -9` included, so "the lock can be had" means "the owner is gone", without a heartbeat. Locks
reach as far as the file does: SQLite in WAL mode is for one machine, and so is this.

A forked child gives its copies up (`abandon`), or it would keep its parent alive in the eyes of others.
"""

import fcntl
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"[\w.+-]+:\d+:[0-9a-f]+\Z", re.ASCII)
_DOOR = "door"


class Owners:
    """The owners of one journal file, and our own entry among them."""

    def __init__(self, journal: Path) -> None:
        self._directory = journal.with_name(journal.name + ".owners")
        self._owner = ""
        self._lock: int | None = None

    @contextmanager
    def door(self) -> Generator[None]:
        """Held while a journal is being opened: one process at a time creates files and clears up."""
        self._directory.mkdir(exist_ok=True)
        door = os.open(self._directory / _DOOR, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield
        finally:
            os.close(door)

    def enter(self, owner: str) -> None:
        """Take the lock of `owner`, and remove the files of the dead. Needs the door."""
        for entry in self._directory.iterdir():
            if entry.name != _DOOR and not _is_locked(entry):
                entry.unlink(missing_ok=True)
        self._lock = os.open(self._directory / owner, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._owner = owner

    def is_alive(self, owner: str) -> bool:
        """Whether somebody holds the lock of `owner`. A name that never was here is not alive."""
        return _NAME.match(owner) is not None and _is_locked(self._directory / owner)

    def leave(self) -> None:
        """Give our entry up."""
        if self._lock is not None:
            (self._directory / self._owner).unlink(missing_ok=True)
            self.abandon()

    def abandon(self) -> None:
        """Forget our entry without giving it up: in a forked child it is the parent's."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_locked(path: Path) -> bool:
    try:
        probe = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        # Another user's entry. "Alive" may be stale, "dead" must be certain.
        return True
    try:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False
