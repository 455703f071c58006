"""The PostgreSQL journal keeps the contract, across connections, processes and a server that dies."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
from contracts.journal import JournalContract, append, call_ids, calls
from eventsourcing.persistence import StoredEvent
from postgres import PostgresServer, damage_row
from waiting import until

from treadle.events.envelope import EMPTY, verify_chain
from treadle.events.errors import (
    AppendUncertain,
    ConfigError,
    CorruptEvent,
    JournalTooNew,
    ReadOnly,
    Unavailable,
    VersionConflict,
)
from treadle.events.journal import Journal
from treadle.gateways import postgres_calls
from treadle.gateways.journals import patience, postgres_store
from treadle.gateways.journals.postgres import PostgresJournal
from treadle.gateways.journals.postgres_schema import JournalRecorder, datastore
from treadle.gateways.journals.postgres_store import PostgresStore
from treadle.gateways.journals.postgres_tail import lock_key
from treadle.gateways.postgres import connect


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(postgres_url)
    yield journal
    await journal.close()


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    async def journal(self, postgres_url: str) -> AsyncIterator[Journal]:
        self.url = postgres_url
        journal = await PostgresJournal.open(postgres_url)
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_row(self.url, stream, version, change)


@pytest.fixture
async def other(journal: PostgresJournal, postgres_url: str) -> AsyncIterator[PostgresJournal]:
    """The same database, opened again, as another node would."""
    other = await PostgresJournal.open(postgres_url)
    yield other
    await other.close()


def terminate(url: str, kind: str) -> None:
    """End the sessions whose last statement begins like this, as an administrator would."""
    found = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query ILIKE %s AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(found.encode(), (f"{kind}%",)).fetchone()
    assert row is not None and row[0] > 0


async def test_events_of_another_node_end_a_wait(journal: PostgresJournal, other: PostgresJournal) -> None:
    async with asyncio.timeout(5):
        waiting = asyncio.ensure_future(journal.wait(0))
        await asyncio.sleep(0)
        position = await other.append(append("run-1", EMPTY, *calls("a")))
        assert await waiting == position
    assert await call_ids(journal, "run-1") == ["a"]


async def test_heads_that_are_known_here_give_way_to_what_another_node_wrote(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    first = journal.submit(append("run-1", EMPTY, *calls("a")))
    await first
    theirs = other.submit(append("run-1", first.heads[0], *calls("theirs")))
    await theirs
    with pytest.raises(VersionConflict) as caught:
        await journal.append(append("run-1", first.heads[0], *calls("ours")))
    assert (caught.value.expected, caught.value.found) == (1, 2)
    await journal.append(append("run-1", theirs.heads[0], *calls("ours")))
    assert await call_ids(other, "run-1") == ["a", "theirs", "ours"]


async def test_nodes_that_write_at_once_leave_no_hole_and_no_double(
    journal: PostgresJournal, other: PostgresJournal
) -> None:
    async def write(node: PostgresJournal, name: str) -> int:
        won = 0
        for attempt in range(20):
            pending = node.submit(append("run-1", await node.head("run-1"), *calls(f"{name}{attempt}")))
            try:
                await pending
            except VersionConflict:
                continue
            won += 1
        return won

    won = sum(await asyncio.gather(*[write(node, name) for node in (journal, other) for name in "ab"]))
    events = await journal.read("run-1")
    verify_chain(events)
    assert len(events) == won > 0
    assert [event.position for event in await other.read_all()] == sorted({event.position for event in events})


async def test_many_who_open_a_new_journal_at_once_make_it_once(postgres_url: str) -> None:
    journals = await asyncio.gather(*[PostgresJournal.open(postgres_url) for _ in range(5)])
    for number, journal in enumerate(journals):
        await journal.append(append(f"run-{number}", EMPTY, *calls("a")))
    assert len(await journals[0].read_all()) == 5
    for journal in journals:
        await journal.close()


async def test_a_journal_of_a_newer_treadle_is_read_and_not_written(
    journal: PostgresJournal, postgres_url: str
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(b"UPDATE treadle_journal SET value = 99 WHERE key = 'format'")
    newer = await PostgresJournal.open(postgres_url)
    assert await call_ids(newer, "run-1") == ["a"]
    with pytest.raises(JournalTooNew, match="99"):
        newer.submit(append("run-2", EMPTY, *calls("b")))
    await newer.close()


async def test_an_owner_whose_process_is_gone_is_not_alive(
    journal: PostgresJournal, other: PostgresJournal, postgres_url: str
) -> None:
    assert await journal.is_alive(other.owner)
    terminate(postgres_url, "LISTEN")
    async with asyncio.timeout(10):
        # Both are cut off, and both come back; who is closed does not.
        await other.close()
        while await journal.is_alive(other.owner):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        while not await _sees(journal, journal.owner):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _sees(journal: PostgresJournal, owner: str) -> bool:
    return await journal._reader.is_locked(lock_key(owner))  # pyright: ignore[reportPrivateUsage]


async def test_a_commit_that_was_cut_off_before_it_was_made_is_made_anew(
    journal: PostgresJournal, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    head = await journal.head("run-1")
    insert: Callable[..., Any] = PostgresStore._insert  # pyright: ignore[reportPrivateUsage]

    def cut_off(self: PostgresStore, batch: Any, **options: Any) -> Any:
        plan = insert(self, batch, **options)
        monkeypatch.undo()
        terminate(postgres_url, "NOTIFY")
        return plan

    monkeypatch.setattr(PostgresStore, "_insert", cut_off)
    await journal.append(append("run-1", head, *calls("b")))
    assert await call_ids(journal, "run-1") == ["a", "b"]


async def test_a_commit_whose_answer_was_lost_is_found_to_be_made(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Callable[..., Any] = PostgresStore._open  # pyright: ignore[reportPrivateUsage]

    class Deaf:
        """A connection that does what it is told, and loses the answer to a commit."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, query: Any, *params: Any) -> Any:
            result = self._connection.execute(query, *params)
            if query == b"COMMIT":
                monkeypatch.undo()
                raise psycopg.OperationalError("the connection was lost")
            return result

    def open_deaf(self: PostgresStore) -> Any:
        return Deaf(opened(self))

    monkeypatch.setattr(PostgresStore, "_open", open_deaf)
    position = await journal.append(append("run-1", EMPTY, *calls("a")))
    assert [event.position for event in await journal.read("run-1")] == [position]


async def test_what_was_acknowledged_is_there_after_the_server_was_killed(
    journal: PostgresJournal, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = journal.submit(append("run-1", EMPTY, *calls("a")))
    await stored
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    postgres_server.kill()
    with pytest.raises((Unavailable, AppendUncertain)):
        await journal.append(append("run-1", stored.heads[0], *calls("b")))
    waiting = asyncio.ensure_future(journal.wait(stored.position + 1000, timeout_s=0.1))
    with pytest.raises(Unavailable):
        await waiting
    await asyncio.to_thread(postgres_server.start)
    async with asyncio.timeout(20):
        while True:
            try:
                await journal.append(append("run-1", await journal.head("run-1"), *calls("c")))
            except (Unavailable, AppendUncertain):
                await asyncio.sleep(0.1)
            else:
                break
    assert await call_ids(journal, "run-1") == ["a", "c"]


async def test_a_server_that_was_started_anew_takes_the_next_append_at_once(
    journal: PostgresJournal, postgres_server: PostgresServer
) -> None:
    stored = journal.submit(append("run-1", EMPTY, *calls("a")))
    await stored
    postgres_server.kill()
    await asyncio.to_thread(postgres_server.start)
    await journal.append(append("run-1", stored.heads[0], *calls("b")))
    async with asyncio.timeout(20):
        while True:
            try:
                assert await call_ids(journal, "run-1") == ["a", "b"]
            except Unavailable:
                await asyncio.sleep(0.1)  # the readers' connections are of yesterday, too
            else:
                break


# --- a server that is away -------------------------------------------------------------------------------------------


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Callable[[], int]]:
    """Let nobody in so many times, though the server is there; tells how often somebody has come."""

    def stay_away(times: float) -> Callable[[], int]:
        came = 0

        def turn_away(url: str) -> Any:
            nonlocal came
            came += 1
            if came <= times:
                raise Unavailable("the database", "it is starting up")
            return connect(url)

        monkeypatch.setattr(postgres_store, "connect", turn_away)
        return lambda: came

    monkeypatch.setattr(patience, "_PAUSE_S", 0.01)
    return stay_away


def lose_commit(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch, *, made: bool) -> None:
    """End the connection with the next commit, after the server has made it or before."""
    store = journal._store  # pyright: ignore[reportPrivateUsage]
    execute: Callable[..., Any] = postgres_calls.Connection.execute

    def lose(self: postgres_calls.Connection, query: bytes, *more: Any, **options: Any) -> Any:
        if query != b"COMMIT" or self is not store._connection:  # pyright: ignore[reportPrivateUsage]
            return execute(self, query, *more, **options)
        monkeypatch.setattr(postgres_calls.Connection, "execute", execute)
        if made:
            execute(self, query)
        self.close()
        raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(postgres_calls.Connection, "execute", lose)


async def test_a_server_that_is_away_is_waited_for(
    journal: PostgresJournal, away: Callable[[float], Callable[[], int]]
) -> None:
    came = away(4)
    first = journal.submit(append("run-1", EMPTY, *calls("a")))
    second = journal.submit(append("run-1", first.heads[0], *calls("b")))
    await second
    assert (came(), await call_ids(journal, "run-1")) == (5, ["a", "b"])


@pytest.mark.parametrize("made", [True, False])
async def test_a_commit_of_unknown_fate_is_read_back_when_the_server_is_there_again_and_stored_once(
    journal: PostgresJournal,
    away: Callable[[float], Callable[[], int]],
    monkeypatch: pytest.MonkeyPatch,
    made: bool,
) -> None:
    stored = journal.submit(append("run-1", EMPTY, *calls("a")))
    await stored
    came = away(3)
    lose_commit(journal, monkeypatch, made=made)
    pending = journal.submit(append("run-1", stored.heads[0], *calls("b")))
    position = await pending
    assert (came(), await call_ids(journal, "run-1")) == (4, ["a", "b"])
    assert [(each.id, each.position) for each in await journal.read("run-1", 1)] == [(pending.ids[0], position)]


async def test_who_wrote_while_the_server_was_away_was_first(
    journal: PostgresJournal,
    other: PostgresJournal,
    away: Callable[[float], Callable[[], int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = journal.submit(append("run-1", EMPTY, *calls("a")))
    await stored
    await other.append(append("run-2", EMPTY, *calls("connects")))
    away(3)
    lose_commit(journal, monkeypatch, made=False)
    monkeypatch.setattr(patience, "_PAUSE_S", 0.2)
    late = journal.submit(append("run-1", stored.heads[0], *calls("late")))
    async with asyncio.timeout(10):
        while journal._store._connection is not None:  # pyright: ignore[reportPrivateUsage]  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await other.append(append("run-1", stored.heads[0], *calls("taken over")))
        with pytest.raises(VersionConflict):
            await late
    assert await call_ids(journal, "run-1") == ["a", "taken over"]


async def test_a_server_that_stays_away_is_waited_for_so_long_and_no_longer(
    journal: PostgresJournal, away: Callable[[float], Callable[[], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.1)
    came = away(math.inf)
    with pytest.raises(Unavailable, match="starting up"):
        await journal.append(append("run-1", EMPTY, *calls("a")))
    assert came() > 1


async def test_closing_does_not_wait_for_a_server_that_is_away(
    postgres_url: str, away: Callable[[float], Callable[[], int]]
) -> None:
    journal = await PostgresJournal.open(postgres_url)
    came = away(math.inf)
    pending = journal.submit(append("run-1", EMPTY, *calls("a")))
    async with asyncio.timeout(10):
        await until(lambda: came() > 1)
        await journal.close()
        with pytest.raises(Unavailable):
            await pending


async def test_no_password_is_told(postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", "postgres:sesame@")
    journal = await PostgresJournal.open(url)
    assert "sesame" not in f"{journal!r} {journal.name}"
    await journal.close()
    with pytest.raises((Unavailable, ConfigError)) as caught:
        await PostgresJournal.open("postgresql://alice:sesame@127.0.0.1:1/nowhere")
    assert "sesame" not in str(caught.value)


async def test_the_librarys_recorder_reads_what_we_wrote_and_writes_what_we_read(
    journal: PostgresJournal, postgres_url: str
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a", "b")))
    (theirs,) = [event.stored for event in await journal.read("run-1", 1)]
    with datastore(postgres_url) as store:
        recorder = JournalRecorder(store)
        found = await asyncio.to_thread(recorder.select_notifications, None, 10)
        assert [(n.id, n.originator_id, n.originator_version, n.state) for n in found][1] == (2, "run-1", 2, theirs)
        foreign = StoredEvent("elsewhere-1", 1, "elsewhere.happened", b"{}")
        assert await asyncio.to_thread(recorder.insert_events, [foreign]) == [3]
    # Their position is not used again, and what is no event of ours is named when it is read.
    assert await journal.append(append("run-2", EMPTY, *calls("c"))) == 4
    with pytest.raises(CorruptEvent, match="elsewhere-1"):
        await journal.read("elsewhere-1")


async def test_a_forked_child_cannot_write(journal: PostgresJournal) -> None:
    journal.forked()  # pytest's own process is not to be forked with threads
    with pytest.raises(ReadOnly, match="forked"):
        journal.submit(append("run-1", EMPTY, *calls("a")))
