"""What agents left for each other on blackboards, entry by entry."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ..events.blackboard import Posted
from ..events.envelope import Recorded
from .projection import Projection
from .views import Table, Transaction, Where, moment, stamp


class Entry(Struct, frozen=True):
    """An entry of a board. `number` counts the board's entries from 1.

    `run_id` is the run that posted it; empty when a program did, outside of any run.
    """

    board: str
    number: int
    entry_id: str
    author: str
    kind: str
    content: str
    data: Any
    run_id: str
    at: datetime


class BoardRow(Struct, frozen=True):
    board: str
    entries: int
    last_at: datetime


_ENTRIES = Table(
    "blackboard_entries",
    {
        "board": "TEXT NOT NULL",
        "number": "BIGINT NOT NULL",
        "entry_id": "TEXT NOT NULL",
        "author": "TEXT NOT NULL",
        "kind": "TEXT NOT NULL",
        "content": "TEXT NOT NULL",
        "data": "TEXT NOT NULL",
        "run_id": "TEXT NOT NULL",
        "at": "TEXT NOT NULL",
    },
    key=("board", "number"),
)


class Blackboards(Projection):
    """All entries of all boards; a board's own state holds the newest only."""

    name = "blackboards"
    schema = 1
    tables = (_ENTRIES,)
    handles = frozenset({Posted.event_tag})

    async def boards(self) -> list[BoardRow]:
        """All boards, by name."""
        sql = "SELECT board, count(*), max(at) FROM blackboard_entries GROUP BY board ORDER BY board"
        return [BoardRow(name, count, moment(at)) for name, count, at in await self.read(lambda tx: tx.query(sql))]

    async def entries(
        self, board: str, *, kind: str | None = None, author: str | None = None, after: int = 0, limit: int = 100
    ) -> list[Entry]:
        """A board's entries above number `after`, in order."""
        where = Where().equal(board=board, kind=kind, author=author).add("number > ?", after)
        sql = f"SELECT {_ENTRIES.selected} FROM blackboard_entries{where.sql} ORDER BY number LIMIT ?"
        rows = await self.read(lambda tx: tx.query(sql, (*where.params, limit)))
        return [
            Entry(name, number, entry_id, author, kind, content, msgspec.json.decode(data), run_id, moment(at))
            for name, number, entry_id, author, kind, content, data, run_id, at in rows
        ]

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, Posted):
            tx.execute(
                _ENTRIES.insert,
                (
                    recorded.stream.partition("-")[2],
                    recorded.version,
                    event.entry_id,
                    event.author,
                    event.kind,
                    event.content,
                    msgspec.json.encode(event.data).decode(),
                    recorded.run_id,
                    stamp(recorded.at),
                ),
            )
