"""Signals: each has its effect once, those of a session in order, what cannot be run is set aside with its reason."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hosting import PARTITIONS, WITHIN_S, Gate, Outsider, calling, namespace, outsider
from waiting import until, until_asked

from treadle import Agent, FunctionModel, Message, ModelReply, RuntimeSignal, System, ToolCall, ToolSpec, tool
from treadle.events.envelope import Recorded
from treadle.events.errors import Refused, Unavailable
from treadle.events.subjects import SignalAddress, Subjects
from treadle.gateways import signals as signals_module
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.inprocess import InProcessBus
from treadle.gateways.signals import ATTEMPTS, Signals


class Desk:
    """A system that hosts the agent `desk`, and a program outside that speaks NATS."""

    def __init__(self, system: System, nats: Outsider) -> None:
        self.system = system
        self.nats = nats

    @property
    def signals(self) -> Signals:
        assert self.system.signals is not None
        return self.system.signals

    async def events(self, type: str = "") -> list[Recorded]:
        found = await self.system.journal.read_all(0, 1000)
        return [event for event in found if not type or event.type == type]


@asynccontextmanager
async def hosting(
    server: EmbeddedServer, agent: Agent, ns: str = "", journal: str = "memory", ack_wait_s: float = 15.0
) -> AsyncGenerator[Desk]:
    ns = ns or namespace()
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signals_module, "ACK_WAIT_S", ack_wait_s)
            patch.setattr(Signals.__init__, "__kwdefaults__", {"ack_wait_s": ack_wait_s})
            system = await stack.enter_async_context(System(journal=journal, nats=server.url, namespace=ns))
        system.host(agent, name="desk")
        await system.start_hosting()
        yield Desk(system, await stack.enter_async_context(outsider(server.url, ns)))


async def test_a_signal_that_is_sent_twice_has_one_effect(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        body = {"summary": "Busy?", "id": "alert-1"}
        assert await desk.nats.signal("alice.desk.s", body)
        assert await desk.nats.signal("alice.desk.s", body)
        await desk.nats.signal("alice.desk.s", {"summary": "Busy?", "dedupe_key": "db-1/disk"})
        await desk.nats.signal("alice.desk.s", {"summary": "Still busy?", "dedupe_key": "db-1/disk"})
        named = {"Nats-Msg-Id": "message-1"}
        assert await desk.nats.signal("alice.desk.s", {"summary": "Named"}, named)
        assert not await desk.nats.signal("alice.desk.s", {"summary": "Named"}, named)
        await until(lambda: desk.signals.done == 5, WITHIN_S)
        prompts = [event.event.prompt for event in await desk.events("run.started")]  # type: ignore[attr-defined]  # pyright: ignore
        assert prompts == ["Busy?", "Busy?", "Named"]


async def test_the_same_words_twice_are_two_signals(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        for _ in range(2):
            await desk.nats.signal("alice.desk.s", {"summary": "Busy?"})
        await until(lambda: desk.signals.done == 2, WITHIN_S)
        assert len(await desk.events("run.completed")) == 2


async def test_signals_of_one_session_run_in_order_and_those_of_many_beside_each_other(
    nats_server: EmbeddedServer,
) -> None:
    gate = Gate()
    async with hosting(nats_server, Agent(model=gate.model)) as desk:
        for number in range(4):
            for session in ("a", "b", "c"):
                await desk.nats.signal(f"alice.desk.{session}", {"summary": f"{session}{number}"})
        await until(lambda: gate.waiting == 3, WITHIN_S)
        assert sorted(gate.prompts) == ["a0", "b0", "c0"]
        gate.open()
        await until(lambda: desk.signals.done == 12, WITHIN_S)
        for session in ("a", "b", "c"):
            assert [prompt for prompt in gate.prompts if prompt[0] == session] == [f"{session}{n}" for n in range(4)]


async def test_a_run_that_takes_longer_than_the_brokers_patience_is_not_given_to_another(
    nats_server: EmbeddedServer,
) -> None:
    gate, ns = Gate(), namespace()
    async with hosting(nats_server, Agent(model=gate.model), ns, ack_wait_s=0.8) as desk:
        await desk.nats.signal("alice.desk.s", {"summary": "Go"})
        await until(lambda: gate.waiting == 1, WITHIN_S)
        await asyncio.wait({asyncio.create_task(desk.nats.client.flush()), asyncio.create_task(asyncio.sleep(1.8))})
        assert (desk.signals.running, gate.prompts) == (1, ["Go"])
        gate.open()
        await until(lambda: desk.signals.done == 1, WITHIN_S)
        consumer = f"signals-{Subjects(ns).partition(SignalAddress('alice', 'desk', 's'), PARTITIONS)}"

        async def is_told() -> bool:
            return not (await desk.nats.js.consumer_info(f"SIGNALS-{ns}", consumer)).num_ack_pending

        await until_asked(is_told, WITHIN_S)  # the broker hears a moment later that it is done
        info = await desk.nats.js.consumer_info(f"SIGNALS-{ns}", consumer)
        assert (info.num_redelivered, info.num_pending) == (0, 0)


async def test_a_signal_whose_host_went_away_is_continued_by_the_next_one_and_run_once(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    journal, ns, done = f"sqlite:{tmp_path}/events.db", namespace(), list[str]()

    @tool(idempotent=True)
    async def page() -> str:
        done.append("paged")
        return "paged"

    @tool(read_only=True)
    async def hang() -> str:
        if len(done) == 1 and not again:
            await asyncio.Event().wait()
        return "back"

    again = False
    agent = Agent(model=calling("page", "hang"), tools=[page, hang])
    async with hosting(nats_server, agent, ns, journal, ack_wait_s=0.3) as desk:
        await desk.nats.signal("alice.desk.s", {"summary": "Page them", "id": "alert-1"})
        await until(lambda: done == ["paged"], WITHIN_S)
    again = True
    async with hosting(nats_server, agent, ns, journal, ack_wait_s=0.3) as desk:
        await until(lambda: desk.signals.done == 1, WITHIN_S)
        [completed] = await desk.events("run.completed")
        assert completed.event.output == "paged | back"  # type: ignore[attr-defined]  # pyright: ignore
        assert len(await desk.events("run.started")) == len(await desk.events("session.signal_received")) == 1
        assert done == ["paged"]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("alice.desk.s", b"\xff\xfe", "not what docs/nats.md describes"),
        ("alice.desk.s", b"[1]", "not what docs/nats.md describes"),
        ("alice.desk.s", b"", "not what docs/nats.md describes"),
        ("alice.desk.s", {"sumary": "a typing mistake"}, "sumary"),
        ("alice.desk.s", {"summary": " "}, "neither a summary nor a payload"),
        ("alice.desk.s", {"summary": "x", "urgency": "extreme"}, "urgency"),
        ("alice.desk.s", {"summary": "x" * 300_000}, "bytes, the limit is 262144"),
        ("alice.desk.s", b"x" * (1024 * 1024 - 10), "bytes, the limit is 262144"),
        ("alice.nobody.s", {"summary": "Hello?"}, "no agent 'nobody'"),
        ("alice.desk", {"summary": "Hello?"}, "no session"),
        ("alice.desk.s.t", {"summary": "Hello?"}, "no session"),
        ("alice.desk.-", {"summary": "Hello?"}, "no session: its id is empty"),
        ("alice.desk.=ZZ", {"summary": "Hello?"}, "no session: token '=ZZ' is not escaped as an id is"),
        ("alice.desk.s", {"summary": "", "payload": {}}, "neither a summary nor a payload"),
        ("alice.desk.s", {"summary": "x", "observed_at": "noon"}, "observed_at 'noon' is no ISO 8601 time"),
        ("alice.desk.s", {"summary": "x", "observed_at": "2026-01-01T00:00:00"}, "with a zone"),
    ],
)
async def test_what_cannot_be_run_is_parked_with_its_reason_and_the_session_goes_on(
    nats_server: EmbeddedServer, path: str, body: object, reason: str
) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        await desk.nats.signal(path, body)
        await desk.nats.signal("alice.desk.s", {"summary": "And this?"})
        await until(lambda: (desk.signals.done, desk.signals.parked) == (1, 1), WITHIN_S)
        [parked] = await desk.nats.parked()
        headers = parked.headers or {}
        assert reason in headers["Treadle-Reason"]
        assert headers["Treadle-Subject"] == f"{desk.nats.namespace}.signal.{path}"
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        if "Treadle-Truncated" in headers:
            assert (int(headers["Treadle-Truncated"]), parked.data) == (len(sent), sent[: 256 * 1024])
        else:
            assert parked.data == sent
        recorded = await desk.events("session.signal_parked")
        assert len(recorded) == (path.count(".") == 2 and not path.endswith(("-", "=ZZ")))
        assert [event.type for event in await desk.events("run.completed")] == ["run.completed"]
        await until(lambda: desk.signals.running == 0)


async def test_parking_is_told_once_however_often_it_is_tried(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        for _ in range(3):
            await desk.nats.signal("alice.desk.s", b"no json", {"Nats-Msg-Id": "bad-1"})
        await until(lambda: desk.signals.parked == 1, WITHIN_S)
        assert len(await desk.events("session.signal_parked")) == 1


async def test_ids_of_any_form_find_their_session(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        for user_id, session_id in [("", "s"), ("-", "-"), ("é.*>", "a/b%2F"), ("a b", "x\ny")]:
            await desk.system.signal("desk", "Hello?", session_id=session_id, user_id=user_id)
        await until(lambda: desk.signals.done == 4, WITHIN_S)
        found = {(event.user_id, event.session_id) for event in await desk.events("run.started")}
        assert found == {("", "s"), ("-", "-"), ("é.*>", "a/b%2F"), ("a b", "x\ny")}


async def test_everything_of_a_signal_reaches_its_session(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, Agent(model="echo")) as desk:
        signal = RuntimeSignal(
            summary="Disk full",
            id="alert-1",
            source="prometheus",
            type="alert",
            payload={"device": "sda1", "levels": [1, None]},
            urgency="critical",
            dedupe_key="disk",
            observed_at="2026-01-01T00:00:00Z",
        )
        await desk.system.signal("desk", signal, session_id="s", user_id="alice")
        await until(lambda: desk.signals.done == 1, WITHIN_S)
        [received] = await desk.events("session.signal_received")
        assert received.event.signal == signal  # type: ignore[attr-defined]  # pyright: ignore
        [started] = await desk.events("run.started")
        assert started.event.prompt == signal.prompt  # type: ignore[attr-defined]  # pyright: ignore
        assert (await desk.events("run.completed"))[0].event.output == f"Echo: {signal.prompt}"  # type: ignore[attr-defined]  # pyright: ignore


async def test_a_run_that_is_gone_on_with_is_asked_in_the_words_that_were_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, asked = asyncio.Event(), list[str]()

    @tool(read_only=True)
    async def wait() -> str:
        if not waiting.is_set():
            waiting.set()
            await asyncio.Event().wait()
        return "ready"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        asked.append(messages[0].content)
        if messages[-1].role == "tool":
            return ModelReply("done")
        return ModelReply(tool_calls=(ToolCall("1", "wait", {}),))

    def desk() -> Agent:
        return Agent(model=FunctionModel(rules), tools=[wait], name="desk")

    journal = f"sqlite:{tmp_path}/events.db"
    signal = RuntimeSignal(summary="Disk full", id="s1", type="alert", urgency="high", payload={"used": 0.91})
    words = signal.prompt
    async with System(journal=journal) as system, asyncio.timeout(WITHIN_S):
        await system.host(desk()).signal(signal, session_id="s", user_id="alice")
        await waiting.wait()
    # A later Treadle may word it otherwise: a run that has begun keeps its words.
    monkeypatch.setattr(RuntimeSignal, "prompt", property(lambda self: "otherwise"))
    async with System(journal=journal) as system, asyncio.timeout(WITHIN_S):
        assert (await system.host(desk()).resume("s", user_id="alice")).output == "done"
    assert asked == [words, words]
    assert "urgency: high" in words


async def test_a_failed_run_settles_its_signal(nats_server: EmbeddedServer) -> None:
    def broken(messages: object, tools: object) -> str:
        raise OSError("no model")

    async with hosting(nats_server, Agent(model=FunctionModel(broken))) as desk:
        await desk.nats.signal("alice.desk.s", {"summary": "Hello?"})
        await until(lambda: desk.signals.done == 1, WITHIN_S)
        assert len(await desk.events("run.failed")) == 1


async def test_a_server_that_dies_during_a_run_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    gate, ns = Gate(), namespace()
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    async with hosting(server, Agent(model=gate.model), ns, f"sqlite:{tmp_path}/events.db", ack_wait_s=1.0) as desk:
        await desk.nats.signal("alice.desk.s", {"summary": "one", "id": "1"})
        await until(lambda: gate.waiting == 1, WITHIN_S)
        await server.kill()
        gate.open()
        await until(lambda: gate.waiting == 0)
        async with asyncio.timeout(WITHIN_S):
            position = await desk.system.journal.last_position()
            while not await desk.events("run.completed"):
                await desk.system.journal.wait(position)
                position = await desk.system.journal.last_position()
        await server.start()
        await until(lambda: desk.nats.client.is_connected and desk.system.bus.connected, WITHIN_S)
        await desk.nats.signal("alice.desk.s", {"summary": "two", "id": "2"})
        await until(lambda: desk.signals.done >= 2, WITHIN_S)
        assert gate.prompts == ["one", "two"]
        assert desk.signals.parked == 0
        relay = desk.system.relay
        assert relay is not None
        last = await desk.system.journal.last_position()
        await until(lambda: relay.position >= last, WITHIN_S)
        told = await desk.nats.stored()
        journal = [(event.stream, event.version) for event in await desk.events()]
        assert sorted(set(told)) == sorted(journal)
        await until(lambda: desk.signals.running == 0, WITHIN_S)
    await server.stop()


class _Session:
    """Stands for a host and its only session: answers each message with the next of these."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)

    def __contains__(self, agent: object) -> bool:
        return True

    def session(self, *address: str) -> "_Session":
        return self

    async def ask(self, message: object) -> None:
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer


async def test_outages_do_not_count_as_attempts() -> None:
    bus, subjects = InProcessBus(), Subjects()
    away = Unavailable("the journal", "on purpose", retry_after_s=0.0)
    session = _Session(*[away] * ATTEMPTS, Refused("not today"), None)
    signals = Signals(bus, session, subjects)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await signals.start()
    await bus.enqueue(subjects.signal("alice", "desk", "s"), b'{"summary": "Look."}', "signal-1")
    await until(lambda: signals.done + signals.parked == 1)
    assert signals.parked == 0
    await signals.close()
    await bus.close()


async def test_a_busy_session_is_not_in_the_way_of_those_behind_it(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals_module, "HELD_OF_A_SESSION", 2)
    gate, ns = Gate(), namespace()
    async with hosting(nats_server, Agent(model=gate.model), ns) as desk:
        for number in range(6):
            await desk.nats.signal("alice.desk.s", {"summary": f"look {number}"})
        # Two are held while their runs go on; the others are in the journal, and wait there.
        await until(lambda: (desk.signals.done, desk.signals.running) == (4, 2), WITHIN_S)
        assert gate.prompts == ["look 0"]
        gate.open()
        await until(lambda: len(gate.prompts) == 6, WITHIN_S)
        await until(lambda: desk.signals.done == 6, WITHIN_S)
        assert gate.prompts == [f"look {number}" for number in range(6)]
