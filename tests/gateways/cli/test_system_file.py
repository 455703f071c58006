"""Finding the system that runs: true while its process lives, and not a moment longer."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from treadle.events.errors import ConfigError
from treadle.gateways.cli.place import DEFAULT_JOURNAL, Place
from treadle.gateways.cli.system_file import SystemFile, claim, is_running, read, write, write_stopped

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = SystemFile(4711, "nats://127.0.0.1:4222", "sqlite:/runs.db", "night", NOW, agents=("desk",))


def place(directory: Path, notes: list[str], journal: str = "", nats: str = "") -> Place:
    return Place(journal, nats, directory, "", notes.append)


def test_a_directory_without_a_system_has_defaults(tmp_path: Path) -> None:
    notes: list[str] = []
    here = place(tmp_path, notes)
    assert (here.running, here.nats, here.journal) == (None, None, DEFAULT_JOURNAL)
    with pytest.raises(ConfigError, match="no system runs in"):
        _ = here.nats_url
    assert not notes


def test_a_running_system_is_found_without_flags(tmp_path: Path) -> None:
    with claim(tmp_path):
        write(tmp_path, HERE)
        here = place(tmp_path, [])
        assert here.running == HERE
        assert (here.nats, here.journal, here.subjects.namespace) == (HERE.nats, HERE.journal, "night")


def test_what_is_given_wins_over_what_the_system_says(tmp_path: Path) -> None:
    with claim(tmp_path):
        write(tmp_path, HERE)
        here = place(tmp_path, [], "sqlite:other.db", "nats://elsewhere:1")
        assert (here.nats, here.journal) == ("nats://elsewhere:1", "sqlite:other.db")


def test_a_dead_system_is_ignored_and_said_to_be_dead_once(tmp_path: Path) -> None:
    with claim(tmp_path):
        write(tmp_path, HERE)
    notes: list[str] = []
    here = place(tmp_path, notes)
    assert here.running is None
    assert here.nats is None
    assert notes == [f"the system in {tmp_path} (process 4711) is dead; going on without it"]
    assert here.journal == HERE.journal


def test_a_system_that_was_stopped_is_no_news(tmp_path: Path) -> None:
    with claim(tmp_path):
        write_stopped(tmp_path, HERE, NOW)
    notes: list[str] = []
    here = place(tmp_path, notes)
    assert (here.running, here.journal, notes) == (None, HERE.journal, [])


def test_two_systems_cannot_share_a_directory(tmp_path: Path) -> None:
    with claim(tmp_path):
        write(tmp_path, HERE)
        assert is_running(tmp_path)
        with pytest.raises(ConfigError, match="a system that runs \\(process 4711\\)"), claim(tmp_path):
            raise AssertionError
    assert not is_running(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text("{")
    with pytest.raises(ConfigError, match=r"system\.json cannot be read"):
        read(tmp_path)
