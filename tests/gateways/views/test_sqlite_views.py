import asyncio
import sqlite3
from pathlib import Path

import pytest
from contracts.views import RUNS, ViewsContract, count_turn, rows

from treadle.events.errors import ReadOnly, Unavailable
from treadle.gateways.views import SqliteViews, views_path
from treadle.projections import Transaction


class TestSqliteViewsInMemory(ViewsContract):
    def open_views(self) -> SqliteViews:
        return SqliteViews()


class TestSqliteViewsInAFile(ViewsContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "runs.views.db"

    def open_views(self) -> SqliteViews:
        return SqliteViews(self.path)

    async def test_rows_outlive_the_process_that_wrote_them(self) -> None:
        async with self.open_views() as views:
            await views.transact(RUNS.create)
            await views.transact(lambda tx: count_turn(tx, "r1"))
        async with self.open_views() as again:
            assert await again.read(rows) == [("r1", 1)]

    async def test_two_writers_of_one_file_lose_no_turn(self) -> None:
        async with self.open_views() as ours, self.open_views() as theirs:
            await ours.transact(RUNS.create)
            turns = [views.transact(lambda tx: count_turn(tx, "r1")) for views in (ours, theirs) for _ in range(50)]
            await asyncio.gather(*turns)
            assert await ours.read(rows) == [("r1", 100)]

    async def test_a_locked_file_is_unavailable_and_works_afterwards(self) -> None:
        async with self.open_views() as setup:
            await setup.transact(RUNS.create)
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with SqliteViews(self.path, busy_timeout_s=0.01) as views:
            with pytest.raises(Unavailable, match="lock"):
                await views.transact(lambda tx: count_turn(tx, "r1"))
            other.execute("ROLLBACK")
            assert await views.transact(lambda tx: count_turn(tx, "r1")) == 1
        other.close()

    async def test_a_file_that_is_no_database_is_named(self) -> None:
        self.path.write_bytes(b"not a database, but long enough to have a header" * 20)
        async with self.open_views() as views:
            with pytest.raises(Unavailable, match=r"runs\.views\.db.*no SQLite database"):
                await views.transact(RUNS.create)

    async def test_a_full_disk_stores_nothing_and_is_told(self) -> None:
        def fill(tx: Transaction) -> None:
            tx.execute("PRAGMA max_page_count = 8")
            for number in range(10_000):
                count_turn(tx, f"r{number}")

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            with pytest.raises(Unavailable, match="disk is full"):
                await views.transact(fill)
            assert await views.read(rows) == []

    async def test_a_write_to_views_opened_read_only_is_refused(self) -> None:
        async with self.open_views() as setup:
            await setup.transact(RUNS.create)
        async with SqliteViews(self.path) as views:
            await views.read(lambda tx: tx.query("PRAGMA query_only = 1"))
            with pytest.raises(ReadOnly):
                await views.transact(lambda tx: count_turn(tx, "r1"))

    async def test_a_wrong_statement_is_a_bug_and_not_an_outage(self) -> None:
        async with self.open_views() as views:
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await views.read(lambda tx: tx.query("SELECT * FROM budgets"))

    async def test_a_folder_that_is_not_there_is_unavailable(self, tmp_path: Path) -> None:
        async with SqliteViews(tmp_path / "missing" / "runs.views.db") as views:
            with pytest.raises(Unavailable, match="cannot be opened"):
                await views.transact(RUNS.create)


def test_views_lie_beside_their_journal_in_a_file_of_their_own() -> None:
    assert views_path("data/events.db") == str(Path("data/events.views.db"))
    assert views_path(Path("runs")) == "runs.views"
    assert views_path(":memory:") == ":memory:"
