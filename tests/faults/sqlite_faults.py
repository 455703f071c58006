"""Faults of a disk and of a file, put between the journal and a real SQLite."""

import sqlite3
from pathlib import Path
from typing import Any, Self

from treadle.gateways.journals.sqlite_recorder import connect


class Faults:
    """Opens connections for a journal (`SqliteJournal.open(connect=faults.connect)`), with faults while they are on.

    Attributes:
        loses_reply: So many commits are done, and reported as failed.
        fails_to_commit: So many commits are not done, and reported as failed.
        refuses_to_begin: So many transactions do not start.
        breaks: So many inserts raise what no database would, as a fault in our own code does.
        disk_full: The file cannot grow.
        commits: How many commits there were.
    """

    def __init__(self) -> None:
        self.loses_reply = 0
        self.fails_to_commit = 0
        self.refuses_to_begin = 0
        self.breaks = 0
        self.disk_full = False
        self.commits = 0

    def connect(self, path: Path, mode: str, lock_timeout_s: float) -> sqlite3.Connection:
        factory = type("FaultyConnection", (_FaultyConnection,), {"faults": self})
        connection = connect(path, mode=mode, lock_timeout_s=lock_timeout_s, factory=factory)
        if self.disk_full:
            # SQLite takes a limit below the present size for the present size, and refuses the next page.
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    def before(self, sql: str) -> None:
        """Raises what this statement is to end with, instead of being done."""
        if sql == "BEGIN IMMEDIATE" and self.refuses_to_begin:
            self.refuses_to_begin -= 1
            raise io_error()
        if sql == "COMMIT" and self.fails_to_commit:
            self.fails_to_commit -= 1
            raise io_error()
        if sql.startswith("INSERT INTO stored_events") and self.breaks:
            self.breaks -= 1
            raise RuntimeError("a bug")

    def after(self, sql: str) -> None:
        """Raises what this statement is to end with, although it was done."""
        self.commits += sql == "COMMIT"
        if sql == "COMMIT" and self.loses_reply:
            self.loses_reply -= 1
            raise io_error()


def io_error() -> sqlite3.OperationalError:
    """As the driver raises it when a disk does not answer."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.sqlite_errorname = "SQLITE_IOERR"
    return error


class _FaultyConnection(sqlite3.Connection):
    faults: Faults

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _FaultyCursor)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return _FaultyCursor(self).execute(sql, parameters)


class _FaultyCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> Self:
        faults = getattr(self.connection, "faults", None)
        assert isinstance(faults, Faults)
        faults.before(sql)
        super().execute(sql, parameters)
        faults.after(sql)
        return self
