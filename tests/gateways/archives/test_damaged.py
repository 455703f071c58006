"""An archive that is damaged or away is an error that says which, and what to do; the rest stays readable."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from archiving import archive_all, everything
from contracts.journal import append, calls

from treadle.events.envelope import EMPTY, Recorded
from treadle.events.errors import CorruptEvent, Unavailable
from treadle.events.verify import verify
from treadle.gateways.archives.catalog import Archive
from treadle.gateways.archives.read_through import ReadThrough
from treadle.gateways.journals import open_journal

Spoil = Callable[[Path, Archive], None]
RUNS = 12


@pytest.fixture(params=["sqlite", "postgres"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ReadThrough]:
    """Runs in two archives, and what stays: the streams of the first event and of the last."""
    postgres = request.param == "postgres"
    spec = request.getfixturevalue("postgres_url") if postgres else f"sqlite:{tmp_path / 'runs.db'}"
    journal = await open_journal(spec)
    assert isinstance(journal, ReadThrough)
    await journal.append(append("session-1", EMPTY, *calls("first")))
    # Interleaved, so that each block has something of each run.
    for step in range(4):
        for run in range(RUNS):
            head = await journal.head(f"run-{run}")
            await journal.append(append(f"run-{run}", head, *calls(f"{run}.{step}" * 400)))
    await journal.append(append("session-2", EMPTY, *calls("last")))
    await archive_all(spec, tmp_path / "archives", file_bytes=50_000)
    assert len(await journal.archives()) > 1
    yield journal
    await journal.close()


def flip_a_bit(path: Path, archive: Archive) -> None:
    changed = bytearray(path.read_bytes())
    changed[20] ^= 1
    path.write_bytes(changed)


def flip_a_bit_of_the_index(path: Path, archive: Archive) -> None:
    changed = bytearray(path.read_bytes())
    changed[archive.index_offset + 20] ^= 1
    path.write_bytes(changed)


def cut_off(path: Path, archive: Archive) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def remove(path: Path, archive: Archive) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [flip_a_bit, flip_a_bit_of_the_index, cut_off, remove])
async def test_a_damaged_archive_is_named_with_each_event_that_is_lost_and_the_rest_is_read(
    spoil: Spoil, journal: ReadThrough
) -> None:
    before = await everything(journal)
    archive = (await journal.archives())[0]
    inside = [event for event in before if event.position <= archive.last_position]
    lost = {event.position for event in inside if event.stream in _streams(archive, before)}
    kept, whole = archive.path, archive.path.read_bytes()
    spoil(kept, archive)
    fresh = ReadThrough(journal.journal, journal.catalog)  # what was read before is still at hand

    stream = _streams(archive, before)[0]
    with pytest.raises(CorruptEvent) as caught:
        await fresh.read(stream)
    assert (caught.value.stream, caught.value.version) == (stream, 1)
    for said in (repr(str(kept)), "SHA-256", "put a whole copy of that file back", stream):
        assert said in str(caught.value)
    digests = archive.sha256, archive.index_sha256
    assert spoil is flip_a_bit or any(digest in str(caught.value) for digest in digests)

    problems = await verify(fresh)
    assert {problem.position for problem in problems} >= lost
    found, errors = await _around(fresh)
    assert found == [event for event in before if event.position not in lost]
    assert errors == sorted(lost)

    kept.write_bytes(whole)
    assert await everything(fresh) == before
    assert await verify(fresh) == []


async def _around(journal: ReadThrough) -> tuple[list[Recorded], list[int]]:
    """All that can be read, and the positions of what cannot."""
    found: list[Recorded] = []
    errors: list[int] = []
    after = 0
    while True:
        try:
            page = await journal.read_all(after, 5)
        except CorruptEvent as exc:
            errors.append(exc.position)
            after = exc.position
            continue
        if not page:
            return found, errors
        found += page
        after = page[-1].position


def _streams(archive: Archive, events: list[Recorded]) -> list[str]:
    """The streams that ended in this archive: each archive has whole ones."""
    ends = {event.stream: event.position for event in events}
    return [stream for stream, end in ends.items() if end <= archive.last_position and stream.startswith("run-")]


async def test_a_directory_that_is_away_is_waited_for_and_nothing_is_skipped(journal: ReadThrough) -> None:
    before = await everything(journal)
    fresh = ReadThrough(journal.journal, journal.catalog)
    directory = (await fresh.archives())[0].path.parent
    away = directory.with_name("away")
    directory.rename(away)
    for empty in (False, True):
        if empty:
            directory.mkdir()  # where something is to be mounted
        for read in (fresh.read("run-1"), fresh.read_all(0)):
            with pytest.raises(Unavailable, match="mount") as caught:
                await read
            assert str(directory) in str(caught.value)
        assert [event.stream for event in await fresh.read("session-1")] == ["session-1"]
        assert (await fresh.head("run-1")).version == 4
    directory.rmdir()
    away.rename(directory)
    assert await everything(fresh) == before
