"""A journal reads equal to one that was never archived, whatever moves and whenever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import uuid4

import pytest
from archiving import Meanwhile, archive_all, everything
from contracts.journal import JournalContract, append, calls
from contracts.row_damage import damage_in_sqlite
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from postgres import PostgresServer

from treadle.actors.clock import SystemClock
from treadle.events.envelope import EMPTY, Head, Recorded
from treadle.events.errors import VersionConflict
from treadle.events.journal import BLOB_LIMIT_BYTES, Journal
from treadle.events.verify import verify
from treadle.gateways.archives.postgres import PostgresCatalog
from treadle.gateways.archives.read_through import ReadThrough
from treadle.gateways.archives.sqlite import SqliteCatalog
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.postgres import PostgresJournal
from treadle.gateways.journals.sqlite import SqliteJournal

STREAMS = ("session-1", "run-1", "run-2", "run-3", "run", "budget-alice")
streams = st.sampled_from(STREAMS)


class CountingClock(SystemClock):
    """The same ids each time."""

    def __init__(self) -> None:
        super().__init__()
        self._count = count(1)

    def new_ids(self, count: int) -> list[str]:
        return [f"id-{next(self._count)}" for _ in range(count)]


class Archived:
    """A journal in a file, whose streams may be archived between any two looks at it."""

    into: Path | None = None
    meanwhile: Meanwhile

    def __init__(self, directory: Path) -> None:
        self.clock = CountingClock()
        self.at_work = asyncio.Lock()
        self.directory = directory
        self.spec = f"sqlite:{directory / 'runs.db'}"

    async def open(self) -> Journal:
        journal = await SqliteJournal.open(self.directory / "runs.db", clock=self.clock)
        self.meanwhile = Meanwhile(journal)
        return ReadThrough(cast(Journal, self.meanwhile), SqliteCatalog(journal.reader, journal.path))

    async def archive(self) -> None:
        async with self.at_work:
            await archive_all(self.spec, self.into, file_bytes=1500)


class ArchivedInPostgres(Archived):
    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory)
        self.spec, self.into = url, directory / "archives"

    async def open(self) -> Journal:
        journal = await PostgresJournal.open(self.spec, clock=self.clock)
        self.meanwhile = Meanwhile(journal)
        return ReadThrough(cast(Journal, self.meanwhile), PostgresCatalog(journal.reader))


class ArchivingMachine(RuleBasedStateMachine):
    """The model: the same done to a journal that is never archived."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = TemporaryDirectory()
        self.model = MemoryJournal(clock=CountingClock())
        self.archived = self.place(Path(self.directory.name))
        self.journal: Journal

    def place(self, directory: Path) -> Archived:
        return Archived(directory)

    @initialize()
    def start(self) -> None:
        self.journal = self.runner.run(self.archived.open())

    def same(self, ask: Callable[[Journal], Awaitable[Any]]) -> None:
        async def both() -> tuple[Any, Any]:
            return await _told(ask, self.journal), await _told(ask, self.model)

        found, expected = self.runner.run(both())
        assert found == expected

    @rule(stream=streams, ids=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4), fit=st.booleans())
    def append_to_the_end_or_to_its_beginning(self, stream: str, ids: list[str], fit: bool) -> None:
        async def write(journal: Journal) -> object:
            head = await journal.head(stream) if fit else EMPTY
            return await journal.append(append(stream, head, *calls(*ids)))

        self.same(write)

    @rule(stream=streams)
    def append_a_large_payload(self, stream: str) -> None:
        async def write(journal: Journal) -> object:
            return await journal.append(append(stream, await journal.head(stream), *calls("x" * BLOB_LIMIT_BYTES)))

        self.same(write)

    @rule(stream=streams, other=streams, version=st.integers(1, 4))
    def append_to_an_old_head(self, stream: str, other: str, version: int) -> None:
        self.same(
            lambda journal: journal.append(
                append(other, Head(version, "f" * 64), *calls("x")), append(stream, EMPTY, *calls("x"))
            )
        )

    @rule()
    def archive(self) -> None:
        self.runner.run(self.archived.archive())

    @rule()
    def archive_during_each_look(self) -> None:
        self.archived.meanwhile.happens = self.archived.archive

    @rule()
    def leave_it_alone(self) -> None:
        self.archived.meanwhile.happens = None

    @rule(stream=streams, after=st.integers(0, 6), limit=st.none() | st.integers(0, 4))
    def read_a_stream(self, stream: str, after: int, limit: int | None) -> None:
        self.same(lambda journal: journal.read(stream, after, limit))

    @rule(limit=st.integers(1, 7), category=st.sampled_from(["", "run", "budget", "none"]), after=st.integers(0, 30))
    def page_through_the_log(self, limit: int, category: str, after: int) -> None:
        async def page(journal: Journal) -> list[Recorded]:
            found: list[Recorded] = []
            at = after
            while events := await journal.read_all(at, limit, category=category):
                assert len(events) <= limit
                assert at < events[0].position
                found += events
                at = events[-1].position
            return found

        self.same(page)

    @rule(after=st.integers(0, 30))
    def wait(self, after: int) -> None:
        self.same(lambda journal: journal.wait(after, 0.0))

    @rule()
    def restart(self) -> None:
        self.runner.run(self.journal.close())
        self.journal = self.runner.run(self.archived.open())

    @invariant()
    def all_is_the_same(self) -> None:
        if not hasattr(self, "journal"):
            return
        self.same(lambda journal: journal.last_position())
        for stream in STREAMS:
            self.same(lambda journal, stream=stream: journal.head(stream))  # type: ignore[misc]
            self.same(lambda journal, stream=stream: journal.read(stream))  # type: ignore[misc]
        self.same(everything)
        assert self.runner.run(verify(self.journal)) == []

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.runner.run(self.journal.close())
        self.runner.close()
        self.directory.cleanup()


async def _told(ask: Callable[[Journal], Awaitable[Any]], journal: Journal) -> object:
    try:
        found: object = await ask(journal)
    except VersionConflict as exc:
        return str(exc)
    return list(cast("list[object]", found)) if isinstance(found, list | tuple) else found


def test_any_appends_and_archivings_of_a_file_read_as_if_nothing_had_moved() -> None:
    run_state_machine_as_test(
        ArchivingMachine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None)
    )


def test_any_appends_and_archivings_on_postgresql_read_as_if_nothing_had_moved(
    postgres_server: PostgresServer,
) -> None:
    class PostgresMachine(ArchivingMachine):
        def place(self, directory: Path) -> Archived:
            self.name = f"test_{uuid4().hex}"
            postgres_server.execute(f"CREATE DATABASE {self.name}")
            return ArchivedInPostgres(directory, postgres_server.url(self.name))

        def teardown(self) -> None:
            super().teardown()
            postgres_server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    run_state_machine_as_test(PostgresMachine, settings=settings(max_examples=6, stateful_step_count=10, deadline=None))


READS: dict[str, Callable[[Journal], Awaitable[Any]]] = {
    "the head": lambda journal: journal.head("run-2"),
    "a stream": lambda journal: journal.read("run-2"),
    "a stream with a part in an archive": lambda journal: journal.read("run-1"),
    "a part of that": lambda journal: journal.read("run-1", 1, 2),
    "a page": lambda journal: journal.read_all(3, 9),
    "a page to the end": lambda journal: journal.read_all(0),
    "a category": lambda journal: journal.read_all(0, category="run"),
    "the rest of a category": lambda journal: journal.read_all(5, category="run"),
}


@pytest.mark.parametrize("name", READS)
async def test_streams_that_move_between_two_looks_are_neither_missed_nor_met_twice(name: str, tmp_path: Path) -> None:
    read = READS[name]
    for moment in range(6):
        (directory := tmp_path / str(moment)).mkdir()
        archived = Archived(directory)
        journal = await archived.open()
        for stream in ("session-1", "run-1", "run-2"):
            await journal.append(append(stream, EMPTY, *calls("a", "b")))
        await archived.archive()
        for stream in ("run-1", "run-2", "session-1", "run-3", "session-2"):
            await journal.append(append(stream, await journal.head(stream), *calls("c", "d")))
        expected = await read(journal)
        looks = count()

        async def once(looks: "count[int]" = looks, archived: Archived = archived, at: int = moment) -> None:
            if next(looks) == at:
                await archived.archive()

        archived.meanwhile.happens = once
        assert await read(journal) == expected, f"moved at moment {moment}"
        archived.meanwhile.happens = None
        assert await read(journal) == expected
        await journal.close()


class TestArchivedFile(JournalContract):
    """The contract, while an archiver is at work after every look."""

    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        archived = Archived(tmp_path)
        journal = await archived.open()
        archived.meanwhile.happens = archived.archive
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_in_sqlite(journal.name.removeprefix("sqlite:"), stream, version, change)
