"""What SQLite's errors mean to whoever uses the journal. The one place where they are translated."""

import sqlite3

from ...events.errors import ReadOnly, TreadleError, Unavailable

_WAIT: dict[int, tuple[str, float]] = {
    sqlite3.SQLITE_BUSY: ("another process holds the write lock", 0.1),
    sqlite3.SQLITE_LOCKED: ("another connection holds the write lock", 0.1),
    sqlite3.SQLITE_FULL: ("the disk is full", 5.0),
    sqlite3.SQLITE_IOERR: ("the disk failed to read or write", 5.0),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", 5.0),
    sqlite3.SQLITE_NOMEM: ("out of memory", 5.0),
    sqlite3.SQLITE_PROTOCOL: ("too many processes open it at once", 0.1),
    sqlite3.SQLITE_SCHEMA: ("its tables were changed meanwhile", 0.1),
    sqlite3.SQLITE_INTERRUPT: ("it was interrupted", 0.1),
    sqlite3.SQLITE_ABORT: ("it was interrupted", 0.1),
}

_NEVER: dict[int, str] = {
    sqlite3.SQLITE_READONLY: "this process may not write to the file or its directory",
    sqlite3.SQLITE_PERM: "this process may not write to the file",
    sqlite3.SQLITE_AUTH: "this process may not write to the file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; copy what reads well with `treadle events export`",
    sqlite3.SQLITE_NOTADB: "the file was overwritten and is no SQLite database any more",
}


def code_of(exc: sqlite3.Error) -> int:
    """The primary result code; 0 when the error came from Python and not from SQLite."""
    return int(getattr(exc, "sqlite_errorcode", 0)) & 0xFF


def translate(exc: sqlite3.Error, journal: str) -> TreadleError:
    """The error of an operation that stored nothing.

    Codes that are not in the tables are `Unavailable` with SQLite's own words.
    """
    code = code_of(exc)
    if code in _NEVER:
        return ReadOnly(journal, f"{_NEVER[code]} ({exc})")
    why, retry_after_s = _WAIT.get(code, (type(exc).__name__, 1.0))
    return Unavailable(f"journal {journal!r}", f"{why} ({exc})", retry_after_s)
