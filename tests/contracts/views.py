"""What every database for views promises. A backend's test gives `open_views` and inherits the rest."""

import asyncio
from abc import ABC, abstractmethod

import pytest

from treadle.events.errors import Unavailable
from treadle.projections import Table, Transaction, Views
from treadle.projections.views import Row

RUNS = Table("runs", {"run_id": "TEXT NOT NULL", "turns": "BIGINT NOT NULL"}, key=("run_id",), indexes=(("turns",),))


def count_turn(tx: Transaction, run_id: str) -> int:
    return tx.change(
        f"{RUNS.insert} ON CONFLICT (run_id) DO UPDATE SET turns = runs.turns + excluded.turns", (run_id, 1)
    )


async def count_turns(views: Views, *run_ids: str) -> None:
    def work(tx: Transaction) -> None:
        for run_id in run_ids:
            count_turn(tx, run_id)

    await views.transact(work)


def rows(tx: Transaction) -> list[Row]:
    return tx.query(f"SELECT {RUNS.selected} FROM runs ORDER BY run_id")


class ViewsContract(ABC):
    @abstractmethod
    def open_views(self) -> Views:
        """Views of this test; each call opens the same ones again, where they can be shared."""

    @pytest.fixture
    async def views(self) -> Views:
        views = self.open_views()
        await views.transact(RUNS.create)
        return views

    async def test_upsert_counts_on_the_row_that_is_there(self, views: Views) -> None:
        for _ in range(3):
            assert await views.transact(lambda tx: count_turn(tx, "r1")) == 1
        assert await views.read(rows) == [("r1", 3)]
        await views.close()

    async def test_work_that_raises_leaves_nothing_behind(self, views: Views) -> None:
        def work(tx: Transaction) -> None:
            count_turn(tx, "r1")
            raise LookupError("no such run")

        with pytest.raises(LookupError, match="no such run"):
            await views.transact(work)
        assert await views.read(rows) == []
        await views.close()

    async def test_creating_a_table_twice_keeps_its_rows(self, views: Views) -> None:
        await views.transact(lambda tx: count_turn(tx, "r1"))
        await views.transact(RUNS.create)
        assert await views.read(rows) == [("r1", 1)]
        await views.close()

    async def test_a_dropped_table_comes_back_empty(self, views: Views) -> None:
        await views.transact(lambda tx: count_turn(tx, "r1"))
        await views.transact(RUNS.drop)
        await views.transact(RUNS.create)
        assert await views.read(rows) == []
        await views.close()

    async def test_scan_gives_the_rows_that_query_gives(self, views: Views) -> None:
        await count_turns(views, *(f"r{number}" for number in range(10)))
        assert await views.read(lambda tx: list(tx.scan("SELECT * FROM runs ORDER BY run_id"))) == await views.read(
            rows
        )
        await views.close()

    async def test_text_is_ordered_by_code_point(self, views: Views) -> None:
        names = ["Zoe", "alice", "bob", "Émile", "run-2", "run-10", "run_1", "𝛼"]
        await count_turns(views, *names)
        assert [name for name, _ in await views.read(rows)] == sorted(names)
        await views.close()

    async def test_transactions_asked_for_at_once_lose_no_turn(self, views: Views) -> None:
        await asyncio.gather(*(views.transact(lambda tx: count_turn(tx, "r1")) for _ in range(50)))
        assert await views.read(rows) == [("r1", 50)]
        await views.close()

    async def test_a_transaction_whose_caller_left_is_still_whole(self, views: Views) -> None:
        def work(tx: Transaction) -> None:
            for _ in range(100):
                count_turn(tx, "r1")

        caller = asyncio.create_task(views.transact(work))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await views.read(rows) in ([], [("r1", 100)])
        await views.close()

    async def test_closed_views_say_so(self, views: Views) -> None:
        await views.close()
        await views.close()
        with pytest.raises(Unavailable, match="closed"):
            await views.read(rows)
