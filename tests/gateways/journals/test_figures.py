"""Figures of a journal: counted when it is small, estimated when it is large, and cheap in both cases."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from archiving import archive_all
from contracts.journal import META, NOW, CallRequested, append, calls

from treadle.events.envelope import EMPTY, StreamName
from treadle.events.journal import Append, Journal
from treadle.gateways.journals import figures, open_journal
from treadle.gateways.journals.figures import CategoryFigures, journal_figures


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "postgres":
            return str(request.getfixturevalue("postgres_url"))
        case "sqlite":
            return f"sqlite:{tmp_path / 'runs.db'}"
        case _:
            return "memory"


@pytest.fixture
async def journal(spec: str) -> AsyncIterator[Journal]:
    journal = await open_journal(spec)
    yield journal
    await journal.close()


async def test_an_empty_journal_has_no_figures(journal: Journal) -> None:
    found = await journal_figures(journal, NOW)
    assert (found.exact, found.events, found.size_bytes, found.new_events, found.categories) == (True, 0, 0, 0, {})


async def test_a_small_journal_is_counted(journal: Journal) -> None:
    for run in range(3):
        await journal.append(append(f"run-{run}", EMPTY, *calls("a", "b")))
    await journal.append(append("session-1", EMPTY, *calls("a")))
    found = await journal_figures(journal, NOW + timedelta(hours=1))
    sizes = [len(event.stored) for event in await journal.read_all()]
    assert found.exact
    assert found.categories == {
        "run": CategoryFigures(streams=3, events=6, size_bytes=sum(sizes[:6])),
        "session": CategoryFigures(streams=1, events=1, size_bytes=sizes[6]),
    }
    assert (found.events, found.size_bytes) == (7, sum(sizes))
    assert (found.new_events, found.new_bytes) == (7, sum(sizes))
    assert found.categories["run"].events_per_stream == 2
    assert found.categories["run"].bytes_per_stream == sum(sizes[:6]) / 3


async def test_growth_is_what_came_since(journal: Journal) -> None:
    for number in range(40):
        at = NOW + timedelta(hours=number)
        await journal.append(Append(StreamName(f"run-{number}"), EMPTY, calls("a"), META, at))
    now = NOW + timedelta(hours=39)
    assert (await journal_figures(journal, now)).new_events == 25  # that of a day ago among them
    assert (await journal_figures(journal, now, timedelta(hours=3))).new_events == 4
    assert (await journal_figures(journal, now, timedelta(days=3))).new_events == 40
    assert (await journal_figures(journal, now + timedelta(days=3))).new_events == 0


@pytest.mark.parametrize("spec", ["sqlite", "postgres"], indirect=True)
async def test_a_large_journal_is_estimated(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SAMPLES", 200)
    for number in range(150):
        await journal.append(append(f"run-{number}", EMPTY, *calls(*"abcde")))
        await journal.append(append(f"session-{number}", EMPTY, CallRequested("a", {"text": "x" * 500})))
    found = await journal_figures(journal, NOW)
    assert not found.exact
    assert found.events == pytest.approx(900, rel=0.01)
    assert found.categories["run"].streams == pytest.approx(150, rel=0.25)
    assert found.categories["run"].events == pytest.approx(750, rel=0.1)
    assert found.categories["session"].bytes_per_stream == pytest.approx(1060, rel=0.05)
    assert found.database_bytes > found.size_bytes


@pytest.mark.parametrize("spec", ["sqlite", "postgres"], indirect=True)
async def test_what_was_archived_is_counted_apart(
    spec: str, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SAMPLES", 20)
    for number in range(100):
        await journal.append(append(f"run-{number}", EMPTY, *calls("a", "b")))
    await archive_all(spec, tmp_path / "archives")
    found = await journal_figures(journal, NOW)
    assert (found.exact, found.events) == (True, 4)
    assert (found.archived.archives, found.archived.streams, found.archived.events) == (1, 98, 196)
    assert found.archived.size_bytes < found.archived.raw_bytes
    assert found.new_events == 200
