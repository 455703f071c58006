"""Views in PostgreSQL: the contract, several nodes, and connections that are lost."""

import asyncio
import threading

import psycopg
import pytest
from contracts.views import RUNS, ViewsContract, count_turn, count_turns, rows
from hypothesis import given
from hypothesis import strategies as st

from treadle.events.errors import ConfigError, Unavailable
from treadle.gateways.views import PostgresViews
from treadle.gateways.views.postgres_dialect import SCAN_ROWS, escaped, in_postgres, unescaped
from treadle.projections import Transaction

DEADLINE_S = 20.0
WAYS = ("ASC", "DESC")


class Paused:
    """Work that counts a turn and then stands still, in its transaction, until it may go on."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, tx: Transaction) -> int:
        turns = count_turn(tx, "r1")
        self.began.set()
        assert self.may_go_on.wait(DEADLINE_S)
        return turns

    async def wait_until_it_began(self) -> None:
        assert await asyncio.to_thread(self.began.wait, DEADLINE_S)


class TestPostgresViews(ViewsContract):
    @pytest.fixture(autouse=True)
    def _place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def open_views(self, **settings: str) -> PostgresViews:
        """Views whose connections have these settings of PostgreSQL."""
        options = "%20".join(f"-c%20{name}%3D{value}" for name, value in settings.items())
        return PostgresViews(f"{self.url}&options={options}" if options else self.url)

    def cut_off(self) -> None:
        """End all sessions in the database but this one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    # --- several nodes -----------------------------------------------------------------------------------------------

    async def test_nodes_that_start_at_the_same_moment_make_the_tables_once(self) -> None:
        nodes = [self.open_views() for _ in range(8)]
        await asyncio.gather(*(views.transact(RUNS.create) for views in nodes))
        await asyncio.gather(*(count_turns(views, "r1") for views in nodes))
        assert await nodes[0].read(rows) == [("r1", 8)]
        await asyncio.gather(*(views.close() for views in nodes))

    async def test_two_nodes_lose_no_turn(self) -> None:
        async with self.open_views() as ours, self.open_views() as theirs:
            await ours.transact(RUNS.create)
            turns = [views.transact(lambda tx: count_turn(tx, "r1")) for views in (ours, theirs) for _ in range(50)]
            await asyncio.gather(*turns)
            assert await ours.read(rows) == await theirs.read(rows) == [("r1", 100)]

    async def test_who_reads_does_not_wait_for_who_writes(self) -> None:
        async with self.open_views() as ours, self.open_views() as theirs:
            await ours.transact(RUNS.create)
            paused = Paused()
            writing = asyncio.create_task(ours.transact(paused))
            await paused.wait_until_it_began()
            assert await ours.read(rows) == await theirs.read(rows) == []
            paused.may_go_on.set()
            await writing
            assert await theirs.read(rows) == [("r1", 1)]

    async def test_a_node_that_holds_the_lock_for_too_long_makes_others_wait(self) -> None:
        async with self.open_views() as ours, self.open_views(lock_timeout="20ms") as theirs:
            await ours.transact(RUNS.create)
            paused = Paused()
            writing = asyncio.create_task(ours.transact(paused))
            await paused.wait_until_it_began()
            with pytest.raises(Unavailable, match=r"lock.*retry after 0\.1 s"):
                await theirs.transact(lambda tx: count_turn(tx, "r1"))
            paused.may_go_on.set()
            await writing
            await count_turns(theirs, "r1")
            assert await ours.read(rows) == [("r1", 2)]

    async def test_a_node_that_stands_still_in_a_transaction_is_cut_off_and_has_stored_nothing(self) -> None:
        async with self.open_views(idle_in_transaction_session_timeout="50ms") as ours, self.open_views() as theirs:
            await theirs.transact(RUNS.create)
            paused = Paused()
            writing = asyncio.create_task(ours.transact(paused))
            await paused.wait_until_it_began()
            await count_turns(theirs, "r2")
            paused.may_go_on.set()
            with pytest.raises(Unavailable):
                await writing
            assert await ours.read(rows) == [("r2", 1)]
            await count_turns(ours, "r1")

    # --- connections that are lost -----------------------------------------------------------------------------------

    async def test_a_connection_that_was_lost_while_idle_is_opened_anew(self) -> None:
        async with self.open_views() as views:
            await views.transact(RUNS.create)
            assert await views.read(rows) == []
            self.cut_off()
            await count_turns(views, "r1")
            assert await views.read(rows) == [("r1", 1)]

    async def test_a_connection_lost_in_the_middle_stores_nothing_and_the_next_one_serves(self) -> None:
        def work(tx: Transaction) -> None:
            count_turn(tx, "r1")
            self.cut_off()
            count_turn(tx, "r1")

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            with pytest.raises(Unavailable):
                await views.transact(work)
            assert await views.read(rows) == []
            await count_turns(views, "r1")
            assert await views.read(rows) == [("r1", 1)]

    async def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_told(self) -> None:
        async with PostgresViews("postgresql://alice:geheim@127.0.0.1:1/runs") as views:
            with pytest.raises(Unavailable, match="refused") as told:
                await views.read(rows)
            assert "geheim" not in f"{told.value} {told.value.__cause__} {views!r} {views.name}"

    # --- statements --------------------------------------------------------------------------------------------------

    async def test_a_write_to_a_database_that_takes_none_now_is_unavailable(self) -> None:
        async with self.open_views() as setup:
            await setup.transact(RUNS.create)
        async with self.open_views(default_transaction_read_only="on") as views:
            assert await views.read(rows) == []
            with pytest.raises(Unavailable, match="standby, or was made read-only"):
                await views.transact(lambda tx: count_turn(tx, "r1"))

    async def test_a_wrong_statement_is_a_bug_and_not_an_outage(self) -> None:
        async with self.open_views() as views:
            with pytest.raises(ConfigError, match='relation "budgets" does not exist'):
                await views.read(lambda tx: tx.query("SELECT * FROM budgets"))

    async def test_a_statement_that_failed_while_nobody_waited_for_it_stores_nothing(self) -> None:
        def work(tx: Transaction) -> None:
            for run_id in ("r1", "r2", "r1", "r3"):
                tx.execute(RUNS.insert, (run_id, 1))

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            with pytest.raises(ConfigError, match="duplicate key"):
                await views.transact(work)
            assert await views.read(rows) == []
            await count_turns(views, "r1")
            assert await views.read(rows) == [("r1", 1)]

    async def test_what_was_sent_without_waiting_is_seen_by_who_asks_next(self) -> None:
        def work(tx: Transaction) -> list[tuple[object, ...]]:
            for number in range(500):
                tx.execute(RUNS.insert, (f"r{number:03}", number))
            tx.execute("DELETE FROM runs WHERE turns > ?", (0,))
            return [*rows(tx), *tx.scan(f"SELECT {RUNS.selected} FROM runs")]

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            assert await views.transact(work) == [("r000", 0)] * 2

    async def test_work_that_passes_over_a_failed_statement_is_not_taken_for_stored(self) -> None:
        def work(tx: Transaction) -> None:
            count_turn(tx, "r1")
            with pytest.raises(psycopg.Error):
                tx.query("SELECT * FROM budgets")

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            with pytest.raises(Unavailable, match="rolled back"):
                await views.transact(work)
            assert await views.read(rows) == []

    async def test_a_long_answer_is_scanned_in_pieces_and_two_at_a_time(self) -> None:
        names = [f"r{number:05}" for number in range(2 * SCAN_ROWS + 1)]

        def work(tx: Transaction) -> list[tuple[str, str]]:
            up, down = (tx.scan(f"SELECT run_id FROM runs WHERE turns > ? ORDER BY run_id {way}", (0,)) for way in WAYS)
            return [(first, last) for (first,), (last,) in zip(up, down, strict=True)]

        async with self.open_views() as views:
            await views.transact(RUNS.create)
            await count_turns(views, *names)
            assert await views.read(work) == list(zip(names, reversed(names), strict=True))

    async def test_text_with_characters_that_postgresql_does_not_store_comes_back(self) -> None:
        async with self.open_views() as views:
            await views.transact(RUNS.create)
            await count_turns(views, "a\1", "a\0b", "a", "a\1\1", "a\0b")
            assert await views.read(rows) == [("a", 1), ("a\0b", 2), ("a\1", 1), ("a\1\1", 1)]

    async def test_text_compares_by_code_point_whatever_the_collation_of_the_database(self) -> None:
        async with self.open_views() as views:
            await views.transact(RUNS.create)
            collation = "SELECT collation_name FROM information_schema.columns WHERE column_name = 'run_id'"
            assert await views.read(lambda tx: tx.query(collation)) == [("C",)]

    async def test_the_tables_stand_apart_from_those_of_a_journal_in_the_same_database(self) -> None:
        async with self.open_views() as views, PostgresViews(self.url, schema="other") as others:
            await views.transact(RUNS.create)
            await others.transact(RUNS.create)
            await count_turns(views, "r1")
            assert await others.read(rows) == []
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'runs' ORDER BY 1")
            assert found.fetchall() == [("other",), ("treadle_views",)]


_TEXTS = st.text(alphabet=st.sampled_from("\0\1\2\3a"))


@given(_TEXTS, _TEXTS)
def test_text_is_stored_without_nul_comes_back_and_sorts_as_before(text: str, other: str) -> None:
    assert "\0" not in escaped(text)
    assert unescaped(escaped(text)) == text
    assert (escaped(text) < escaped(other)) == (text < other)


def test_parameters_are_numbered_and_a_question_mark_in_a_literal_is_none() -> None:
    assert (
        in_postgres("UPDATE runs SET a = ?, b = 'why?' WHERE c = ?")
        == "UPDATE runs SET a = $1, b = 'why?' WHERE c = $2"
    )


def test_only_the_columns_of_a_new_table_are_told_how_to_compare() -> None:
    assert in_postgres("CREATE TABLE a (b TEXT)") == 'CREATE TABLE a (b TEXT COLLATE "C")'
    assert in_postgres("SELECT CAST(a AS TEXT) FROM b") == "SELECT CAST(a AS TEXT) FROM b"
