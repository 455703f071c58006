"""A journal file: finding out what it is, creating it, and how it may be used."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from eventsourcing.persistence import PersistenceError
from msgspec import Struct

from ...events.errors import ConfigError, JournalTooNew, ReadOnly, TreadleError
from ...events.journal import FORMAT
from .owners import Owners
from .sqlite_errors import code_of, translate
from .sqlite_recorder import APPLICATION_ID, LOCK_TIMEOUT_S, JournalDatastore, JournalRecorder, connect

Connect = Callable[[Path, str, float], sqlite3.Connection]
"""Opens a connection: path, mode, lock time-out in seconds."""


def connect_file(path: Path, mode: str, lock_timeout_s: float) -> sqlite3.Connection:
    """The `Connect` that is used unless a test puts faults in its way."""
    return connect(path, mode=mode, lock_timeout_s=lock_timeout_s)


class JournalFile(Struct, frozen=True):
    """An opened journal file.

    Attributes:
        name: For messages.
        refusal: Why nothing can be written; None when it can.
        owners: Who has it open for writing.
    """

    path: Path
    name: str
    mode: str
    lock_timeout_s: float
    refusal: TreadleError | None
    owners: Owners
    open: Connect

    def connect(self, mode: str | None = None) -> sqlite3.Connection:
        return self.open(self.path, mode or self.mode, self.lock_timeout_s)


def open_file(
    path: Path,
    owner: str,
    *,
    read_only: bool = False,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    open: Connect = connect_file,
) -> JournalFile:
    """Open the journal at `path`, creating it if there is none, and enter `owner` among its owners.

    A file that cannot be written, and one of a newer format, is opened for reading.

    Raises:
        ConfigError: It is something else, or lies in a directory that does not exist.
        Unavailable: It is locked or cannot be read now.
    """
    path = path.absolute()
    name = f"sqlite:{path}"
    if not path.parent.is_dir():
        raise ConfigError(f"journal {name!r}: there is no directory {str(path.parent)!r}; create it first")
    if path.is_dir():
        raise ConfigError(f"journal {name!r} is a directory; name a file in it")
    refusal: TreadleError | None = ReadOnly(name, "it was opened with read_only=True") if read_only else None
    owners = Owners(path)
    if refusal is None:
        try:
            with owners.door():
                found = _look(path, name, "rwc", lock_timeout_s, open, _create_or_check)
                if found <= FORMAT:
                    owners.enter(owner)
                    return JournalFile(path, name, "rw", lock_timeout_s, None, owners, open)
                refusal = JournalTooNew(name, found, FORMAT)
        except ReadOnly as exc:
            refusal = exc
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            refusal = ReadOnly(name, f"this process may not write to {exc.filename!r} ({exc.strerror})")
    if not path.exists():
        raise ConfigError(f"journal {name!r} does not exist, and cannot be created: {refusal}")
    mode = _reading_mode(path)
    found = _look(path, name, mode, lock_timeout_s, open, _format_of)
    if found > FORMAT:
        refusal = JournalTooNew(name, found, FORMAT)
    return JournalFile(path, name, mode, lock_timeout_s, refusal, owners, open)


def _create_or_check(connection: sqlite3.Connection, path: Path, name: str) -> int:
    if _is_blank(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        datastore = JournalDatastore(path)
        try:
            JournalRecorder(datastore).create_table()
        finally:
            datastore.close()
    found = _format_of(connection, path, name)
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        # Changes nothing, but who may not write is told so here.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as exc:
        if code_of(exc) != sqlite3.SQLITE_BUSY:
            raise
    return found


def _is_blank(connection: sqlite3.Connection) -> bool:
    """A new file, or one whose creation was cut short: the tables come in one transaction, after the mark."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    return tables == 0 and mark in (0, APPLICATION_ID)


def _format_of(connection: sqlite3.Connection, path: Path, name: str) -> int:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    if mark != APPLICATION_ID:
        raise ConfigError(
            f"{str(path)!r} is an SQLite database of something else (application_id {mark}); "
            "name a file that does not exist yet, or a journal of Treadle"
        )
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is None:
        raise ConfigError(f"journal {name!r} has lost its format number; restore it from a copy")
    return int(row[0])


def _reading_mode(path: Path) -> str:
    # Readers of a WAL file share a lock file beside it. Where that cannot be made, nobody can be writing either,
    # unless there is a log: then its events have to be read too, and only the ordinary mode does that.
    log = path.with_name(path.name + "-wal")
    return "ro" if os.access(path.parent, os.W_OK, effective_ids=True) or log.exists() else "immutable"


def _look(
    path: Path,
    name: str,
    mode: str,
    lock_timeout_s: float,
    open: Connect,
    look: Callable[[sqlite3.Connection, Path, str], int],
) -> int:
    try:
        connection = open(path, mode, lock_timeout_s)
        try:
            return look(connection, path, name)
        finally:
            connection.close()
    except PersistenceError as exc:
        cause = exc.__cause__
        raise translate(cause if isinstance(cause, sqlite3.Error) else sqlite3.Error(str(exc)), name) from exc
    except sqlite3.Error as exc:
        if code_of(exc) == sqlite3.SQLITE_NOTADB:
            raise ConfigError(f"{str(path)!r} is no SQLite database; name another file") from exc
        raise translate(exc, name) from exc
