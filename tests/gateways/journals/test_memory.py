"""The memory journal keeps the contract, and forgets what has finished."""

from collections.abc import AsyncIterator, Callable

import pytest
from contracts.journal import BudgetReserved, CallRequested, JournalContract, RunClosed, append, calls
from contracts.memory_damage import damage_memory

from treadle.events.envelope import EMPTY, Head, Recorded
from treadle.events.errors import VersionConflict
from treadle.events.journal import BLOB_LIMIT_BYTES, Journal, Snapshot
from treadle.gateways.journals.memory import MemoryJournal

CLOSING = {"testing.run_closed"}


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> AsyncIterator[Journal]:
        journal = MemoryJournal()
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_memory(journal, stream, version, change)


async def test_a_submission_is_stored_when_submit_returns() -> None:
    journal = MemoryJournal()
    pending = journal.submit(append("run-1", EMPTY, *calls("a")))
    assert pending.done
    assert pending.position == 1


async def test_runs_that_finished_first_are_forgotten_first() -> None:
    journal = MemoryJournal(max_finished_runs=2, closing_types=CLOSING)
    for run in ("b", "a", "c"):
        await journal.append(append(f"run-{run}", EMPTY, *calls("x"), RunClosed()))
    assert await journal.read("run-b") == []
    assert await journal.head("run-b") == EMPTY
    assert [len(await journal.read(f"run-{run}")) for run in ("a", "c")] == [2, 2]
    assert [event.position for event in await journal.read_all()] == [3, 4, 5, 6]
    assert await journal.last_position() == 6


async def test_what_is_open_is_never_forgotten() -> None:
    journal = MemoryJournal(max_finished_runs=0, max_bytes=0, closing_types=CLOSING)
    await journal.append(append("run-open", EMPTY, *calls("x")))
    await journal.append(append("run-done", EMPTY, *calls("x"), RunClosed()))
    assert len(await journal.read("run-open")) == 1
    assert await journal.read("run-done") == []


async def test_a_run_that_goes_on_after_its_end_is_open_again() -> None:
    journal = MemoryJournal(max_finished_runs=1, closing_types=CLOSING)
    await journal.append(append("run-1", EMPTY, RunClosed()))
    await journal.append(append("run-1", await journal.head("run-1"), *calls("resumed")))
    for run in (2, 3):
        await journal.append(append(f"run-{run}", EMPTY, RunClosed()))
    assert [len(await journal.read(f"run-{run}")) for run in (1, 2, 3)] == [2, 0, 1]


async def test_a_size_bounds_what_is_kept_of_finished_runs() -> None:
    journal = MemoryJournal(max_bytes=100_000, closing_types=CLOSING)
    for run in range(50):
        await journal.append(append(f"run-{run}", EMPTY, CallRequested("a", {"text": "x" * 10_000}), RunClosed()))
    assert journal.size_bytes <= 100_000
    assert len(await journal.read("run-49")) == 2
    assert await journal.read("run-0") == []


async def test_a_stream_may_go_with_the_run_it_served() -> None:
    def session_of(closing: Recorded) -> list[str]:
        return [f"session-{closing.session_id}"] if closing.user_id == "alice" else []

    journal = MemoryJournal(max_finished_runs=0, closing_types=CLOSING, also_forget=session_of)
    await journal.append(append("session-conv-42", EMPTY, *calls("prompt")))
    await journal.append(append("run-1", EMPTY, RunClosed()))
    assert await journal.read_all() == []


async def test_forgetting_takes_all_that_belongs_to_a_stream() -> None:
    journal = MemoryJournal()
    large = CallRequested("a", {"text": "x" * BLOB_LIMIT_BYTES})
    for run in (1, 2):
        await journal.append(append(f"run-{run}", EMPTY, large))
        await journal.save_snapshot(Snapshot(f"run-{run}", await journal.head(f"run-{run}"), "run/1", b"s" * 100))
    journal.forget("run-1")
    assert (await journal.read("run-2"))[0].event == large
    assert await journal.load_snapshot("run-1", "run/1") is None
    journal.forget("run-2")
    assert journal.size_bytes == 0
    journal.forget("run-2")


async def test_a_forgotten_stream_starts_anew_and_conflicts_with_what_it_was() -> None:
    journal = MemoryJournal()
    pending = journal.submit(append("run-1", EMPTY, *calls("a")))
    journal.forget("run-1")
    with pytest.raises(VersionConflict):
        await journal.append(append("run-1", pending.heads[0], *calls("b")))
    assert await journal.append(append("run-1", EMPTY, *calls("c"))) == 2


async def test_a_hundred_thousand_runs_stay_bounded() -> None:
    journal = MemoryJournal(max_finished_runs=100, closing_types=CLOSING)
    head = EMPTY
    for run in range(100_000):
        journal.submit(append(f"run-{run}", EMPTY, BudgetReserved(tokens=run), RunClosed()))
        if run % 1_000 == 0:
            pending = journal.submit(append("session-old", head, *calls(str(run))))
            head = pending.heads[0]
    assert len(await journal.read("session-old")) == 100
    assert isinstance(head, Head)
    recorder = journal._recorder  # pyright: ignore[reportPrivateUsage]
    assert len(recorder) == 300
    assert len(recorder._log) < 4_000  # pyright: ignore[reportPrivateUsage]
    assert journal.size_bytes < 300 * 1_000
    assert await journal.last_position() == 200_100
