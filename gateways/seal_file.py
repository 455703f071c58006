"""Seals of the audit in a file that only grows, one line each, apart from the journal and its views."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from ..events.errors import Unavailable


class SealFile:
    """Appends seals to the file `path`, fsynced. Several processes may append to the same one."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"<SealFile {self.path}>"

    def append(self, line: bytes) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                # Until it is closed: nobody may take a line that is being written for one that was cut short.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, _line_end_missing(descriptor) + line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise Unavailable(f"seal file {str(self.path)!r}", str(exc)) from exc

    def lines(self) -> Iterable[bytes]:
        try:
            return self.path.read_bytes().splitlines() if self.path.exists() else ()
        except OSError as exc:
            raise Unavailable(f"seal file {str(self.path)!r}", str(exc)) from exc


def _line_end_missing(descriptor: int) -> bytes:
    """A line end, when the last seal was cut short by a crash or a full disk: it must not spoil the next one."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""


def seals_path(journal: str | Path) -> Path:
    """Where a journal's seals belong: `events.db` has `events.audit.seals`."""
    return Path(journal).with_suffix(".audit.seals")
