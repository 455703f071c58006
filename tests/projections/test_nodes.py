"""The same rows on every database, by however many nodes, and whatever becomes of the server in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import PostgresServer
from recording import after_noon, answered, asked, called, started, write, write_runs

from treadle import RunState, RuntimeSignal
from treadle.events.blackboard import Posted, blackboard_stream
from treadle.events.budget import Limits, Opened, Reserved, Settled, TimeSpent, budget_stream
from treadle.events.errors import Unavailable
from treadle.events.event import Event
from treadle.events.journal import Journal
from treadle.events.memory import FactAsserted, FactRetracted, memory_stream
from treadle.events.message import Usage
from treadle.events.run import RunCompleted, RunFailed
from treadle.events.session import RunEnded, RunOpened, SignalReceived, session_stream
from treadle.events.tool_step import ToolCompleted
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.views import PostgresViews, SqliteViews
from treadle.projections import Audit, Blackboards, BudgetView, Facts, Projection, Projections, Runs, Sessions, Views

DEADLINE_S = 60.0


def all_of_them() -> list[Projection]:
    return [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), Audit()]


async def hashes(journal: Journal, views: Views) -> dict[str, str]:
    """Of all rows, folded up to the end of the journal."""
    async with Projections(journal, views, all_of_them()) as projections:
        await projections.catch_up(DEADLINE_S)
        return {name: await projections.state_hash(name) for name in projections.names}


# --- the same rows ---------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=6) | st.sampled_from(["", "\0", "'?'", "%s $1", "Émile", "\x01"])
IDS = st.sampled_from(["1", "2", "É", "a?"])
COUNTS = st.integers(0, 2**53)
AMOUNTS = st.floats(0, 1e9, allow_subnormal=False)
USAGES = st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, cost_usd=AMOUNTS)
SIGNALS = st.builds(RuntimeSignal, st.just("disk full"), id=IDS)
HISTORIES: dict[str, st.SearchStrategy[Event]] = {
    "run-r1": st.one_of(
        st.builds(started, prompt=TEXTS),
        st.builds(asked, IDS),
        st.builds(answered, IDS, st.integers(0, 1000), AMOUNTS),
        st.builds(called, IDS),
        st.builds(ToolCompleted, call_id=IDS, output=TEXTS),
        st.builds(RunFailed, error=TEXTS),
        st.builds(RunCompleted, output=TEXTS),
    ),
    session_stream("alice", "desk", "night"): st.one_of(
        st.builds(SignalReceived, signal=SIGNALS),
        st.builds(RunOpened, run_id=IDS, prompt=TEXTS, signal_id=IDS),
        st.builds(RunEnded, run_id=IDS, state=st.sampled_from([RunState.COMPLETED, RunState.FAILED])),
    ),
    memory_stream("alice"): st.one_of(
        st.builds(
            FactAsserted,
            fact_id=IDS,
            subject=TEXTS,
            predicate=IDS,
            object=TEXTS,
            valid_from=st.integers(0, 9).map(after_noon),
        ),
        st.builds(FactRetracted, fact_id=IDS, reason=TEXTS),
    ),
    budget_stream("alice"): st.one_of(
        st.builds(Opened, limits=st.builds(Limits, max_tokens=COUNTS)),
        st.builds(
            Reserved, call_id=IDS, run_id=IDS, input_tokens=st.just(1), output_tokens=st.just(2), cost_usd=AMOUNTS
        ),
        st.builds(Settled, call_id=IDS, usage=st.builds(Usage, input_tokens=st.just(3), cost_usd=AMOUNTS)),
        st.builds(TimeSpent, run_id=IDS, seconds=AMOUNTS),
    ),
    blackboard_stream("desk"): st.builds(Posted, entry_id=IDS, author=IDS, content=TEXTS, data=TEXTS),
}
STEPS = st.sampled_from(list(HISTORIES)).flatmap(lambda stream: st.tuples(st.just(stream), HISTORIES[stream]))


def once(step: tuple[str, Event]) -> object:
    """A session takes a signal once; everything else may happen again."""
    _, event = step
    return event.signal.id if isinstance(event, SignalReceived) else object()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30, unique_by=once))
async def test_any_journal_gives_the_same_state_hashes_on_sqlite_and_on_postgresql(
    postgres_url: str, steps: list[tuple[str, Event]]
) -> None:
    journal = MemoryJournal()
    for number, (stream, event) in enumerate(steps):
        await write(journal, stream, event, at=after_noon(number))
    async with SqliteViews() as sqlite, PostgresViews(postgres_url, schema=uuid4().hex) as postgres:
        assert await hashes(journal, postgres) == await hashes(journal, sqlite)
    await journal.close()


# --- several nodes ---------------------------------------------------------------------------------------------------


async def test_nodes_that_start_at_the_same_moment_fold_each_event_once(postgres_url: str) -> None:
    journal = MemoryJournal()
    await write_runs(journal, 20)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(PostgresViews(postgres_url)) for _ in range(5)]
        folded = await asyncio.gather(*(hashes(journal, views) for views in nodes))
        sqlite = await stack.enter_async_context(SqliteViews())
        assert folded == [await hashes(journal, sqlite)] * 5
    await journal.close()


# --- a server that goes away -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be killed."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    journal = MemoryJournal()
    yield journal
    await journal.close()


async def test_a_server_killed_while_two_nodes_fold_loses_and_doubles_nothing(
    server: PostgresServer, journal: MemoryJournal
) -> None:
    await write_runs(journal, 150)
    async with PostgresViews(server.url()) as ours, PostgresViews(server.url()) as theirs:
        first = Projections(journal, ours, all_of_them(), page_events=4)
        second = Projections(journal, theirs, all_of_them(), page_events=3)
        async with first, second:
            for position in (100, 400, 800):
                await first.wait_for(position, DEADLINE_S)
                assert (await first.lag())["runs"].behind > 0, "it was killed too late"
                await asyncio.to_thread(server.kill)
                with pytest.raises(Unavailable):
                    await first.runs.list()
                await write_runs(journal, 10, first=1000 + position)
                await asyncio.to_thread(server.start)
            last = await first.catch_up(DEADLINE_S)
            await second.catch_up(DEADLINE_S)
            assert last == 180 * 8
            assert len(await second.runs.list(state="completed", limit=1000)) == 180
            folded = [await second.state_hash(name) for name in second.names]
            assert [await first.rebuild(name, DEADLINE_S) for name in first.names] == folded
    async with SqliteViews() as sqlite:
        assert list((await hashes(journal, sqlite)).values()) == folded


async def test_projections_do_not_start_without_their_server_and_say_so() -> None:
    journal = MemoryJournal()
    async with PostgresViews("postgresql://alice:geheim@127.0.0.1:1/runs") as views:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/runs.*refused.*retry after 1 s") as told:
            await Projections(journal, views, all_of_them()).start()
        assert "geheim" not in str(told.value)
    await journal.close()
