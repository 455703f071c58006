"""The tables of a journal on PostgreSQL: those of `eventsourcing`, and ours beside them.

`stored_events (originator_id, originator_version, topic, state, notification_id)` is the library's, and its recorders
read it and write it. Positions come from its sequence, under its table lock, so they are in the order of the commits
and never used again. Ours are `treadle_journal` (the format), `treadle_blobs` and `treadle_snapshots`.

Made once, by whoever comes first: an advisory lock holds back the others.
"""

from typing import Any

import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from ...events.journal import FORMAT

LOCK = 0x7452444C
"""The advisory lock under which tables are made."""

_OURS = (
    "CREATE TABLE IF NOT EXISTS treadle_journal (key text PRIMARY KEY, value bigint NOT NULL)",
    f"INSERT INTO treadle_journal VALUES ('format', {FORMAT}) ON CONFLICT (key) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS treadle_blobs (digest text PRIMARY KEY, data bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS treadle_snapshots (stream text PRIMARY KEY, version bigint NOT NULL, "
    "hash text NOT NULL, schema text NOT NULL, state bytea NOT NULL)",
)


class JournalRecorder(PostgresApplicationRecorder):
    """The library's recorder on a journal's tables."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="stored_events")


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


def format_of(connection: psycopg.Connection[Any]) -> int | None:
    """The journal's format; None when there is no journal yet."""
    (table,) = connection.execute("SELECT to_regclass('treadle_journal')").fetchone() or (None,)
    if table is None:
        return None
    row = connection.execute("SELECT value FROM treadle_journal WHERE key = 'format'").fetchone()
    return None if row is None else int(row[0])


def make_tables(connection: psycopg.Connection[Any], url: str) -> int:
    """Make what is missing; returns the journal's format, which may be a newer one than ours."""
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        found = format_of(connection)
        if found is not None:
            return found
        with datastore(url) as store:
            JournalRecorder(store).create_table()
        with connection.transaction():
            for statement in _OURS:
                connection.execute(statement.encode())
        return FORMAT
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
