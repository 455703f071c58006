"""What a node says while its database is away, paused, read-only or somewhere else, and that it goes on by itself."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from contracts.journal import append, call_ids, calls
from contracts.views import RUNS, count_turns, rows
from postgres import PostgresServer
from waiting import until

from treadle import Agent, FunctionModel, tool
from treadle.actors import run
from treadle.actors.clock import SystemClock
from treadle.events.envelope import EMPTY, verify_chain
from treadle.events.errors import AppendUncertain, ConfigError, Unavailable
from treadle.events.message import ModelReply, ToolCall
from treadle.events.run import RunStarted, run_stream
from treadle.gateways import postgres_calls
from treadle.gateways.journals import patience, postgres_store, postgres_tail
from treadle.gateways.journals.postgres import PostgresJournal
from treadle.gateways.node import Node
from treadle.gateways.postgres import connect
from treadle.gateways.views import PostgresViews

T = TypeVar("T")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for as long as they would outside of tests."""
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    monkeypatch.setattr(postgres_calls, "SILENCE_S", 1.0)
    monkeypatch.setattr(postgres_tail, "HEARTBEAT_S", 0.1)


@pytest.fixture
async def journal(postgres_url: str, impatient: None) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(f"{postgres_url}&connect_timeout=2")
    yield journal
    await journal.close()


@contextmanager
def paused(server: PostgresServer) -> Generator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def pooler(server: PostgresServer) -> Generator[int]:
    """Stands before a server on this port, and gives out process ids of its own making as PgBouncer does."""
    path = f"{server.url().partition('host=')[2]}/.s.PGSQL.5432"

    def serve(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as backend:
            backend.connect(path)
            threading.Thread(target=_copy, args=(client, backend), daemon=True).start()
            answers = backend.makefile("rb")
            while header := answers.read(5):
                body = answers.read(int.from_bytes(header[1:], "big") - 4)
                client.sendall(header + (b"\0\0\0\7" + body[4:] if header[:1] == b"K" else body))

    def accept() -> None:
        with suppress(OSError):  # it was closed
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # either side may go first
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


async def eventually(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a server that may need a moment."""
    async with asyncio.timeout(20):
        while True:
            with suppress(Unavailable, AppendUncertain):
                return await ask()
            await asyncio.sleep(0.02)


# --- who cannot get in -----------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_to_be_fixed_and_the_right_one_serves(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    role = f"role_{uuid4().hex}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'sesame'")
    postgres_server.ask_for_password(role)
    with pytest.raises(ConfigError, match="password authentication failed") as told:
        await PostgresJournal.open(postgres_url.replace("postgres@", f"{role}:guessed@"))
    assert "guessed" not in str(told.value)
    connect(postgres_url.replace("postgres@", f"{role}:sesame@")).close()


async def test_a_host_that_nobody_knows_is_waited_for() -> None:
    with pytest.raises(Unavailable, match=r"database\.invalid/runs is unavailable"):
        await PostgresJournal.open("postgresql://alice@database.invalid/runs")


async def test_a_server_without_tls_is_not_talked_to_when_tls_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def refuse() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(8)
                connection.sendall(b"N")

        threading.Thread(target=refuse, daemon=True).start()
        with pytest.raises(ConfigError, match="does not support SSL"):
            connect(f"postgresql://alice@127.0.0.1:{plain.getsockname()[1]}/runs?sslmode=require")


async def test_a_server_that_has_no_connection_left_is_waited_for(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    role = f"role_{uuid4().hex}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    url = postgres_url.replace("postgres@", f"{role}@")
    with connect(url), pytest.raises(Unavailable, match="too many connections"):
        await PostgresJournal.open(url)


async def test_a_pooler_in_between_is_refused_because_sessions_are_kept(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with pooler(postgres_server) as port:
        database = postgres_url.partition("@/")[2].partition("?")[0]
        with pytest.raises(ConfigError, match=r"through a pooler.*use the URL of the server itself"):
            await PostgresJournal.open(f"postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable")


# --- a server that is paused -----------------------------------------------------------------------------------------


async def test_an_append_to_a_paused_server_ends_and_is_stored_once_when_it_goes_on(
    journal: PostgresJournal, postgres_server: PostgresServer
) -> None:
    first = journal.submit(append("run-1", EMPTY, *calls("a")))
    await first
    with paused(postgres_server):
        async with asyncio.timeout(10):
            with pytest.raises((Unavailable, AppendUncertain)):
                await journal.append(append("run-1", first.heads[0], *calls("b")))
    assert await eventually(lambda: journal.append(append("run-1", first.heads[0], *calls("b")))) > first.position
    assert await call_ids(journal, "run-1") == ["a", "b"]


async def test_a_commit_that_a_paused_server_does_not_answer_is_uncertain_until_it_is_read_back(
    journal: PostgresJournal, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = journal.submit(append("run-1", EMPTY, *calls("a")))
    await first
    execute: Callable[..., Any] = postgres_calls.Connection.execute

    def pause_first(self: postgres_calls.Connection, query: bytes, *more: Any, **options: Any) -> Any:
        # Of the writer: whoever says that this process lives commits, too.
        if query == b"COMMIT" and threading.current_thread().name.startswith("journal "):
            monkeypatch.setattr(postgres_calls.Connection, "execute", execute)
            postgres_server.pause()
        return execute(self, query, *more, **options)

    monkeypatch.setattr(postgres_calls.Connection, "execute", pause_first)
    pending = journal.submit(append("run-1", first.heads[0], *calls("b")))
    try:
        async with asyncio.timeout(30):
            with pytest.raises(AppendUncertain) as lost:
                await pending
    finally:
        postgres_server.resume()
    assert lost.value.event_ids == tuple(pending.ids)
    # The commit was on its way. The server makes it, or its time is over first: whoever reads back finds these ids or
    # nothing.
    events = await eventually(lambda: journal.read("run-1"))
    assert [event.id for event in events] in ([events[0].id], [events[0].id, *lost.value.event_ids])


async def test_who_reads_from_a_paused_server_is_let_go(
    journal: PostgresJournal, postgres_server: PostgresServer
) -> None:
    await journal.append(append("run-1", EMPTY, *calls("a")))
    with paused(postgres_server):
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="not answered"):
                await journal.read("run-1")
    assert [event.version for event in await eventually(lambda: journal.read("run-1"))] == [1]


async def test_views_on_a_paused_server_end_and_serve_when_it_goes_on(
    postgres_server: PostgresServer, postgres_url: str, impatient: None
) -> None:
    async with PostgresViews(f"{postgres_url}&connect_timeout=2") as views:
        await views.transact(RUNS.create)
        await count_turns(views, "r1")
        with paused(postgres_server):
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable):
                    await views.transact(lambda tx: tx.execute("UPDATE runs SET turns = 7"))
        assert await eventually(lambda: views.read(rows)) == [("r1", 1)]


async def test_a_paused_server_is_noticed_by_who_only_listens(
    journal: PostgresJournal, postgres_server: PostgresServer
) -> None:
    listening = journal._tail._listening  # pyright: ignore[reportPrivateUsage]
    with paused(postgres_server):
        await until(lambda: not listening.is_set())
    await until(listening.is_set, within_s=10)
    assert await eventually(lambda: journal.is_alive(journal.owner))


async def test_closing_does_not_wait_for_a_paused_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    journal = await PostgresJournal.open(postgres_url)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    with paused(postgres_server):
        async with asyncio.timeout(10):
            await journal.close()


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_url: str) -> None:
    async with PostgresViews(f"{postgres_url}&options=-c%20statement_timeout%3D50ms") as views:
        with pytest.raises(Unavailable, match="statement timeout"):
            await views.read(lambda tx: tx.query("SELECT 1 FROM pg_sleep(10)"))
        assert await views.read(lambda tx: tx.query("SELECT 1")) == [(1,)]


# --- a server that is gone for a while -------------------------------------------------------------------------------


async def test_what_a_model_has_answered_is_not_lost_with_the_server(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    asked: list[str] = []
    coming_back: list[asyncio.Task[None]] = []

    async def come_back() -> None:
        await until(lambda: len(tries) >= 3)
        await asyncio.to_thread(postgres_server.start)

    async def answer(messages: Any, tools: Any) -> ModelReply:
        asked.append(messages[-1].content)
        if len(asked) == 1:
            await asyncio.to_thread(postgres_server.kill)
            coming_back.append(asyncio.create_task(come_back()))
            return ModelReply("", (ToolCall("t1", "pay", {}),))
        return ModelReply("Paid.")

    def try_again(url: str) -> Any:
        tries.append(url)
        return connect(url)

    paid: list[str] = []

    @tool
    def pay() -> str:
        """Pay."""
        paid.append("once")
        return "ok"

    node = Node(await PostgresJournal.open(postgres_url))
    await node.start()
    monkeypatch.setattr(postgres_store, "connect", try_again)
    agent = Agent(model=FunctionModel(answer), tools=[pay], name="cashier")
    agent.bind(node)
    try:
        async with asyncio.timeout(40):
            result = await agent.run("Pay the bill.")
            await asyncio.gather(*coming_back)
        assert (result.output, len(asked), paid) == ("Paid.", 2, ["once"])
        verify_chain(await eventually(lambda: node.journal.read(run_stream(result.run_id))))
    finally:
        await node.close()


async def test_a_node_that_is_closed_while_the_server_is_gone_does_not_wait_for_it(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_NOTE_S", 0.2)
    asked = asyncio.Event()

    async def answer(messages: Any, tools: Any) -> ModelReply:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    node = Node(await PostgresJournal.open(postgres_url))
    await node.start()
    agent = Agent(model=FunctionModel(answer), name="cashier")
    agent.bind(node)
    running = asyncio.ensure_future(agent.run("Pay the bill.", session_id="conv-1"))
    await asked.wait()
    await asyncio.to_thread(postgres_server.kill)
    try:
        async with asyncio.timeout(15):
            await node.close()
            with pytest.raises(Unavailable):
                await running
    finally:
        await asyncio.to_thread(postgres_server.start)


# --- another server --------------------------------------------------------------------------------------------------


async def test_a_promoted_standby_takes_over_and_nothing_that_was_acknowledged_before_is_lost(impatient: None) -> None:
    first = PostgresServer()
    first.start()
    try:
        first.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        second = first.standby()
        try:
            first.execute("SELECT pg_reload_conf()")
            await _fail_over(first, second)
        finally:
            second.stop()
    finally:
        if first.running:
            first.stop()


async def _fail_over(first: PostgresServer, second: PostgresServer) -> None:
    hosts = ",".join(server.url().partition("host=")[2] for server in (first, second))
    journal = await PostgresJournal.open(f"postgresql://postgres@/postgres?host={hosts}")
    try:
        with pytest.raises(Unavailable, match=r"standby|read-only"):
            connect(second.url())
        await journal.append(append("run-1", EMPTY, *calls("a")))
        waiting = asyncio.ensure_future(journal.wait(1))
        first.stop()
        with pytest.raises((Unavailable, AppendUncertain)):
            await journal.append(append("run-2", EMPTY, *calls("lost")))
        await asyncio.to_thread(second.promote)
        second.execute("ALTER SYSTEM RESET synchronous_standby_names")
        second.execute("SELECT pg_reload_conf()")
        head = await eventually(lambda: journal.head("run-1"))
        assert head.version == 1
        position = await eventually(lambda: journal.append(append("run-1", head, *calls("b"))))
        with suppress(Unavailable):  # who waited when it died was told so, or waits on
            assert await asyncio.wait_for(waiting, 20) >= position
        assert await call_ids(journal, "run-1") == ["a", "b"]
        assert await journal.is_alive(journal.owner)
    finally:
        await journal.close()


# --- clocks that differ ----------------------------------------------------------------------------------------------


class Skewed(SystemClock):
    """The clock of a machine that is off by so many hours."""

    def __init__(self, hours: int) -> None:
        super().__init__()
        self._off = timedelta(hours=hours)

    def now(self) -> datetime:
        return super().now() + self._off


async def test_nodes_whose_clocks_differ_by_hours_order_events_by_commit(postgres_url: str) -> None:
    nodes = [Node(await PostgresJournal.open(postgres_url), clock=Skewed(hours)) for hours in (3, -3)]
    agents = [Agent("support", model="echo") for _ in nodes]
    for node, agent in zip(nodes, agents, strict=True):
        await node.start()
        agent.bind(node)
    results = [await agents[turn % 2].run(f"turn {turn}", user_id="alice", session_id="conv-1") for turn in range(4)]
    events = await nodes[0].journal.read_all()
    for stream in {event.stream for event in events}:
        verify_chain([event for event in events if event.stream == stream])
    assert [result.output for result in results] == [f"Echo: turn {turn}" for turn in range(4)]
    started = [event for event in events if event.type == RunStarted.event_tag]
    assert [event.run_id for event in started] == [result.run_id for result in results]
    assert started[0].at > started[1].at  # a time is what the node took it for, and orders nothing
    for node in nodes:
        await node.close()
