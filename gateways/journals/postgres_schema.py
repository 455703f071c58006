"""The tables of a journal on PostgreSQL: those of `eventsourcing`, and ours beside them.

`stored_events (originator_id, originator_version, topic, state, notification_id)` is the library's, and its recorders
read it and write it. Positions come from its sequence, under its table lock, so they are in the order of the commits
and never used again. Ours are `treadle_journal` (the format, and how many of the steps below were taken),
`treadle_blobs` and `treadle_snapshots`, and those of `postgres_archived.py`.

Each step is taken once, by whoever comes first and may: an advisory lock holds back the others. A step adds; what an
older Treadle does on the tables of a newer one still works, or the journal's format has changed and it only reads.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from ...events.errors import ConfigError
from ...events.journal import NEW_FORMAT
from .postgres_archived import TABLES as ARCHIVE_TABLES

LOCK = 0x7452444C
"""The advisory lock under which steps are taken."""

EVENTS = "stored_events"


class JournalRecorder(PostgresApplicationRecorder):
    """The library's recorder on a journal's tables."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name=EVENTS)


class _NoDatabase(PostgresDatastore):
    """For a recorder that is only asked for its statements."""

    def register_type_adapters(self) -> None:
        """Nothing is adapted: nothing is connected."""


def datastore(url: str) -> PostgresDatastore:
    """The library's datastore for the database at `url`."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    return PostgresDatastore(
        dbname=parts.get("dbname", ""),
        host=parts.get("host", ""),
        port=parts.get("port", ""),
        user=parts.get("user", ""),
        password=parts.get("password", ""),
        originator_id_type="text",
    )


def _theirs() -> Sequence[str]:
    """The library's statements, each of which may be repeated."""
    recorder = JournalRecorder(_NoDatabase("", "", "", "", "", originator_id_type="text"))
    statements = [statement.as_string().rstrip("; ") for statement in recorder.sql_create_statements]
    return [_once(statement) if "CREATE TYPE" in statement else statement for statement in statements]


def _once(statement: str) -> str:
    return f"DO $$ BEGIN {statement}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"


STEPS: tuple[Sequence[str], ...] = (
    (
        *_theirs(),
        "CREATE TABLE IF NOT EXISTS treadle_journal (key text PRIMARY KEY, value bigint NOT NULL)",
        f"INSERT INTO treadle_journal VALUES ('format', {NEW_FORMAT}) ON CONFLICT (key) DO NOTHING",
        "CREATE TABLE IF NOT EXISTS treadle_blobs (digest text PRIMARY KEY, data bytea NOT NULL)",
        "CREATE TABLE IF NOT EXISTS treadle_snapshots (stream text PRIMARY KEY, version bigint NOT NULL, "
        "hash text NOT NULL, schema text NOT NULL, state bytea NOT NULL)",
    ),
    ARCHIVE_TABLES,
)
"""What makes an empty database a journal. Steps are added at the end and never changed.

Each is a transaction, within the limits of any other (`statement_timeout`): one that has to rewrite a large table needs
limits of its own. A table that is added here is added in `postgres_roles.py`, too.
"""


def taken(number: int) -> str:
    """The statement that notes that so many steps were taken."""
    return (
        f"INSERT INTO treadle_journal VALUES ('steps', {number}) "
        "ON CONFLICT (key) DO UPDATE SET value = greatest(treadle_journal.value, excluded.value)"
    )


def make_tables(connection: psycopg.Connection[Any], name: str) -> int:
    """Take the steps that are missing; returns the journal's format, which may be a newer one than ours.

    Raises:
        ConfigError: Some are missing, and this role may not take them.
    """
    format, done = _look(connection)
    if done >= len(STEPS):
        return format
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        format, done = _look(connection)
        for number, step in enumerate(STEPS[done:], done + 1):
            with connection.transaction():
                for statement in (*step, taken(number)):
                    connection.execute(statement.encode(), prepare=False)
        return format
    except psycopg.errors.InsufficientPrivilege as exc:
        raise _for_the_owner(connection, name, done) from exc
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def may_append(connection: psycopg.Connection[Any]) -> bool:
    """Whether this role may write events; a look at the journal is anybody's who may read it."""
    row = connection.execute(f"SELECT has_table_privilege('{EVENTS}', 'INSERT')".encode()).fetchone()
    return row is not None and bool(row[0])


def _look(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """The journal's format, and how many steps were taken; ours and none where there is no journal yet."""
    (table,) = connection.execute("SELECT to_regclass('treadle_journal')").fetchone() or (None,)
    if table is None:
        return NEW_FORMAT, 0
    found = dict(connection.execute("SELECT key, value FROM treadle_journal").fetchall())
    return int(found.get("format", NEW_FORMAT)), int(found.get("steps", 1))  # the first step did not count at first


def _for_the_owner(connection: psycopg.Connection[Any], name: str, done: int) -> ConfigError:
    role = connection.info.user
    there = f"the tables of {name} are older than this Treadle" if done else f"there is no journal in {name}"
    return ConfigError(
        f"{there}, and role {role!r} may not change that; "
        "let the owner run `treadle postgres migrate --journal postgresql://OWNER@…`"
    )
