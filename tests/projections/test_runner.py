import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec
import pytest
from recording import answered, started, whole_run, write, write_runs
from waiting import until

from treadle.events.envelope import Position, Recorded
from treadle.events.errors import ConfigError, CorruptEvent, NotFound, Unavailable
from treadle.events.event import UnknownEvent
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.views import SqliteViews
from treadle.projections import (
    Audit,
    Blackboards,
    BudgetView,
    Facts,
    Problem,
    Projection,
    Projections,
    ProjectionStopped,
    Runs,
    Table,
    Transaction,
    Views,
    Workspaces,
    runner,
)

T = TypeVar("T")

DEADLINE_S = 20.0


def all_of_them() -> list[Projection]:
    return [Runs(), Facts(), Audit(), BudgetView(), Blackboards(), Workspaces()]


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    journal = MemoryJournal()
    yield journal
    await journal.close()


class Damaged:
    """A journal in which some rows are corrupt: a read that meets one fails as a whole."""

    def __init__(self, journal: MemoryJournal, *corrupt: int) -> None:
        self.journal = journal
        self.corrupt = corrupt

    @property
    def name(self) -> str:
        return "damaged"

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        page = await self.journal.read_all(after, limit, category=category)
        for recorded in page:
            if recorded.position in self.corrupt:
                raise CorruptEvent(recorded.stream, recorded.version, recorded.position, "it was edited")
        return page

    async def last_position(self) -> Position:
        return await self.journal.last_position()

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self.journal.wait(after, timeout_s)


class Turns(Projection):
    """Counts events of runs, and fails at one if told to."""

    name: ClassVar[str] = "turns"
    tables: ClassVar[tuple[Table, ...]] = (Table("turns", {"stream": "TEXT", "turns": "BIGINT"}, key=("stream",)),)

    def __init__(self, fails_at: int = 0) -> None:
        super().__init__()
        self.fails_at = fails_at

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        if recorded.position == self.fails_at:
            raise ZeroDivisionError("a bug in this projection")
        tx.execute(
            "INSERT INTO turns VALUES (?, 1) ON CONFLICT (stream) DO UPDATE SET turns = turns.turns + 1",
            (recorded.stream,),
        )

    async def counted(self) -> dict[str, int]:
        return dict(await self.read(lambda tx: tx.query("SELECT stream, turns FROM turns")))


# --- folding ---------------------------------------------------------------------------------------------------------


async def test_catching_up_folds_what_was_there_before(journal: MemoryJournal, views: Views) -> None:
    await write_runs(journal, 20)
    async with Projections(journal, views, all_of_them()) as projections:
        assert await projections.catch_up(DEADLINE_S) == 160
        assert len(await projections.runs.list(state="completed")) == 20


async def test_a_reader_that_waits_for_its_own_write_sees_it(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Runs()]) as projections:
        for run_id in ("r1", "r2", "r3"):
            position = await write(journal, f"run-{run_id}", started())
            await projections.wait_for(position, DEADLINE_S)
            assert (await projections.runs.get(run_id)).version == 1


async def test_who_waits_does_not_wait_for_more_events_to_come(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Runs()], linger_s=3600) as projections:
        for run_id in ("r1", "r2"):
            await write(journal, f"run-{run_id}", started())
            await projections.catch_up(DEADLINE_S)
        assert len(await projections.runs.list()) == 2


async def test_waiting_for_a_position_that_does_not_come_says_where_it_is(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Runs()]) as projections:
        await write(journal, "run-r1", started())
        await projections.catch_up(DEADLINE_S)
        with pytest.raises(Unavailable, match=r"position 2 was not reached within 0\.01 s \(runs at 1\)"):
            await projections.wait_for(2, 0.01)


async def test_lag_tells_how_many_positions_are_missing(journal: MemoryJournal, views: Views) -> None:
    await write(journal, "run-r1", *whole_run())
    async with Projections(journal, views, [Turns(fails_at=1), Runs()]) as projections:
        with pytest.raises(ProjectionStopped):
            await projections.catch_up(DEADLINE_S)
        await projections.wait_for(8, DEADLINE_S, projection="runs")
        lag = await projections.lag()
        assert (lag["runs"].position, lag["runs"].behind) == (8, 0)
        assert (lag["turns"].position, lag["turns"].behind) == (0, 8)


async def test_a_page_of_one_event_gives_the_same_rows_as_one_page(journal: MemoryJournal, views: Views) -> None:
    await write_runs(journal, 10)
    async with Projections(journal, views, all_of_them(), page_events=1) as slow:
        await slow.catch_up(DEADLINE_S)
        hashes = [await slow.state_hash(name) for name in slow.names]
    async with SqliteViews() as others, Projections(journal, others, all_of_them()) as quick:
        await quick.catch_up(DEADLINE_S)
        assert [await quick.state_hash(name) for name in quick.names] == hashes


async def test_ten_thousand_events_are_folded_in_a_few_seconds(journal: MemoryJournal) -> None:
    await write_runs(journal, 1250)
    began = time.perf_counter()
    async with SqliteViews() as views, Projections(journal, views, all_of_them()) as projections:
        await projections.catch_up(DEADLINE_S)
    assert time.perf_counter() - began < 5  # 0.3 s on two idle cores


class Asked(SqliteViews):
    """Counts the transactions."""

    asked = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self.asked += 1
        return await super().read(work)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        self.asked += 1
        return await super().transact(work)


async def test_idle_projections_do_not_ask_the_views(journal: MemoryJournal) -> None:
    async with Asked() as views, Projections(journal, views, all_of_them()) as projections:
        await write(journal, "run-r1", started())
        await projections.catch_up(DEADLINE_S)
        before = views.asked
        assert await journal.wait(1, timeout_s=0.1) == 1
        assert views.asked == before


# --- rebuilding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["runs", "facts", "audit", "budget", "blackboards", "workspaces"])
async def test_rebuilding_gives_the_same_state_hash(journal: MemoryJournal, views: Views, name: str) -> None:
    await write_runs(journal, 30)
    async with Projections(journal, views, all_of_them(), page_events=7) as projections:
        await projections.catch_up(DEADLINE_S)
        before = await projections.state_hash(name)
        assert await projections.rebuild(name, DEADLINE_S) == before
        assert await projections.rebuild(name, DEADLINE_S) == before


async def test_another_history_gives_another_state_hash(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Runs()]) as projections:
        await write(journal, "run-r1", started())
        await projections.catch_up(DEADLINE_S)
        before = await projections.state_hash("runs")
        await write(journal, "run-r1", answered())
        await projections.catch_up(DEADLINE_S)
        assert await projections.state_hash("runs") != before


async def test_rebuilding_repairs_rows_that_somebody_changed(journal: MemoryJournal, views: Views) -> None:
    await write(journal, "run-r1", *whole_run())
    async with Projections(journal, views, [Runs()]) as projections:
        await projections.catch_up(DEADLINE_S)
        await views.transact(lambda tx: tx.execute("UPDATE runs SET cost_usd = 0"))
        await projections.rebuild("runs", DEADLINE_S)
        assert (await projections.runs.get("r1")).cost_usd == 0.5


async def test_rebuilding_something_unknown_names_what_there_is(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Runs(), Facts()]) as projections:
        with pytest.raises(NotFound, match="runs, facts"):
            await projections.rebuild("bugdet")


async def test_a_projection_of_a_newer_schema_is_folded_anew(journal: MemoryJournal, views: Views) -> None:
    class Streams(Turns):
        schema: ClassVar[int] = 2
        tables: ClassVar[tuple[Table, ...]] = (Table("turns", {"stream": "TEXT"}, key=("stream",)),)

        def apply(self, tx: Transaction, recorded: Recorded) -> None:
            tx.execute("INSERT INTO turns VALUES (?) ON CONFLICT (stream) DO NOTHING", (recorded.stream,))

    await write_runs(journal, 3)
    async with Projections(journal, views, [Turns()]) as old:
        await old.catch_up(DEADLINE_S)
    async with Projections(journal, views, [Streams()]) as new:
        await new.catch_up(DEADLINE_S)
        assert await views.read(lambda tx: tx.query("SELECT * FROM turns ORDER BY stream")) == [
            ("run-r000000",),
            ("run-r000001",),
            ("run-r000002",),
        ]
    with pytest.raises(ConfigError, match=r"in schema 2, this Treadle knows 1; upgrade"):
        await Projections(journal, views, [Turns()]).start()


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_corrupt_row_is_noted_with_its_place_and_the_rest_is_folded(
    journal: MemoryJournal, views: Views
) -> None:
    await write_runs(journal, 5)
    async with Projections(Damaged(journal, 11, 12, 40), views, [Turns()]) as projections:
        await projections.catch_up(DEADLINE_S)
        assert await projections.of(Turns).counted() == {
            "run-r000000": 8, "run-r000001": 6, "run-r000002": 8, "run-r000003": 8, "run-r000004": 7,
        }  # fmt: skip
        assert await projections.problems() == [
            Problem("turns", 11, "run-r000001", 3, "it was edited"),
            Problem("turns", 12, "run-r000001", 4, "it was edited"),
            Problem("turns", 40, "run-r000004", 8, "it was edited"),
        ]
        assert (await projections.lag())["turns"].problems == 3


async def test_a_payload_that_does_not_fit_is_noted_once_for_each_projection(
    journal: MemoryJournal, views: Views
) -> None:
    await write(journal, "run-r1", UnknownEvent(type="run.started", schema=1, data=msgspec.Raw(b'{"agent": 7}')))
    await write(journal, "run-r2", started())
    async with Projections(journal, views, [Runs(), BudgetView()]) as projections:
        await projections.catch_up(DEADLINE_S)
        assert [(problem.projection, problem.position) for problem in await projections.problems()] == [
            ("budget", 1),
            ("runs", 1),
        ]
        assert [run.run_id for run in await projections.runs.list()] == ["r2"]


async def test_events_of_a_newer_treadle_are_passed_over(journal: MemoryJournal, views: Views) -> None:
    await write(journal, "run-r1", started(), UnknownEvent(type="run.dreamt", schema=1, data=msgspec.Raw(b"{}")))
    async with Projections(journal, views, all_of_them()) as projections:
        await projections.catch_up(DEADLINE_S)
        assert await projections.problems() == []
        assert (await projections.runs.get("r1")).version == 2


async def test_a_projection_that_raises_stops_alone_and_goes_on_when_rebuilt(
    journal: MemoryJournal, views: Views
) -> None:
    await write_runs(journal, 3)
    turns = Turns(fails_at=13)
    async with Projections(journal, views, [turns, Runs()], page_events=10) as projections:
        await projections.wait_for(24, DEADLINE_S, projection="runs")
        with pytest.raises(ProjectionStopped, match="'turns' stopped at position 10: ZeroDivisionError: a bug"):
            await projections.wait_for(24, DEADLINE_S)
        assert await turns.counted() == {"run-r000000": 8, "run-r000001": 2}, "the batch with the failure is undone"
        assert "a bug" in (await projections.lag())["turns"].stopped
        turns.fails_at = 0
        await projections.rebuild("turns", DEADLINE_S)
        assert sum((await turns.counted()).values()) == 24


async def test_two_projections_of_one_name_are_refused(journal: MemoryJournal, views: Views) -> None:
    with pytest.raises(ConfigError, match="share a name"):
        Projections(journal, views, [Runs(), Runs()])


async def test_a_projection_that_was_not_given_is_named(journal: MemoryJournal, views: Views) -> None:
    with pytest.raises(NotFound, match=r"no projection 'Facts'; there are: runs"):
        _ = Projections(journal, views, [Runs()]).facts


async def test_events_that_the_journal_forgot_are_not_waited_for(views: Views) -> None:
    journal = MemoryJournal(max_finished_runs=0)
    async with Projections(journal, views, [Runs()]) as projections:
        await write(journal, "run-r1", *whole_run())
        await projections.catch_up(DEADLINE_S)
        await write(journal, "run-r2", started())
        await projections.catch_up(DEADLINE_S)
        assert [run.run_id for run in await projections.runs.open_runs()] == ["r2"]
    await journal.close()


async def test_rows_of_another_journal_are_folded_anew_and_evidence_is_kept(views: Views) -> None:
    first, second = MemoryJournal(), MemoryJournal()
    await write_runs(first, 4)
    await write_runs(second, 2, first=100)
    async with Projections(first, views, [Runs(), Audit()]) as projections:
        await projections.catch_up(DEADLINE_S)
        audited = await projections.audit.head()
    async with Projections(second, views, [Runs(), Audit()]) as projections:
        await projections.wait_for(16, DEADLINE_S, projection="runs")
        assert [run.run_id for run in await projections.runs.list()] == ["r000101", "r000100"]
        with pytest.raises(ProjectionStopped, match=r"was cut or replaced.*verify the audit"):
            await projections.catch_up(DEADLINE_S)
        assert await projections.audit.head() == audited
        await projections.rebuild("audit", DEADLINE_S)
        assert (await projections.audit.head()).events == 16


# --- several processes, and none -------------------------------------------------------------------------------------


async def test_rebuilding_while_events_come_in_loses_none(journal: MemoryJournal, views: Views) -> None:
    async with Projections(journal, views, [Turns(), Runs()], page_events=4) as projections:
        for number in range(15):
            await write_runs(journal, 3, first=number * 3)
            await projections.rebuild("turns", DEADLINE_S)
            assert set((await projections.of(Turns).counted()).values()) == {8}


async def test_two_followers_of_the_same_views_fold_each_event_once(
    journal: MemoryJournal, views: Views, their_views: Views
) -> None:
    first = Projections(journal, views, [Turns()], page_events=3)
    second = Projections(journal, their_views, [Turns()], page_events=5)
    async with first, second:
        for number in range(20):
            await write_runs(journal, 1, first=number)
        await first.catch_up(DEADLINE_S)
        await second.catch_up(DEADLINE_S)
        assert set((await first.of(Turns).counted()).values()) == {8}
        await first.rebuild("turns", DEADLINE_S)
        await write_runs(journal, 1, first=20)
        await second.catch_up(DEADLINE_S)
        await first.catch_up(DEADLINE_S)
        assert set((await second.of(Turns).counted()).values()) == {8}
        assert len(await second.of(Turns).counted()) == 21


class Watched(Damaged):
    """A journal that counts how often it is read."""

    reads = 0

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        self.reads += 1
        return await super().read_all(after, limit, category=category)


async def test_a_process_that_stands_by_does_not_read_what_another_one_folds(
    journal: MemoryJournal, views: Views, their_views: Views
) -> None:
    watched = Watched(journal)
    standby = Projections(watched, their_views, [Turns()], leads=lambda: False)
    async with Projections(journal, views, [Turns()]), standby:
        await until(lambda: watched.reads == 1)  # is there anything?
        await write_runs(journal, 3)
        await until(lambda: "turns at 24" in repr(standby), DEADLINE_S)
        assert watched.reads == 1
        await write_runs(journal, 1, first=3)
        await standby.catch_up(DEADLINE_S)
        assert len(await standby.of(Turns).counted()) == 4, "who waits does not stand by"


async def test_what_nobody_folds_is_folded_by_who_stands_by(
    journal: MemoryJournal, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STANDBY_S", 0.05)
    async with Projections(journal, views, [Turns()], page_events=10, leads=lambda: False) as standby:
        await write_runs(journal, 3)
        await until(lambda: "turns at 24" in repr(standby), DEADLINE_S)
        assert sum((await standby.of(Turns).counted()).values()) == 24


async def test_an_index_that_older_tables_lack_is_made_and_nothing_is_folded_again(
    journal: MemoryJournal, views: Views
) -> None:
    await write(journal, "run-r1", *whole_run())
    async with Projections(journal, views, [Runs()]) as projections:
        await projections.catch_up(DEADLINE_S)
    await views.transact(lambda tx: tx.execute("DROP INDEX runs_by_finished_at_owner"))
    async with Projections(Damaged(journal, 1), views, [Runs()]) as projections:
        await projections.catch_up(DEADLINE_S)
        assert [run.run_id for run in await projections.runs.list()] == ["r1"]
        assert await projections.problems() == []
    await views.transact(lambda tx: tx.execute("DROP INDEX runs_by_finished_at_owner"))


async def test_closing_in_the_middle_loses_and_doubles_nothing(journal: MemoryJournal, views: Views) -> None:
    await write_runs(journal, 50)
    for position in (10, 100, 250):
        projections = Projections(journal, views, [Turns(), Runs()], page_events=4)
        await projections.start()
        await projections.wait_for(position, DEADLINE_S)
        await projections.close()
    async with Projections(journal, views, [Turns(), Runs()]) as projections:
        await projections.catch_up(DEADLINE_S)
        assert set((await projections.of(Turns).counted()).values()) == {8}


_CHILD = """
import asyncio, sys
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.views import PostgresViews, SqliteViews
from treadle.projections import Audit, BudgetView, Facts, Projections, Runs

class Told:
    def __init__(self, journal):
        self.journal, self.name = journal, journal.name
        self.last_position, self.wait = journal.last_position, journal.wait

    async def read_all(self, after=0, limit=1000, *, category=""):
        print(after, flush=True)
        return await self.journal.read_all(after, limit, category=category)

async def main(journal_path, place):
    journal = await SqliteJournal.open(journal_path, read_only=True)
    kinds = [Runs(), Facts(), Audit(), BudgetView()]
    async with PostgresViews(place) if "://" in place else SqliteViews(place) as views:
        async with Projections(Told(journal), views, kinds, page_events=25) as projections:
            await projections.catch_up(60)
    await journal.close()
    print("done", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def fold_until_killed(journal_path: Path, place: str, pages: int) -> bool:
    """Fold in a child process and kill it while it folds page `pages`. Returns whether it was done before that."""
    command = [sys.executable, "-c", _CHILD, str(journal_path), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(pages):
            line = child.stdout.readline()
            assert line, "the child ended early"
            if line == "done\n":
                return True
        child.send_signal(signal.SIGKILL)
    return False


async def test_killed_again_and_again_it_folds_each_event_once(tmp_path: Path, views: Views, place: str) -> None:
    journal_path = tmp_path / "runs.db"
    journal = await SqliteJournal.open(journal_path)
    await write_runs(journal, 150)
    chance = random.Random(7)
    kills = 0
    while not await asyncio.to_thread(fold_until_killed, journal_path, place, chance.randrange(1, 25)):
        kills += 1
    assert kills >= 5
    names = ["runs", "facts", "audit", "budget"]
    async with Projections(journal, views, [Runs(), Facts(), Audit(), BudgetView()]) as projections:
        await projections.catch_up(DEADLINE_S)
        after_kills = [await projections.state_hash(name) for name in names]
        assert [await projections.rebuild(name, DEADLINE_S) for name in names] == after_kills
        assert {run.turns for run in await projections.runs.list(limit=1000)} == {2}
        assert sum(row.calls for row in await projections.budget.usage()) == 300
    await journal.close()
