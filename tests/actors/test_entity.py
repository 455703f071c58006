"""An entity keeps what is recorded while it reads its stream again."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from treadle.actors import entity as entity_module
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.entity import Entity
from treadle.actors.memory import FOLD
from treadle.events.envelope import Meta, Position, Recorded, StreamName
from treadle.events.journal import Append
from treadle.events.memory import BlockUpdated, Memory
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Submission

STREAM = StreamName("memory-alice")


class PausingJournal(MemoryJournal):
    """A journal whose reads of a stream wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        page = await super().read(stream, after, limit)
        self.reading.set()
        await self.go_on.wait()
        return page


def block(name: str) -> BlockUpdated:
    return BlockUpdated(name=name, content="set")


def entity(journal: MemoryJournal) -> Entity[Memory]:
    return Entity(journal, SYSTEM_CLOCK, STREAM, FOLD, Meta(user_id="alice", epoch=1))


async def test_what_is_recorded_during_a_load_is_in_the_state_after_it() -> None:
    journal = PausingJournal()
    mine = entity(journal)
    mine.record([block("first")])
    journal.go_on.clear()
    loading = asyncio.create_task(mine.load())
    await journal.reading.wait()

    mine.record([block("second")])
    assert list(mine.state.blocks) == ["first", "second"]
    journal.go_on.set()
    await loading

    assert list(mine.state.blocks) == ["first", "second"]
    mine.record([block("third")])
    await mine.flush()
    assert (await journal.head(STREAM)).version == 3


async def test_what_is_on_disk_before_a_load_has_ended_is_in_the_state_after_it() -> None:
    journal = PausingJournal()
    mine = entity(journal)
    mine.record([block("first")])
    await mine.flush()
    journal.go_on.clear()
    loading = asyncio.create_task(mine.load())
    await journal.reading.wait()

    mine.record([block("second")])
    await mine.flush()
    journal.go_on.set()
    await loading

    assert list(mine.state.blocks) == ["first", "second"]
    assert mine.head == await journal.head(STREAM)


async def test_a_refresh_reads_what_another_writer_appended() -> None:
    journal = MemoryJournal()
    mine, other = entity(journal), entity(journal)
    mine.record([block("mine")])
    await mine.flush()
    await other.load()
    other.record([block("other")])
    await other.flush()

    await mine.refresh()

    assert list(mine.state.blocks) == ["mine", "other"]


async def test_a_refresh_of_a_stream_that_stands_still_reads_nothing() -> None:
    journal = PausingJournal()
    mine = entity(journal)
    mine.record([block("mine")])
    await mine.flush()

    await mine.refresh()

    assert not journal.reading.is_set()


async def test_a_decision_that_is_made_anew_after_a_conflict_keeps_its_cause_and_the_new_epoch() -> None:
    journal = MemoryJournal()
    mine, other = entity(journal), entity(journal)
    bob = Meta(user_id="bob", run_id="r2", causation_id="c2", epoch=99)

    await mine.load()
    await other.commit(lambda state: [block("theirs")], Meta(user_id="alice", run_id="r1", causation_id="c1"))
    await mine.commit(lambda state: [block("mine")] if "theirs" in state.blocks else [block("too early")], bob)

    told = [(event.user_id, event.run_id, event.causation_id, event.epoch) for event in await journal.read(STREAM)]
    assert told == [("alice", "r1", "c1", 1), ("bob", "r2", "c2", 2)]


async def test_a_decision_that_waits_for_another_leaves_it_its_cause() -> None:
    journal = PausingJournal()
    mine, other = entity(journal), entity(journal)
    await mine.load()
    await other.commit(lambda _: [block("theirs")], Meta(run_id="r1"))
    journal.go_on.clear()
    journal.reading.clear()
    first = asyncio.create_task(mine.commit(lambda _: [block("first")], Meta(run_id="r2")))
    await journal.reading.wait()  # after the conflict
    second = asyncio.create_task(mine.commit(lambda _: [block("second")], Meta(run_id="r3")))
    await asyncio.sleep(0)
    journal.go_on.set()
    await asyncio.gather(first, second)

    told = [(event.event, event.run_id) for event in await journal.read(STREAM)]
    assert told == [(block("theirs"), "r1"), (block("first"), "r2"), (block("second"), "r3")]


class BusyJournal(MemoryJournal):
    """A journal during whose commits something else happens: `meanwhile`, once."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], None]] = []

    def submit(self, *appends: Append) -> Submission:
        pending = super().submit(*appends)
        return AwaitedLater(pending, self.meanwhile.pop()) if self.meanwhile else pending


class AwaitedLater(Submission):
    __slots__ = ("_meanwhile", "_pending")

    def __init__(self, pending: Submission, meanwhile: Callable[[], None]) -> None:
        super().__init__(pending.ids, pending.changes, pending.rows)
        self._pending = pending
        self._meanwhile = meanwhile

    def __await__(self) -> Generator[Any, None, Position]:
        self._meanwhile()
        return (yield from self._pending.__await__())


async def test_a_snapshot_has_nothing_that_is_not_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity_module, "SNAPSHOT_EVERY", 1)
    journal = BusyJournal()
    mine = entity(journal)
    journal.meanwhile.append(lambda: mine.record([block("second")]))
    mine.record([block("first")])
    await mine.flush()
    assert await journal.load_snapshot(STREAM, FOLD.snapshot) is None

    await mine.flush()
    snapshot = await journal.load_snapshot(STREAM, FOLD.snapshot)
    assert snapshot is not None
    assert snapshot.head.version == 2
