"""What runs and hosted systems do with a journal that cannot be written: a clear error, nothing lost or doubled."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from faults.sqlite_faults import Faults
from hosting import WITHIN_S, Gate, calling
from waiting import until

from treadle import Agent, CorruptEvent, JournalTooNew, ReadOnly, System, TreadleError, Unavailable, tool
from treadle.gateways.journals.sqlite import SqliteJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def journal(path: Path, faults: Faults) -> AsyncIterator[SqliteJournal]:
    opened = await SqliteJournal.open(path, lock_timeout_s=0.05, connect=faults.connect)
    yield opened
    await opened.close()


async def one_run(path: Path) -> str:
    async with Agent(model="echo", name="desk", runtime=f"sqlite:{path}") as desk:
        return (await desk.run("Hello?", user_id="alice", session_id="s")).run_id


async def test_a_journal_of_a_newer_treadle_is_read_and_not_written(path: Path) -> None:
    run_id = await one_run(path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
        file.commit()
    async with Agent(model="echo", name="desk", runtime=f"sqlite:{path}") as desk:
        for session_id in (None, "s"):
            with pytest.raises(JournalTooNew, match="this Treadle knows up to"):
                await desk.run("And now?", user_id="alice", session_id=session_id)
        with pytest.raises(JournalTooNew):
            await desk.signal("And now?", user_id="alice", session_id="s")
        with pytest.raises(JournalTooNew):
            _ = [event async for event in desk.stream("And now?")]
        assert len(await desk.session("s", user_id="alice").history()) == 2
    async with System(journal=f"sqlite:{path}") as system:
        assert [event.type async for event in system.watch(run_id)][-1] == "run.completed"


async def test_a_journal_opened_for_reading_refuses_runs_and_shows_history(path: Path) -> None:
    run_id = await one_run(path)
    journal = await SqliteJournal.open(path, read_only=True)
    async with System(journal=journal) as system:
        desk = system.host(Agent(model="echo", memory=True), name="desk")
        with pytest.raises(ReadOnly):
            await desk.run("And now?", user_id="alice", session_id="s")
        assert [event.version async for event in system.watch(run_id)] == [1, 2, 3, 4]
    await journal.close()


async def test_while_the_file_is_locked_runs_are_refused_and_afterwards_they_run(
    path: Path, journal: SqliteJournal
) -> None:
    async with System(journal=journal, projections=False) as system:
        desk = system.host(Agent(model="echo"), name="desk")
        await desk.run("one", session_id="s")
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            for session_id in (None, "s"):
                with pytest.raises(Unavailable, match="locked"):
                    await desk.run("two", session_id=session_id)
        async with asyncio.timeout(WITHIN_S):
            assert (await desk.run("three", session_id="s")).output == "Echo: three"
        said = [message.content for message in await desk.session("s").history() if message.role == "user"]
        assert said == ["one", "three"]


async def test_a_disk_that_fills_up_during_a_run_leaves_it_open_and_resume_repeats_no_tool(
    journal: SqliteJournal, faults: Faults
) -> None:
    done: list[int] = []

    @tool(idempotent=True)
    async def charge() -> str:
        done.append(1)
        faults.fails_to_commit = int(len(done) == 1)
        return "charged"

    async with System(journal=journal, projections=False) as system:
        desk = system.host(Agent(model=calling("charge"), tools=[charge]), name="desk")
        with pytest.raises(TreadleError):
            await desk.run("Charge it", session_id="s")
        async with asyncio.timeout(WITHIN_S):
            result = await desk.resume("s")
        assert (result.state, result.output) == ("completed", "charged")
        # Its outcome was not on disk: it was called again, with the same call id.
        assert len(done) == 2


@pytest.mark.parametrize("fault", ["fails_to_commit", "refuses_to_begin", "loses_reply"])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_fault_at_any_commit_of_a_session_loses_nothing_and_doubles_nothing(
    journal: SqliteJournal, faults: Faults, fault: str, at: int
) -> None:
    """Three prompts, each with one tool; a fault at the n-th commit; whoever is refused asks again."""
    done: list[str] = []

    @tool(idempotent=True)
    async def charge() -> str:
        from treadle import current_call

        done.append(current_call().call_id)
        return "charged"

    async with System(journal=journal, projections=False) as system:
        desk = system.host(Agent(model=calling("charge"), tools=[charge], memory=True), name="desk")
        for number in range(3):
            if number == 1:
                setattr(faults, fault, at)
            async with asyncio.timeout(WITHIN_S):
                while True:
                    try:
                        await desk.run(f"prompt {number}", session_id="s", user_id="alice")
                    except TreadleError:
                        continue
                    break
        history = await desk.session("s", user_id="alice").history()
        assert [message.content for message in history if message.role == "user"] == [
            f"prompt {number}" for number in range(3)
        ]
        assert len(set(done)) == 3
        runs = {event.run_id for event in await journal.read_all(0, 1000) if event.type == "run.completed"}
        episodes = [e for e in await journal.read_all(0, 1000) if e.type == "memory.episode_remembered"]
        assert len(runs) == len(episodes) == 3


async def test_a_signal_that_comes_while_the_file_is_locked_is_run_once_it_is_not(
    path: Path, journal: SqliteJournal
) -> None:
    gate = Gate()
    gate.open()
    async with System(journal=journal, projections=False) as system:
        system.host(Agent(model=gate.model), name="desk")
        await system.start_hosting()
        signals = system.signals
        assert signals is not None
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            await system.signal("desk", "Busy?", session_id="s")
            await until(lambda: signals.running == 1)
            await until(lambda: signals.running == 0)
        await until(lambda: signals.done == 1, WITHIN_S)
        ended = [event.type for event in await journal.read_all() if event.type == "run.completed"]
        assert (len(ended), signals.parked) == (1, 0)


async def test_a_corrupt_row_is_named_by_its_place_and_everything_else_goes_on(path: Path) -> None:
    spoilt, whole = await one_run(path), await one_run(path)
    with closing(sqlite3.connect(path)) as file:
        sql = "UPDATE stored_events SET state = 'x' WHERE originator_id = ? AND originator_version = 2"
        assert file.execute(sql, (f"run-{spoilt}",)).rowcount == 1
        file.commit()
    async with System(journal=f"sqlite:{path}") as system:
        desk = system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        assert len([event async for event in system.watch(whole)]) == 4
        with pytest.raises(CorruptEvent, match=rf"run-{spoilt}") as caught:
            _ = [event async for event in system.watch(spoilt)]
        assert (caught.value.version, caught.value.position) == (2, 3)
        assert (await desk.run("And now?", user_id="alice", session_id="s")).output == "Echo: And now?"
        await system.signal("desk", "And this?", user_id="alice", session_id="t")
        await until(lambda: system.signals is not None and system.signals.done == 1)
        await system.projections.catch_up()
        assert {row.run_id for row in await system.projections.runs.list(agent="desk")} >= {whole}
