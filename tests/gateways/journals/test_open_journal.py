"""What a journal is named, and what a file may be."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.journal import append, call_ids, calls

from treadle.events.envelope import EMPTY
from treadle.events.errors import ConfigError, JournalTooNew, ReadOnly
from treadle.events.journal import FORMAT
from treadle.gateways.journals import open_journal
from treadle.gateways.journals.sqlite import SqliteJournal


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory of somebody else's; permissions mean nothing to root, so root steps down meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        root = os.geteuid() == 0
        try:
            yield directory
        finally:
            if root:
                os.seteuid(0)
            directory.chmod(0o755)


def step_down(directory: Path) -> None:
    directory.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.parametrize("spec", ["sqlite:runs.db", "sqlite:./runs.db", "sqlite:///{here}/runs.db"])
async def test_a_file_is_named_by_path_or_url(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = await open_journal(spec.format(here=str(tmp_path).lstrip("/")))
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    assert journal.name == f"sqlite:{tmp_path / 'runs.db'}"
    assert (tmp_path / "runs.db").exists()


async def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "läufe 100%?#&.db"
    journal = await open_journal(f"sqlite:{path}")
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    assert path.exists()


async def test_memory_is_named_memory() -> None:
    journal = await open_journal("memory")
    assert journal.name == "memory"
    await journal.close()


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("postgresql://alice:secret@db/@runs", "no URL that PostgreSQL takes"),
        ("redis://alice:secret@cache", "'memory', 'sqlite:PATH'"),
        ("sqlite:", "names no file"),
        ("sqlite::memory:", "names no file"),
        ("sqlite://far/runs.db", "names the host 'far'"),
        ("", "there is no journal"),
    ],
)
async def test_what_is_no_journal_is_refused_with_what_would_work(spec: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        await open_journal(spec)
    assert "secret" not in str(caught.value)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory"):
        await SqliteJournal.open(tmp_path / "missing" / "runs.db")
    with pytest.raises(ConfigError, match="is a directory"):
        await SqliteJournal.open(tmp_path)


async def test_another_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE stored_events (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="SQLite database of something else"):
        await SqliteJournal.open(path)
    assert path.read_bytes() == before


async def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("pay the rent\n" * 1_000)
    with pytest.raises(ConfigError, match="no SQLite database"):
        await SqliteJournal.open(path)
    assert path.read_text() == "pay the rent\n" * 1_000


async def test_a_creation_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    journal = await SqliteJournal.open(path)
    await journal.close()
    with sqlite3.connect(path) as connection:
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
    connection.close()
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {mark}")
    connection.close()
    journal = await SqliteJournal.open(path)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()


async def test_a_journal_of_a_newer_treadle_can_be_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    journal = await SqliteJournal.open(path)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT + 1,))
    connection.close()
    journal = await SqliteJournal.open(path)
    assert await call_ids(journal, "run-1") == ["a"]
    with pytest.raises(JournalTooNew, match=f"format {FORMAT + 1}, this Treadle knows up to {FORMAT}"):
        journal.submit(append("run-2", EMPTY, *calls("b")))
    await journal.close()


async def test_a_journal_may_be_opened_for_reading(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with pytest.raises(ConfigError, match="does not exist"):
        await SqliteJournal.open(path, read_only=True)
    writer = await SqliteJournal.open(path)
    reader = await SqliteJournal.open(path, read_only=True)
    await writer.append(append("run-1", EMPTY, *calls("a")))
    assert await call_ids(reader, "run-1") == ["a"]
    assert await reader.is_alive(writer.owner)
    with pytest.raises(ReadOnly, match="read_only=True"):
        reader.submit(append("run-2", EMPTY, *calls("b")))
    await reader.close()
    await writer.close()


async def test_a_directory_that_cannot_be_written_makes_a_journal_read_only(unprivileged: Path) -> None:
    path = unprivileged / "runs.db"
    journal = await SqliteJournal.open(path)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    step_down(unprivileged)
    journal = await SqliteJournal.open(path)
    assert await call_ids(journal, "run-1") == ["a"]
    with pytest.raises(ReadOnly, match="may not write"):
        journal.submit(append("run-2", EMPTY, *calls("b")))
    await journal.close()
    with pytest.raises(ConfigError, match="cannot be created"):
        await SqliteJournal.open(unprivileged / "new.db")


async def test_a_file_that_cannot_be_written_makes_a_journal_read_only(unprivileged: Path) -> None:
    path = unprivileged / "runs.db"
    journal = await SqliteJournal.open(path)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    path.chmod(0o444)
    owners = path.with_name("runs.db.owners")
    owners.chmod(0o777)
    (owners / "door").chmod(0o666)
    step_down(unprivileged)
    journal = await SqliteJournal.open(path)
    assert await call_ids(journal, "run-1") == ["a"]
    with pytest.raises(ReadOnly):
        journal.submit(append("run-2", EMPTY, *calls("b")))
    await journal.close()


def test_importing_the_journals_loads_no_database_driver() -> None:
    program = "import sys, treadle.gateways.journals; assert not {'sqlite3', 'eventsourcing'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
