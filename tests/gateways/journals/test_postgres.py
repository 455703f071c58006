"""The PostgreSQL journal keeps the contract, across connections, processes and a server that dies."""

from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from contracts.journal import JournalContract

from treadle.events.journal import Journal
from treadle.gateways.journals.postgres import PostgresJournal


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(postgres_url)
    yield journal
    await journal.close()


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    async def journal(self, postgres_url: str) -> AsyncIterator[Journal]:
        self.url = postgres_url
        journal = await PostgresJournal.open(postgres_url)
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        where = b"WHERE originator_id = %s AND originator_version = %s"
        with psycopg.connect(self.url, autocommit=True) as connection:
            if change is None:
                connection.execute(b"DELETE FROM stored_events " + where, (stream, version))
                return
            row = connection.execute(b"SELECT state FROM stored_events " + where, (stream, version)).fetchone()
            assert row is not None
            connection.execute(
                b"UPDATE stored_events SET state = %s " + where, (change(bytes(row[0])), stream, version)
            )
