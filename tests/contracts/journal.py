"""What every journal promises. A backend's test is the fixture `journal`, the hook `damage`, and these."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from treadle.events.envelope import EMPTY, GENESIS, Head, Meta, StreamName, verify_chain
from treadle.events.errors import CorruptEvent, Unavailable, VersionConflict
from treadle.events.event import Event, UnknownEvent
from treadle.events.journal import BLOB_LIMIT_BYTES, Append, Journal, Pending, Snapshot
from treadle.events.verify import verify

NOW = datetime(2026, 5, 4, 12, 30, 15, 123456, tzinfo=UTC)
META = Meta(
    user_id="alice",
    session_id="conv-42",
    run_id="7f3a",
    correlation_id="signal-1",
    causation_id="message-9",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    epoch=3,
)


class CallRequested(Event, tag="testing.call_requested"):
    call_id: str
    arguments: dict[str, Any] = {}


class BudgetReserved(Event, tag="testing.budget_reserved"):
    tokens: int


class RunClosed(Event, tag="testing.run_closed"):
    answer: str = ""


def calls(*ids: str) -> list[CallRequested]:
    return [CallRequested(call_id=id) for id in ids]


def append(stream: str, head: Head, *events: Event, meta: Meta = META) -> Append:
    return Append(StreamName(stream), head, events, meta, NOW)


async def call_ids(journal: Journal, stream: str, after: int = 0, limit: int | None = None) -> list[str]:
    """The calls that a stream tells of."""
    events = [recorded.event for recorded in await journal.read(stream, after, limit)]
    return [event.call_id for event in events if isinstance(event, CallRequested)]


async def conflict(pending: Pending) -> VersionConflict:
    with pytest.raises(VersionConflict) as caught:
        await pending
    return caught.value


class JournalContract:
    """Inherit, and give the fixture `journal`: an empty, open journal that is closed afterwards."""

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        """Change a stored row behind the journal's back, or remove it when `change` is None."""
        raise NotImplementedError

    # Appending

    async def test_events_are_read_in_the_order_in_which_they_were_appended(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b")))
        await journal.append(append("run-1", await journal.head("run-1"), *calls("c")))
        assert await call_ids(journal, "run-1") == ["a", "b", "c"]
        assert [event.version for event in await journal.read("run-1")] == [1, 2, 3]

    async def test_the_whole_envelope_comes_back(self, journal: Journal) -> None:
        pending = journal.submit(append("run-1", EMPTY, BudgetReserved(tokens=500)))
        await pending
        (recorded,) = await journal.read("run-1")
        assert recorded.event == BudgetReserved(tokens=500)
        assert (recorded.stream, recorded.category, recorded.version) == ("run-1", "run", 1)
        assert (recorded.type, recorded.schema, recorded.at) == ("testing.budget_reserved", 1, NOW)
        assert [recorded.id] == list(pending.ids)
        assert (
            Meta(
                recorded.user_id,
                recorded.session_id,
                recorded.run_id,
                recorded.correlation_id,
                recorded.causation_id,
                recorded.traceparent,
                recorded.epoch,
            )
            == META
        )

    async def test_an_append_returns_the_position_of_its_last_event(self, journal: Journal) -> None:
        first = await journal.append(append("run-1", EMPTY, *calls("a", "b")))
        second = await journal.append(append("run-2", EMPTY, *calls("c")))
        assert [event.position for event in await journal.read("run-1")][-1] == first
        assert [event.position for event in await journal.read("run-2")] == [second]
        assert first < second == await journal.last_position()

    async def test_a_stream_is_chained_from_its_first_event(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b", "c")))
        events = await journal.read("run-1")
        assert events[0].prev_hash == GENESIS
        assert verify_chain(events) == await journal.head("run-1") == events[-1].head

    async def test_what_is_submitted_later_may_build_on_what_is_not_stored_yet(self, journal: Journal) -> None:
        first = journal.submit(append("run-1", EMPTY, *calls("a")))
        second = journal.submit(append("run-1", first.heads[0], *calls("b")))
        third = journal.submit(append("run-1", second.heads[0], *calls("c")))
        assert await first < await second < await third
        assert await call_ids(journal, "run-1") == ["a", "b", "c"]
        assert await journal.head("run-1") == third.heads[0]

    async def test_an_outcome_can_be_awaited_again(self, journal: Journal) -> None:
        stored = journal.submit(append("run-1", EMPTY, *calls("a")))
        refused = journal.submit(append("run-1", EMPTY, *calls("b")))
        assert await stored == await stored == stored.position
        assert str(await conflict(refused)) == str(await conflict(refused))

    async def test_awaiting_a_known_outcome_does_not_suspend(self, journal: Journal) -> None:
        pending = journal.submit(append("run-1", EMPTY, *calls("a")))
        position = await pending
        assert pending.done
        with pytest.raises(StopIteration) as returned:
            next(pending.__await__())
        assert returned.value.value == position

    async def test_several_tasks_may_await_one_outcome(self, journal: Journal) -> None:
        pending = journal.submit(append("run-1", EMPTY, *calls("a")))

        async def wait() -> int:
            return await pending

        assert len(set(await asyncio.gather(*[wait() for _ in range(5)]))) == 1

    async def test_an_event_that_cannot_be_encoded_is_refused_at_once_and_queues_nothing(
        self, journal: Journal
    ) -> None:
        with pytest.raises(TypeError):
            journal.submit(append("run-1", EMPTY, *calls("a"), CallRequested("b", {"when": object()})))
        with pytest.raises(TypeError, match="no tag"):
            journal.submit(append("run-1", EMPTY, Event()))
        await journal.append(append("run-2", EMPTY, *calls("c")))
        assert await journal.read("run-1") == []

    # Conflicts

    async def test_an_append_on_an_old_head_conflicts_and_stores_nothing(self, journal: Journal) -> None:
        first = journal.submit(append("run-1", EMPTY, *calls("a", "b", "c")))
        await first
        old = (await journal.read("run-1"))[0].head
        found = await conflict(journal.submit(append("run-1", old, *calls("x"))))
        assert (found.stream, found.expected, found.found) == ("run-1", 1, 3)
        assert await call_ids(journal, "run-1") == ["a", "b", "c"]

    async def test_a_new_stream_that_exists_already_conflicts(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        found = await conflict(journal.submit(append("run-1", EMPTY, *calls("x"))))
        assert (found.expected, found.found) == (0, 1)
        assert await call_ids(journal, "run-1") == ["a"]

    async def test_an_append_ahead_of_its_stream_conflicts_and_leaves_no_hole(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        found = await conflict(journal.submit(append("run-1", Head(4, "f" * 64), *calls("x"))))
        assert (found.expected, found.found) == (4, 1)
        await conflict(journal.submit(append("run-2", Head(4, "f" * 64), *calls("x"))))
        assert await journal.head("run-2") == EMPTY

    async def test_another_event_at_the_same_version_conflicts(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("theirs")))
        await conflict(journal.submit(append("run-1", Head(1, "f" * 64), *calls("x"))))
        assert await call_ids(journal, "run-1") == ["theirs"]

    async def test_what_builds_on_a_failed_submission_fails_too(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("theirs")))
        failed = journal.submit(append("run-1", EMPTY, *calls("ours")))
        follower = journal.submit(append("run-1", failed.heads[0], *calls("more of ours")))
        last = journal.submit(append("run-1", follower.heads[0], *calls("and more")))
        for pending in (failed, follower, last):
            await conflict(pending)
        assert await call_ids(journal, "run-1") == ["theirs"]

    async def test_a_conflict_fails_nobody_else(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        pendings = [journal.submit(append(f"run-{n}", EMPTY, *calls("x"))) for n in (2, 1, 3, 1, 4)]
        outcomes = await asyncio.gather(*[_outcome(pending) for pending in pendings])
        assert [isinstance(outcome, VersionConflict) for outcome in outcomes] == [False, True, False, True, False]
        assert [len(await journal.read(f"run-{n}")) for n in (1, 2, 3, 4)] == [1, 1, 1, 1]

    async def test_appends_of_one_submission_are_stored_together(self, journal: Journal) -> None:
        pending = journal.submit(
            append("run-1", EMPTY, *calls("a")), append("budget-alice", EMPTY, BudgetReserved(tokens=10))
        )
        await pending
        assert [await journal.head("run-1"), await journal.head("budget-alice")] == list(pending.heads)

    async def test_a_conflict_in_one_stream_leaves_all_streams_of_the_submission_alone(self, journal: Journal) -> None:
        await journal.append(append("budget-alice", EMPTY, BudgetReserved(tokens=10)))
        for appends in (
            [append("run-1", EMPTY, *calls("a")), append("budget-alice", EMPTY, BudgetReserved(tokens=1))],
            [append("budget-alice", EMPTY, BudgetReserved(tokens=1)), append("run-1", EMPTY, *calls("a"))],
        ):
            assert (await conflict(journal.submit(*appends))).stream == "budget-alice"
            assert await journal.head("run-1") == EMPTY
        assert len(await journal.read("budget-alice")) == 1

    async def test_an_append_without_events_only_asks_for_its_head(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        head = await journal.head("run-1")
        await journal.append(append("run-1", head), append("run-2", EMPTY, *calls("b")))
        await conflict(journal.submit(append("run-1", EMPTY), append("run-3", EMPTY, *calls("c"))))
        assert [await call_ids(journal, f"run-{n}") for n in (1, 2, 3)] == [["a"], ["b"], []]

    async def test_of_many_racing_writers_each_version_has_one_winner(self, journal: Journal) -> None:
        async def write(name: str) -> int:
            won = 0
            for attempt in range(10):
                head = await journal.head("run-1")
                outcome = await _outcome(journal.submit(append("run-1", head, *calls(f"{name}{attempt}"))))
                won += not isinstance(outcome, VersionConflict)
            return won

        won = sum(await asyncio.gather(*[write(name) for name in "abcdefgh"]))
        events = await journal.read("run-1")
        assert [event.version for event in events] == list(range(1, won + 1))
        verify_chain(events)

    async def test_many_tasks_append_without_holes_or_doubles(self, journal: Journal) -> None:
        async def write(run: int) -> None:
            head = EMPTY
            for call in range(10):
                pending = journal.submit(append(f"run-{run}", head, *calls(f"{call}", f"{call}+")))
                await pending
                head = pending.heads[0]

        await asyncio.gather(*[write(run) for run in range(40)])
        positions: list[int] = []
        for run in range(40):
            events = await journal.read(f"run-{run}")
            verify_chain(events)
            assert len(events) == 20
            positions += [event.position for event in events]
        assert sorted(positions) == [event.position for event in await journal.read_all(limit=1000)]
        assert len(set(positions)) == 800

    # Reading

    async def test_a_stream_that_never_was_is_empty(self, journal: Journal) -> None:
        assert await journal.read("run-1") == []
        assert await journal.head("run-1") == EMPTY
        assert await journal.read_all() == []
        assert await journal.last_position() == 0

    async def test_reading_starts_after_a_version_and_stops_at_a_limit(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b", "c", "d")))
        assert await call_ids(journal, "run-1", after=1) == ["b", "c", "d"]
        assert await call_ids(journal, "run-1", after=1, limit=2) == ["b", "c"]
        assert await call_ids(journal, "run-1", after=4) == []
        assert await call_ids(journal, "run-1", limit=0) == []

    async def test_a_long_stream_is_read_whole(self, journal: Journal) -> None:
        ids = [str(n) for n in range(700)]
        await journal.append(append("run-1", EMPTY, *calls(*ids)))
        assert await call_ids(journal, "run-1") == ids
        assert await call_ids(journal, "run-1", after=100, limit=500) == ids[100:600]

    async def test_pages_of_the_log_meet_every_event_once_in_order(self, journal: Journal) -> None:
        for n in range(30):
            await journal.append(append(f"run-{n % 3}", await journal.head(f"run-{n % 3}"), *calls(f"{n}", f"{n}+")))
        met: list[str] = []
        position = 0
        while page := await journal.read_all(position, 7):
            assert [event.position for event in page] == sorted(event.position for event in page)
            met += [event.event.call_id for event in page if isinstance(event.event, CallRequested)]
            position = page[-1].position
        assert met == [id for n in range(30) for id in (f"{n}", f"{n}+")]

    async def test_a_category_is_what_stands_before_the_first_hyphen(self, journal: Journal) -> None:
        for stream in ("run-1", "runner-1", "run", "session-run-1", "run-x-y", "ru-1", "run.1"):
            await journal.append(append(stream, EMPTY, *calls(stream)))
        found = [event.stream for event in await journal.read_all(category="run")]
        assert found == ["run-1", "run", "run-x-y"]
        assert [event.stream for event in await journal.read_all(0, 2, category="run")] == found[:2]

    async def test_a_large_payload_is_kept_beside_its_event(self, journal: Journal) -> None:
        text = "é" * BLOB_LIMIT_BYTES
        await journal.append(append("run-1", EMPTY, *calls("a"), CallRequested("b", {"text": text}), *calls("c")))
        events = await journal.read("run-1")
        assert events[1].blob
        assert len(events[1].stored) < 2_000
        assert events[1].event == CallRequested("b", {"text": text})
        assert verify_chain(events) == await journal.head("run-1")
        assert [event.event for event in await journal.read_all()] == [event.event for event in events]

    async def test_an_event_of_an_unknown_type_is_kept_as_it_is(self, journal: Journal) -> None:
        unknown = UnknownEvent(type="run.from_the_future", schema=7, data=msgspec.Raw(b'{"speed":[88, 1e3]}'))
        await journal.append(append("run-1", EMPTY, unknown))
        (recorded,) = await journal.read("run-1")
        assert (recorded.type, recorded.schema) == ("run.from_the_future", 7)
        assert recorded.data == b'{"speed":[88, 1e3]}'
        assert recorded.event == unknown

    # Waiting

    async def test_waiting_for_what_is_there_returns_at_once(self, journal: Journal) -> None:
        position = await journal.append(append("run-1", EMPTY, *calls("a")))
        async with asyncio.timeout(5):
            assert await journal.wait(position - 1) == position

    async def test_waiting_ends_with_the_next_event(self, journal: Journal) -> None:
        async with asyncio.timeout(5):
            waiters = [asyncio.ensure_future(journal.wait(0)) for _ in range(3)]
            await asyncio.sleep(0)
            position = await journal.append(append("run-1", EMPTY, *calls("a")))
            assert await asyncio.gather(*waiters) == [position] * 3

    async def test_waiting_in_vain_returns_when_the_time_is_up(self, journal: Journal) -> None:
        position = await journal.append(append("run-1", EMPTY, *calls("a")))
        async with asyncio.timeout(5):
            assert await journal.wait(position, timeout_s=0.01) == position
            assert await journal.wait(position + 5, timeout_s=0.0) == position

    # Snapshots

    async def test_a_snapshot_comes_back(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        snapshot = Snapshot("run-1", await journal.head("run-1"), "run/1", b'{"turns":3}')
        await journal.save_snapshot(snapshot)
        assert await journal.load_snapshot("run-1", "run/1") == snapshot
        assert await journal.load_snapshot("run-2", "run/1") is None

    async def test_a_snapshot_of_another_schema_is_not_there(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        await journal.save_snapshot(Snapshot("run-1", await journal.head("run-1"), "run/1", b"old"))
        assert await journal.load_snapshot("run-1", "run/2") is None
        replaced = Snapshot("run-1", await journal.head("run-1"), "run/2", b"new")
        await journal.save_snapshot(replaced)
        assert await journal.load_snapshot("run-1", "run/2") == replaced

    async def test_a_newer_snapshot_is_not_replaced_by_an_older_one(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b")))
        old, new = [Snapshot("run-1", e.head, "run/1", b"%d" % e.version) for e in await journal.read("run-1")]
        await journal.save_snapshot(new)
        await journal.save_snapshot(old)
        assert await journal.load_snapshot("run-1", "run/1") == new

    async def test_a_snapshot_of_events_that_are_not_there_is_not_used(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        for head in (Head(1, "f" * 64), Head(9, "f" * 64)):
            await journal.save_snapshot(Snapshot("run-1", head, "run/1", b"made up"))
            assert await journal.load_snapshot("run-1", "run/1") is None

    # Damage

    async def test_a_changed_row_is_named_and_the_rest_stays_readable(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b", "c")))
        await journal.append(append("run-2", EMPTY, *calls("d")))
        await self.damage(journal, "run-1", 2, lambda stored: stored.replace(b'"call_id":"b"', b'"call_id":"B"'))
        with pytest.raises(CorruptEvent) as caught:
            await journal.read("run-1")
        assert (caught.value.stream, caught.value.version, caught.value.position) == ("run-1", 2, 2)
        assert await call_ids(journal, "run-1", limit=1) == ["a"]
        assert await call_ids(journal, "run-1", after=2) == ["c"]
        assert await call_ids(journal, "run-2") == ["d"]
        assert [event.position for event in await journal.read_all()] == [1]
        with pytest.raises(CorruptEvent):
            await journal.read_all(1)
        assert [event.position for event in await journal.read_all(2)] == [3, 4]
        assert [(p.stream, p.version, p.position) for p in await verify(journal)] == [("run-1", 2, 2)]

    @pytest.mark.parametrize("junk", [b"", b"{", b"null", b"\xff" * 200])
    async def test_a_row_of_junk_is_named(self, journal: Journal, junk: bytes) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b")))
        await self.damage(journal, "run-1", 1, lambda _: junk)
        with pytest.raises(CorruptEvent) as caught:
            await journal.read("run-1")
        assert (caught.value.stream, caught.value.version, caught.value.position) == ("run-1", 1, 1)
        assert await call_ids(journal, "run-1", after=1) == ["b"]

    async def test_a_removed_row_is_missed(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b", "c")))
        await self.damage(journal, "run-1", 2, None)
        with pytest.raises(CorruptEvent, match="missing"):
            await journal.read("run-1")
        (problem,) = await verify(journal)
        assert (problem.stream, problem.version, problem.position) == ("run-1", 3, 3)

    async def test_a_row_of_another_place_is_noticed(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b", "c")))
        third = (await journal.read("run-1"))[2].stored
        await self.damage(journal, "run-1", 2, lambda _: third)
        assert [(p.version, p.position) for p in await verify(journal)] == [(2, 2)]
        with pytest.raises(CorruptEvent, match="holds event 3"):
            await journal.read("run-1")

    async def test_a_stream_that_was_written_anew_does_not_fit_the_heads_kept_elsewhere(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a", "b")))
        signed = {"run-1": await journal.head("run-1")}
        assert await verify(journal, signed) == []
        assert [p.version for p in await verify(journal, {"run-1": Head(2, "f" * 64)})] == [2]
        await self.damage(journal, "run-1", 2, None)
        assert await verify(journal) == []
        (problem,) = await verify(journal, signed)
        assert "cut off" in problem.why

    # Owners and the end

    async def test_an_owner_lives_while_its_journal_is_open(self, journal: Journal) -> None:
        assert await journal.is_alive(journal.owner)
        for stranger in ("elsewhere:1:00", "", "../../etc/passwd", "a:1:zz"):
            assert not await journal.is_alive(stranger)
        await journal.close()
        assert not await journal.is_alive(journal.owner)

    async def test_closing_stores_what_was_submitted(self, journal: Journal) -> None:
        pendings = [journal.submit(append(f"run-{n}", EMPTY, *calls("a"))) for n in range(20)]
        await journal.close()
        assert all(pending.done for pending in pendings)
        assert len({await pending for pending in pendings}) == 20

    async def test_a_closed_journal_takes_nothing(self, journal: Journal) -> None:
        await journal.close()
        await journal.close()
        with pytest.raises(Unavailable, match="closed"):
            journal.submit(append("run-1", EMPTY, *calls("a")))

    async def test_a_closed_journal_is_not_read(self, journal: Journal) -> None:
        await journal.append(append("run-1", EMPTY, *calls("a")))
        await journal.close()
        for read in (journal.head("run-1"), journal.read("run-1"), journal.read_all(), journal.last_position()):
            with pytest.raises(Unavailable, match="closed"):
                await read

    async def test_closing_lets_those_who_wait_go(self, journal: Journal) -> None:
        waiter = asyncio.ensure_future(journal.wait(0))
        await asyncio.sleep(0)
        await journal.close()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable, match="closed"):
                await waiter


async def _outcome(pending: Pending) -> int | VersionConflict:
    try:
        return await pending
    except VersionConflict as exc:
        return exc
