"""Any sequence of appends, conflicts, restarts and reads, against a dict of lists."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contracts.journal import append, calls
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from treadle.events.envelope import EMPTY, Head, verify_chain
from treadle.events.errors import VersionConflict
from treadle.events.journal import Journal, Pending
from treadle.events.verify import verify
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.sqlite import SqliteJournal

STREAMS = ("run-1", "run-2", "budget-alice", "run")

streams = st.sampled_from(STREAMS)
call_ids = st.lists(st.text(max_size=5), max_size=3)


class JournalMachine(RuleBasedStateMachine):
    """The model: what each stream holds, its head, and the order of the log."""

    heads = Bundle("heads")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stored: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        self.ends: dict[str, Head] = dict.fromkeys(STREAMS, EMPTY)
        self.log: list[tuple[str, str]] = []
        self.pending: list[tuple[Pending, bool]] = []
        self.journal: Journal

    async def open(self) -> Journal:
        return MemoryJournal()

    @initialize(target=heads)
    def start(self) -> Any:
        self.journal = self.runner.run(self.open())
        return EMPTY

    def _submit(self, *parts: tuple[str, Head, list[str]]) -> Pending:
        """Submit, and do the same to the model."""

        async def submit() -> Pending:
            return self.journal.submit(*[append(stream, head, *calls(*ids)) for stream, head, ids in parts])

        pending = self.runner.run(submit())
        ends = dict(self.ends)
        fits = True
        for (stream, head, _), after in zip(parts, pending.heads, strict=True):
            fits = fits and ends[stream] == head
            ends[stream] = after
        if fits:
            self.ends = ends
            for stream, _, ids in parts:
                self.stored[stream] += ids
                self.log += [(stream, id) for id in ids]
        self.pending.append((pending, fits))
        return pending

    @rule(target=heads, stream=streams, ids=call_ids)
    def append_to_the_end(self, stream: str, ids: list[str]) -> Any:
        return self._submit((stream, self.ends[stream], ids)).heads[0]

    @rule(target=heads, stream=streams, head=heads, ids=call_ids)
    def append_to_some_head(self, stream: str, head: Head, ids: list[str]) -> Any:
        return self._submit((stream, head, ids)).heads[0]

    @rule(target=heads, first=streams, second=streams, head=heads, ids=call_ids)
    def append_to_two_streams(self, first: str, second: str, head: Head, ids: list[str]) -> Any:
        return multiple(*self._submit((first, self.ends[first], ids), (second, head, ids)).heads)

    @rule()
    def settle(self) -> None:
        async def settle() -> None:
            for pending, fits in self.pending:
                try:
                    await pending
                    assert fits, pending
                except VersionConflict:
                    assert not fits, pending

        self.runner.run(settle())
        self.pending.clear()

    @rule(stream=streams, after=st.integers(0, 6), limit=st.none() | st.integers(0, 4))
    def read_a_stream(self, stream: str, after: int, limit: int | None) -> None:
        self.settle()
        events = self.runner.run(self._read(stream, after, limit))
        assert events == self.stored[stream][after : None if limit is None else after + limit]

    async def _read(self, stream: str, after: int = 0, limit: int | None = None) -> list[str]:
        return [getattr(event.event, "call_id", "?") for event in await self.journal.read(stream, after, limit)]

    @rule(limit=st.integers(1, 5), category=st.sampled_from(["", "run", "budget", "none"]))
    def page_through_the_log(self, limit: int, category: str) -> None:
        self.settle()

        async def page() -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            after = 0
            while events := await self.journal.read_all(after, limit, category=category):
                found += [(event.stream, getattr(event.event, "call_id", "?")) for event in events]
                assert after < events[0].position
                after = events[-1].position
            return found

        wanted = [(stream, id) for stream, id in self.log if category in ("", stream.partition("-")[0])]
        assert self.runner.run(page()) == wanted

    @invariant()
    def nothing_is_wrong(self) -> None:
        if self.pending or not hasattr(self, "journal"):
            return

        async def check() -> None:
            assert await verify(self.journal, {s: head for s, head in self.ends.items() if head.version}) == []
            for stream in STREAMS:
                assert await self.journal.head(stream) == self.ends[stream]
                assert verify_chain(await self.journal.read(stream)) == self.ends[stream]

        self.runner.run(check())

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.runner.run(self.journal.close())
        self.runner.close()


class SqliteMachine(JournalMachine):
    """The same on a file, which is closed and opened again in between."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()

    async def open(self) -> Journal:
        return await SqliteJournal.open(Path(self.directory.name) / "runs.db")

    @rule()
    def restart(self) -> None:
        self.runner.run(self.journal.close())
        self.journal = self.runner.run(self.open())
        self.settle()

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


TestMemoryJournal = JournalMachine.TestCase
TestMemoryJournal.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSqliteJournal = SqliteMachine.TestCase
TestSqliteJournal.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
