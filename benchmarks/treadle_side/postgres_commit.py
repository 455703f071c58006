"""One commit of so many events to a journal on PostgreSQL; nobody else wants the table's lock."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from databases import new_database
from measured import Measured, Round, one_after_another, play, times
from recorded import Stream, fill

from treadle.gateways.journals import open_journal


@asynccontextmanager
async def postgres_commit() -> AsyncGenerator[Round]:
    size = int(sys.argv[2])
    with new_database() as url:
        journal = await open_journal(url)
        stream = Stream()
        yield lambda: one_after_another(lambda: fill(journal, stream, [size]), times(20_000 // (size + 100)))
        await journal.close()


if __name__ == "__main__":
    play("Treadle", {"postgres_commit": Measured("s", postgres_commit)})
