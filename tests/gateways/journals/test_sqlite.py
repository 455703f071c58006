"""The SQLite journal keeps the contract, across connections and processes."""

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from contracts.journal import JournalContract, append, call_ids, calls
from contracts.row_damage import damage_in_sqlite

from treadle.events.envelope import EMPTY
from treadle.events.errors import ReadOnly, Unavailable, VersionConflict
from treadle.events.journal import Journal
from treadle.gateways.journals.sqlite import SqliteJournal


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(tmp_path / "runs.db")
    yield journal
    await journal.close()


@pytest.fixture
async def other(journal: SqliteJournal, tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    """The same file, opened again, as another process would."""
    other = await SqliteJournal.open(tmp_path / "runs.db")
    yield other
    await other.close()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        journal = await SqliteJournal.open(tmp_path / "runs.db")
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_in_sqlite(journal.name.removeprefix("sqlite:"), stream, version, change)


async def test_events_outlive_the_journal_object(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    first = await SqliteJournal.open(path)
    pending = first.submit(append("run-1", EMPTY, *calls("a")))
    await first.close()
    second = await SqliteJournal.open(path)
    assert await second.head("run-1") == pending.heads[0]
    assert await second.append(append("run-1", pending.heads[0], *calls("b"))) == 2
    await second.close()


async def test_two_writers_of_one_file_see_each_other(journal: SqliteJournal, other: SqliteJournal) -> None:
    ours = journal.submit(append("run-1", EMPTY, *calls("a")))
    await ours
    theirs = other.submit(append("run-1", ours.heads[0], *calls("b")))
    await theirs
    # Our cache says version 1; the file says otherwise, and the file is right.
    with pytest.raises(VersionConflict):
        await journal.append(append("run-1", ours.heads[0], *calls("x")))
    await journal.append(append("run-1", theirs.heads[0], *calls("c")))
    assert await call_ids(other, "run-1") == ["a", "b", "c"]
    assert [event.position for event in await other.read_all()] == [1, 2, 3]


async def test_two_writers_race_without_holes_or_doubles(journal: SqliteJournal, other: SqliteJournal) -> None:
    async def write(at: Journal, name: str) -> None:
        for call in range(30):
            for _ in range(100):
                try:
                    await at.append(append("run-1", await at.head("run-1"), *calls(f"{name}{call}")))
                    break
                except VersionConflict:
                    continue

    await asyncio.gather(write(journal, "a"), write(other, "b"), write(journal, "c"))
    assert sorted(await call_ids(journal, "run-1")) == sorted(f"{n}{c}" for n in "abc" for c in range(30))


async def test_an_event_of_another_process_ends_the_wait(journal: SqliteJournal, other: SqliteJournal) -> None:
    waiter = asyncio.ensure_future(journal.wait(0))
    await asyncio.sleep(0)
    await other.append(append("run-1", EMPTY, *calls("a")))
    async with asyncio.timeout(20):
        assert await waiter == 1


async def test_positions_are_not_used_again_when_the_newest_rows_are_deleted(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a", "b", "c")))
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("DELETE FROM stored_events WHERE rowid >= 2")
    connection.close()
    assert await journal.append(append("run-2", EMPTY, *calls("d"))) == 4


async def test_a_reader_meets_what_is_stored_after_a_wait_at_once(journal: SqliteJournal) -> None:
    for n in range(50):
        position = await journal.append(append(f"run-{n}", EMPTY, *calls("a")))
        (recorded,) = await journal.read_all(position - 1)
        assert recorded.position == position


async def test_the_queue_is_bounded_in_bytes(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "runs.db", queue_bytes=2_000)
    lock = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    first = journal.submit(append("run-0", EMPTY, *calls("x" * 5_000)))
    with pytest.raises(Unavailable, match="waiting"):
        journal.submit(append("run-1", EMPTY, *calls("x")))
    lock.execute("ROLLBACK")
    await first
    await journal.append(append("run-1", EMPTY, *calls("x")))
    lock.close()
    await journal.close()


async def test_the_log_of_a_busy_journal_has_its_length_and_does_not_grow_with_each_commit(tmp_path: Path) -> None:
    journal, log = await SqliteJournal.open(tmp_path / "runs.db"), tmp_path / "runs.db-wal"
    head, lengths = EMPTY, set[int]()
    for number in range(120):
        pending = journal.submit(append("run-1", head, *calls(str(number))))
        head = pending.heads[0]
        await pending
        if number >= 100:
            lengths.add(log.stat().st_size)
    events = await journal.read("run-1")
    await journal.close()
    assert len(lengths) == 1
    assert [event.version for event in events] == list(range(1, 121))


async def test_a_journal_that_nobody_closed_stores_what_was_submitted(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    journal = await SqliteJournal.open(path)
    await journal.append(append("run-0", EMPTY, *calls("a")))  # by the thread that must not be left over
    pending = journal.submit(append("run-1", EMPTY, *calls("a")))
    threads = threading.active_count()
    del journal
    gc.collect()
    assert pending.done
    assert threading.active_count() < threads
    again = await SqliteJournal.open(path)
    assert await call_ids(again, "run-1") == ["a"]
    await again.close()


def test_a_program_that_closes_nothing_ends_and_loses_nothing(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from contracts.journal import append, calls
from treadle.events.envelope import EMPTY
from treadle.gateways.journals import open_journal

async def main():
    global journal
    journal = await open_journal("sqlite:runs.db")
    for n in range(100):
        journal.submit(append(f"run-{{n}}", EMPTY, *calls("a")))

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=tmp_path, check=True, timeout=30)
    connection = sqlite3.connect(tmp_path / "runs.db")
    assert connection.execute("SELECT count(*) FROM stored_events").fetchone() == (100,)
    connection.close()


async def test_an_owner_dies_with_its_process(journal: SqliteJournal, tmp_path: Path) -> None:
    program = """
import asyncio, sys
from treadle.gateways.journals import open_journal

async def main():
    journal = await open_journal("sqlite:runs.db")
    print(journal.owner, flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    async with asyncio.timeout(30):
        owner = (await child.stdout.readline()).decode().strip()
        assert str(child.pid) in owner
        assert await journal.is_alive(owner)
        child.kill()
        await child.wait()
        assert not await journal.is_alive(owner)
    child.stdin.close()
    left = tmp_path / "runs.db.owners" / owner
    assert left.exists()
    again = await SqliteJournal.open(tmp_path / "runs.db")
    assert not left.exists()
    assert await again.is_alive(journal.owner)
    await again.close()


async def test_a_forked_child_writes_nothing_and_keeps_nobody_alive(journal: SqliteJournal) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            journal.submit(append("run-2", EMPTY, *calls("b")))
        except ReadOnly as exc:
            os.write(writer, str(exc).encode())
        finally:
            os._exit(0)
    os.close(writer)
    await asyncio.to_thread(os.waitpid, pid, 0)
    assert b"forked" in os.read(reader, 1000)
    os.close(reader)
    assert await journal.is_alive(journal.owner)
    await journal.append(append("run-2", EMPTY, *calls("c")))
