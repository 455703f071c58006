"""What a journal on a failing disk says, and that it is true."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contracts.journal import append, call_ids, calls
from faults.sqlite_faults import Faults

from treadle.events.envelope import EMPTY, verify_chain
from treadle.events.errors import AppendUncertain, ReadOnly, Unavailable, VersionConflict
from treadle.events.journal import Pending
from treadle.events.verify import verify
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.journals.sqlite_errors import translate


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def journal(tmp_path: Path, faults: Faults) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(tmp_path / "runs.db", connect=faults.connect, lock_timeout_s=0.05)
    yield journal
    await journal.close()


async def test_a_lost_reply_is_not_a_failure(journal: SqliteJournal, faults: Faults) -> None:
    faults.loses_reply = 1
    first = journal.submit(append("run-1", EMPTY, *calls("a", "b")))
    await first
    await journal.append(append("run-1", first.heads[0], *calls("c")))
    assert await call_ids(journal, "run-1") == ["a", "b", "c"]


async def test_after_a_lost_reply_the_others_in_the_batch_have_their_own_outcome(
    journal: SqliteJournal, faults: Faults
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    faults.loses_reply = 1
    pendings = [journal.submit(append(f"run-{n}", EMPTY, *calls("x"))) for n in (2, 3, 1, 4)]
    outcomes = await asyncio.gather(*[_settled(pending) for pending in pendings])
    assert [type(outcome) for outcome in outcomes] == [int, int, VersionConflict, int]


async def test_a_commit_that_failed_stored_nothing_and_the_next_one_works(
    journal: SqliteJournal, faults: Faults
) -> None:
    faults.fails_to_commit = 1
    pending = journal.submit(append("run-1", EMPTY, *calls("a")))
    with pytest.raises(Unavailable, match="the disk failed"):
        await pending
    assert await journal.read("run-1") == []
    # What built on it finds nothing to build on.
    with pytest.raises(VersionConflict):
        await journal.append(append("run-1", pending.heads[0], *calls("b")))
    await journal.append(append("run-1", EMPTY, *calls("c")))
    assert await call_ids(journal, "run-1") == ["c"]


@pytest.mark.parametrize("stored", [True, False])
async def test_when_the_file_cannot_be_asked_the_outcome_is_uncertain_and_names_the_events(
    journal: SqliteJournal, faults: Faults, stored: bool
) -> None:
    # The second is the commit with which the journal looks what has become of the first.
    faults.loses_reply, faults.fails_to_commit = (2, 0) if stored else (0, 2)
    uncertain = journal.submit(append("run-1", EMPTY, *calls("a")))
    with pytest.raises(AppendUncertain) as caught:
        await uncertain
    assert caught.value.event_ids == tuple(uncertain.ids)
    found = {event.id for event in await journal.read("run-1")}
    assert found.issuperset(caught.value.event_ids) is stored
    await journal.append(append("run-1", await journal.head("run-1"), *calls("c")))
    assert await verify(journal) == []


async def test_a_transaction_that_does_not_start_stored_nothing(journal: SqliteJournal, faults: Faults) -> None:
    faults.refuses_to_begin = 1
    with pytest.raises(Unavailable, match="the disk failed"):
        await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.append(append("run-1", EMPTY, *calls("b")))
    assert await call_ids(journal, "run-1") == ["b"]


async def test_a_full_disk_is_unavailable_until_there_is_room(journal: SqliteJournal, faults: Faults) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    faults.disk_full = True
    faults.refuses_to_begin = 1
    with pytest.raises(Unavailable):
        await journal.append(append("run-2", EMPTY, *calls("the connection is opened anew")))
    with pytest.raises(Unavailable, match="the disk is full"):
        await journal.append(append("run-2", EMPTY, *calls("x" * 100_000)))
    assert await call_ids(journal, "run-1") == ["a"]
    assert await journal.read("run-2") == []
    faults.disk_full = False
    await journal.append(append("run-2", EMPTY, *calls("x" * 100_000)))
    assert await verify(journal) == []


async def test_a_file_that_is_locked_for_too_long_is_unavailable_until_it_is_not(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    lock = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="write lock") as caught:
        await journal.append(append("run-1", EMPTY, *calls("a")))
    assert caught.value.retry_after_s <= 1
    assert await journal.read("run-1") == []
    lock.execute("ROLLBACK")
    lock.close()
    await journal.append(append("run-1", EMPTY, *calls("b")))
    assert await call_ids(journal, "run-1") == ["b"]


async def test_what_waited_for_the_file_is_stored_with_one_commit(tmp_path: Path, faults: Faults) -> None:
    journal = await SqliteJournal.open(tmp_path / "runs.db", connect=faults.connect)
    lock = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    pendings = [journal.submit(append(f"run-{n}", EMPTY, *calls("a"))) for n in range(100)]
    lock.execute("ROLLBACK")
    lock.close()
    for pending in pendings:
        await pending
    # The first may have been taken before the others came.
    assert faults.commits <= 2
    await journal.close()


async def test_a_fault_in_our_own_code_leaves_nobody_waiting(
    journal: SqliteJournal, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    faults.breaks = 1
    with caplog.at_level(logging.CRITICAL), pytest.raises(AppendUncertain, match="a bug"):
        await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.append(append("run-1", EMPTY, *calls("b")))
    assert await call_ids(journal, "run-1") == ["b"]


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from contracts.journal import append, calls
from treadle.events.envelope import EMPTY
from treadle.gateways.journals import open_journal

async def write(journal, run):
    head = EMPTY
    while True:
        pending = journal.submit(append(f"run-{{run}}", head, *calls("a", "b", "c")))
        await pending
        head = pending.heads[0]
        print(run, head.version, flush=True)

async def main():
    journal = await open_journal("sqlite:runs.db")
    await asyncio.gather(*[write(journal, run) for run in range(5)])

asyncio.run(main())
"""
    for kill_after in (1, 20, 200):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=tmp_path, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        acknowledged: dict[str, int] = {}
        async with asyncio.timeout(30):
            for _ in range(kill_after):
                run, version = (await child.stdout.readline()).split()
                acknowledged[run.decode()] = int(version)
            child.kill()
            rest = await child.stdout.read()
            await child.wait()
        for line in rest.splitlines():
            if len(parts := line.split()) == 2 and line + b"\n" in rest:
                acknowledged[parts[0].decode()] = int(parts[1])
        journal = await SqliteJournal.open(tmp_path / "runs.db")
        assert await verify(journal) == []
        for number, acknowledged_version in acknowledged.items():
            events = await journal.read(f"run-{number}")
            assert len(events) >= acknowledged_version
            # Three events a submission, all or none.
            assert verify_chain(events).version % 3 == 0
        await journal.close()
        for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_FULL, Unavailable),
        (sqlite3.SQLITE_IOERR, Unavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable),
        (sqlite3.SQLITE_READONLY, ReadOnly),
        (sqlite3.SQLITE_READONLY_DBMOVED, ReadOnly),
        (sqlite3.SQLITE_CORRUPT, ReadOnly),
        (sqlite3.SQLITE_ERROR, Unavailable),
    ],
)
def test_every_error_of_sqlite_means_something_to_the_caller(code: int, meaning: type[Exception]) -> None:
    error = sqlite3.OperationalError("so it goes")
    error.sqlite_errorcode = code
    translated = translate(error, "sqlite:runs.db")
    assert type(translated) is meaning
    assert "so it goes" in str(translated)


async def _settled(pending: Pending) -> object:
    try:
        return await pending
    except (VersionConflict, Unavailable, AppendUncertain) as exc:
        return exc
