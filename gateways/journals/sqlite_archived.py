"""What a journal file knows of its archives: two tables and a trigger, made by the first archiving.

`meta` has the key `archives` from then on: how often streams were moved. While it is not there, neither are the tables.
The versions of an archived stream stay taken: its end is known here, and the trigger refuses a stream that begins anew.
"""

import sqlite3

from ...events.envelope import EMPTY, Head
from ...events.journal import FORMAT

ARCHIVINGS = "SELECT value FROM meta WHERE key = 'archives'"
COUNT_ARCHIVING = "UPDATE meta SET value = value + 1 WHERE key = 'archives'"

TABLES = (
    "CREATE TABLE IF NOT EXISTS archives (id INTEGER PRIMARY KEY, directory TEXT NOT NULL, "
    "file TEXT NOT NULL, moved INTEGER NOT NULL DEFAULT 0, events INTEGER, streams INTEGER, raw_bytes INTEGER, "
    "size_bytes INTEGER, sha256 TEXT, index_offset INTEGER, index_sha256 TEXT, first_position INTEGER, "
    "last_position INTEGER)",
    "CREATE TABLE IF NOT EXISTS archived_streams (stream TEXT NOT NULL, version INTEGER NOT NULL, "
    "after INTEGER NOT NULL, hash TEXT NOT NULL, archive INTEGER NOT NULL, positions TEXT NOT NULL, "
    "PRIMARY KEY (stream, version)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS archived_streams_by_archive ON archived_streams (archive)",
    "CREATE TRIGGER IF NOT EXISTS versions_are_never_reused BEFORE INSERT ON stored_events "
    "WHEN NEW.originator_version = 1 AND EXISTS (SELECT 1 FROM archived_streams WHERE stream = NEW.originator_id) "
    "BEGIN SELECT RAISE(ABORT, 'a stream of this name is in an archive'); END",
    "INSERT OR IGNORE INTO meta VALUES ('archives', 0)",
    f"UPDATE meta SET value = {FORMAT} WHERE key = 'format' AND value < {FORMAT}",
)

_HEAD = "SELECT version, hash FROM archived_streams WHERE stream = ? ORDER BY version DESC LIMIT 1"


def archived_head(cursor: sqlite3.Cursor | sqlite3.Connection, stream: str) -> Head:
    """The end of what was archived of a stream; `EMPTY` when nothing was."""
    if cursor.execute(ARCHIVINGS).fetchone() is None:
        return EMPTY
    row = cursor.execute(_HEAD, (stream,)).fetchone()
    return EMPTY if row is None else Head(int(row[0]), row[1])
