"""The SQL of projections in PostgreSQL's words, and its values as SQLite would give them back."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from psycopg import RawCursor
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8Dumper

from ...projections.views import Row, Value

if TYPE_CHECKING:
    import psycopg

SCAN_ROWS = 1000
"""How many rows of a scan stand in memory."""

_PARAMETER = re.compile(r"'[^']*'|\?")
_TEXT = re.compile(r"\bTEXT\b")


@lru_cache(maxsize=1024)
def in_postgres(sql: str) -> str:
    """`sql` with numbered parameters and, where it makes a table, with texts that compare by code point."""
    numbers = count(1)
    sql = _PARAMETER.sub(lambda found: f"${next(numbers)}" if found[0] == "?" else found[0], sql)
    return _TEXT.sub('TEXT COLLATE "C"', sql) if sql.startswith("CREATE TABLE") else sql


def escaped(text: str) -> str:
    """`text` without U+0000, which a model may write and PostgreSQL does not store; it sorts as `text` does."""
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def unescaped(text: str) -> str:
    return text.replace("\1\1", "\0").replace("\1\2", "\1") if "\1" in text else text


class _Text(Dumper):
    def dump(self, obj: Any) -> bytes:
        return escaped(obj).encode()


class _StoredText(Loader):
    format = Format.TEXT

    def load(self, data: Any) -> str:
        return unescaped(bytes(data).decode())


def adapt(connection: "psycopg.Connection") -> None:
    """Make `connection` take numbered parameters, and give texts as they were stored."""
    connection.cursor_factory = RawCursor
    connection.adapters.register_dumper(str, _Text)
    connection.adapters.register_loader("text", _StoredText)
    connection.adapters.register_dumper(int, Int8Dumper)  # or its size would decide the type of `? + 1`


class PostgresTransaction:
    """Statements in the transaction that `connection` is in.

    Args:
        pipeline: The connection's, when it is in pipeline mode: what need not be answered is sent without waiting for
            the answer to what was sent before. Its failure comes out of a later call.
    """

    def __init__(self, connection: "psycopg.Connection", pipeline: "psycopg.Pipeline | None" = None) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._unanswered = connection.cursor()
        self._scans = count(1)

    def execute(self, sql: str, params: Sequence[Value] = ()) -> None:
        self._unanswered.execute(in_postgres(sql).encode(), params)

    def change(self, sql: str, params: Sequence[Value] = ()) -> int:
        changed = self._run(sql, params)
        if self._pipeline is not None:
            self._pipeline.sync()
        return changed.rowcount

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        return self._run(sql, params).fetchall()

    def scan(self, sql: str, params: Sequence[Value] = ()) -> Iterator[Row]:
        name = f"scan_{next(self._scans)}"  # it ends with the transaction
        self._run(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", params, prepare=False)
        while rows := self._run(f"FETCH {SCAN_ROWS} FROM {name}", (), prepare=False).fetchall():
            yield from rows

    def _run(self, sql: str, params: Sequence[Value], prepare: bool | None = None) -> "psycopg.Cursor":
        return self._connection.execute(in_postgres(sql).encode(), params, prepare=prepare)
