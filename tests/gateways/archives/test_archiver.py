"""What moves and what stays, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from archiving import LATER, archive_all, everything
from contracts.journal import META, NOW, BudgetReserved, append, calls
from contracts.row_damage import damage_in_sqlite
from eventsourcing.persistence import IntegrityError, StoredEvent
from hosting import WITHIN_S, namespace, outsider
from recording import write_runs
from waiting import until

from treadle import Agent, System
from treadle.actors.clock import SystemClock
from treadle.events.envelope import EMPTY, StreamName
from treadle.events.errors import ConfigError, JournalTooNew, Unavailable, VersionConflict
from treadle.events.journal import Append, Journal
from treadle.events.run import RunCompleted, RunStarted
from treadle.gateways.archives.opening import archive_closed
from treadle.gateways.archives.read_through import ReadThrough
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.journals import open_journal
from treadle.gateways.journals.sqlite_recorder import JournalDatastore, JournalRecorder
from treadle.gateways.relay import Relay


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'runs.db'}"


@pytest.fixture
async def journal(spec: str) -> AsyncIterator[ReadThrough]:
    journal = await open_journal(spec)
    assert isinstance(journal, ReadThrough)
    yield journal
    await journal.close()


async def write(journal: Journal, *streams: str) -> None:
    for stream in streams:
        await journal.append(append(stream, EMPTY, *calls("a", "b")))


async def moved(journal: ReadThrough) -> set[str]:
    found = [await journal.catalog.contents(archive.id) for archive in await journal.archives()]
    return {part.stream for parts in found for part in parts}


async def test_only_runs_that_ended_before_the_date_move(spec: str, journal: ReadThrough) -> None:
    started = RunStarted(agent="a", prompt="p", owner="o", model="m")
    ended = RunCompleted(output="done")
    for stream, at, events in (
        ("session-1", NOW, [BudgetReserved(1)]),
        ("run-old", NOW, [started, ended]),
        ("run-open", NOW, [started]),
        ("run-new", NOW + timedelta(hours=1), [started, ended]),
        ("budget-alice", NOW, [BudgetReserved(1)]),
    ):
        await journal.append(Append(StreamName(stream), EMPTY, events, META, at))
    report = await archive_closed(spec, closed_before=NOW + timedelta(hours=1))
    assert await moved(journal) == {"run-old"}
    assert (report.streams, report.events, report.kept) == (1, 2, [])
    # Again, later.
    await archive_closed(spec, closed_before=NOW + timedelta(hours=2))
    assert await moved(journal) == {"run-old", "run-new"}


async def test_the_streams_of_the_first_and_of_the_newest_event_stay(spec: str, journal: ReadThrough) -> None:
    await write(journal, "run-1", "run-2", "run-3")
    await archive_all(spec)
    assert await moved(journal) == {"run-2"}
    assert await journal.wait(5, 0.0) == await journal.last_position() == 6


async def test_a_run_id_that_is_used_again_conflicts_whoever_writes(
    spec: str, journal: ReadThrough, tmp_path: Path
) -> None:
    other = await open_journal(spec)
    await write(journal, "run-1", "run-2", "run-3")
    head = await journal.head("run-2")
    await archive_all(spec)
    fresh = await open_journal(spec)
    for writer in (journal, other, fresh):
        with pytest.raises(VersionConflict, match="expected version 0 of stream 'run-2', found 2"):
            await writer.append(append("run-2", EMPTY, *calls("x")))
        with pytest.raises(VersionConflict, match="found 2"):
            await writer.append(append("run-2", EMPTY), append("run-9", EMPTY, *calls("x")))
        assert await writer.head("run-2") == head
    for closed in (other, fresh):
        await closed.close()
    recorder = JournalRecorder(JournalDatastore(tmp_path / "runs.db"))
    with closing(recorder.datastore), pytest.raises(IntegrityError, match="archive"):
        recorder.insert_events([StoredEvent(originator_id="run-2", originator_version=1, topic="t", state=b"{}")])
    assert len(await journal.read("run-2")) == 2


async def test_of_two_archivings_at_once_one_says_that_the_other_is_at_work(spec: str, journal: ReadThrough) -> None:
    await write(journal, "run-1", "run-2", "run-3")
    loop = asyncio.get_running_loop()
    refused: list[str] = []

    def told(step: str) -> None:
        if step == "begun":
            second = asyncio.run_coroutine_threadsafe(archive_all(spec), loop)
            with pytest.raises(Unavailable, match="another archiving is at work") as caught:
                second.result(10)
            refused.append(str(caught.value))

    await archive_all(spec, told=told)
    assert len(refused) == 1
    assert await moved(journal) == {"run-2"}


async def test_of_two_archivings_on_postgresql_one_says_that_the_other_is_at_work(
    postgres_url: str, tmp_path: Path
) -> None:
    journal = await open_journal(postgres_url)
    await write(journal, "run-1", "run-2", "run-3")
    with pytest.raises(ConfigError, match="--into"):
        await archive_all(postgres_url)
    loop = asyncio.get_running_loop()
    refused: list[str] = []

    def told(step: str) -> None:
        if step == "begun":
            second = asyncio.run_coroutine_threadsafe(archive_all(postgres_url, tmp_path / "a"), loop)
            with pytest.raises(Unavailable, match="another archiving is at work") as caught:
                second.result(10)
            refused.append(str(caught.value))

    await archive_all(postgres_url, tmp_path / "a", told=told)
    assert len(refused) == 1
    with pytest.raises(VersionConflict, match="found 2"):
        await journal.append(append("run-2", EMPTY, *calls("x")))
    await journal.close()


async def test_rows_that_change_while_their_file_is_written_stay(
    spec: str, journal: ReadThrough, tmp_path: Path
) -> None:
    await write(journal, "run-1", "run-2", "run-3")

    def told(step: str) -> None:
        if step == "verified":
            damage_in_sqlite(str(tmp_path / "runs.db"), "run-2", 2, None)

    with pytest.raises(Unavailable, match="1 rows are there of 2"):
        await archive_all(spec, told=told)
    assert len(await journal.read("run-2")) == 1
    assert await moved(journal) == set()


async def test_a_stream_with_a_corrupt_row_stays_and_is_named(spec: str, journal: ReadThrough, tmp_path: Path) -> None:
    await write(journal, "run-1", "run-2", "run-3", "run-4")
    damage_in_sqlite(str(tmp_path / "runs.db"), "run-2", 1, lambda stored: stored.replace(b'"a"', b'"A"'))
    report = await archive_all(spec)
    assert await moved(journal) == {"run-3"}
    (kept,) = report.kept
    assert kept.stream == "run-2"
    assert "event 1 of stream 'run-2'" in kept.why


async def test_a_directory_that_cannot_be_written_moves_nothing(
    spec: str, journal: ReadThrough, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await write(journal, "run-1", "run-2", "run-3")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def told(step: str) -> None:
        if step == "begun":
            monkeypatch.setattr("os.fsync", full)

    with pytest.raises(Unavailable, match="No space left on device; nothing was moved"):
        await archive_all(spec, told=told)
    assert list((tmp_path / "runs.db.archives").iterdir()) == []
    assert len(await everything(journal)) == 6
    assert await moved(journal) == set()


async def test_a_journal_with_archives_is_read_only_for_who_does_not_know_of_them(
    spec: str, journal: ReadThrough, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(journal, "run-1", "run-2", "run-3")
    await archive_all(spec)
    monkeypatch.setattr("treadle.gateways.journals.sqlite_file.FORMAT", 1)
    older = await open_journal(spec)
    assert isinstance(older.refusal, JournalTooNew)
    await older.close()


async def test_a_relay_that_is_behind_tells_archived_events_once_and_the_auditor_finds_nothing(
    spec: str, nats_server: EmbeddedServer
) -> None:
    journal = await open_journal(spec)
    await write_runs(journal, 30)
    expected = [(event.stream, event.version) for event in await everything(journal)]
    await archive_closed(spec, closed_before=SystemClock().now() + timedelta(days=1))
    assert isinstance(journal, ReadThrough)
    assert len(await moved(journal)) >= 28
    await journal.close()
    ns = namespace()
    for _ in range(2):  # the second finds where the first one was
        async with (
            System(journal=spec, nats=nats_server.url, namespace=ns, projections=False) as system,
            outsider(nats_server.url, ns) as nats,
        ):
            assert system.relay is not None and system.auditor is not None
            await until(partial(_has_told, system.relay, len(expected)), WITHIN_S)
            assert await nats.stored() == expected
            assert await system.auditor.audit() == 0


def _has_told(relay: Relay, position: int) -> bool:
    return relay.position >= position


async def test_a_running_system_does_not_notice(spec: str) -> None:
    async with System(journal=spec) as system:
        echo = system.host(Agent(model="echo"), "echo")
        results = [await echo.run(prompt, session_id="night") for prompt in ("one", "two", "three")]
        await system.projections.catch_up()
        states = {name: await system.projections.state_hash(name) for name in system.projections.names}
        before = [event async for event in system.watch(results[1].run_id)]
        await archive_closed(spec, closed_before=LATER.replace(year=2100))
        assert isinstance(system.journal, ReadThrough)
        assert f"run-{results[1].run_id}" in await moved(system.journal)

        assert [event async for event in system.watch(results[1].run_id)] == before
        for name, state in states.items():
            assert await system.projections.rebuild(name) == state
        assert (await echo.run("four", session_id="night")).output
        assert len(await echo.session("night").history()) == 8
