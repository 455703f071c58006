"""Rows that are changed, or removed, behind a journal's back."""

import sqlite3
from collections.abc import Callable

Change = Callable[[bytes], bytes]


def damage_in_sqlite(path: str, stream: str, version: int, change: Change | None) -> None:
    """Change the stored form of an event in a file, or remove its row when `change` is None."""
    where = "WHERE originator_id = ? AND originator_version = ?"
    connection = sqlite3.connect(path)
    with connection:
        if change is None:
            connection.execute(f"DELETE FROM stored_events {where}", (stream, version))
        else:
            (stored,) = connection.execute(f"SELECT state FROM stored_events {where}", (stream, version)).fetchone()
            connection.execute(f"UPDATE stored_events SET state = ? {where}", (change(stored), stream, version))
    connection.close()
