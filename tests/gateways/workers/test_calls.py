"""Tools of workers: the same intents and outcomes as if they were here, whatever becomes of the worker."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hosting import WITHIN_S, calling, namespace
from waiting import until

from treadle import (
    Agent,
    CallContext,
    Fenced,
    RunContext,
    System,
    Tool,
    Worker,
    current_call,
    get_run_context,
    remote,
    tool,
)
from treadle.actors.tool_calls import LOST_LIMIT
from treadle.events.envelope import Meta
from treadle.events.journal import Append, Journal
from treadle.events.run import RunTakenOver, run_stream
from treadle.events.tool_step import ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.workers import offers, wire
from treadle.gateways.workers.taken import TakenCall


class Place:
    """A desk with a model that calls one tool, and workers that come and go."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = namespace()

    def worker(self, *tools: Tool, **options: Any) -> Worker:
        return Worker(tools, nats=self.url, namespace=self.namespace, **options)

    def system(self, **options: Any) -> System:
        return System(nats=self.url, namespace=self.namespace, **options)


@pytest.fixture
def place(nats_server: EmbeddedServer) -> Place:
    return Place(nats_server.url)


async def outcomes(journal: Journal) -> list[Any]:
    """What the runs recorded of their tools, in order."""
    kinds = (ToolRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown)
    return [event.event for event in await journal.read_all(0, 10_000) if isinstance(event.event, kinds)]


@tool
async def fetch(url: str) -> str:
    """Fetch a page."""
    return f"the page at {url}"


async def test_a_call_is_recorded_as_if_the_tool_were_here(place: Place) -> None:
    async with place.worker(fetch), place.system() as system:
        desk = system.host(Agent(model=calling("fetch", url="/a"), tools=[remote(fetch)]), name="desk")
        result = await desk.run("Go", user_id="é.*")
        assert result.output == "the page at /a"
        requested, completed = await outcomes(system.journal)
        assert (requested.tool, requested.args, requested.attempt) == ("fetch", {"url": "/a"}, 1)
        assert (completed.call_id, completed.output) == (requested.call_id, "the page at /a")


async def test_the_intent_is_on_disk_before_a_worker_has_the_call(place: Place) -> None:
    known: list[str] = []

    @tool
    async def look() -> str:
        known.extend(event.type for event in await system.journal.read_all(0, 100))
        return "seen"

    async with place.worker(look), place.system() as system:
        await system.host(Agent(model=calling("look"), tools=[remote(look)]), name="desk").run("Go")
    assert known[-1] == "run.tool_requested"


async def test_the_tool_finds_its_call_and_its_run_as_it_would_here(place: Place) -> None:
    seen: list[tuple[CallContext, RunContext]] = []

    @tool
    def look(day: date) -> str:
        seen.append((current_call(), get_run_context()))
        return day.strftime("%A")

    async with place.worker(look), place.system() as system:
        desk = system.host(Agent(model=calling("look", day="2026-01-01"), tools=[remote(look)]), name="desk")
        result = await desk.run("Go", user_id="alice", session_id="s", metadata={"ticket": 7})
    assert result.output == "Thursday"
    [(call, run)] = seen
    assert (call.call_id, call.attempt, call.tool) == (f"{result.run_id}_2_0", 1, "look")
    assert (run.user_id, run.session_id, run.run_id, run.metadata) == ("alice", "s", result.run_id, {"ticket": 7})


async def test_a_tool_known_by_name_is_described_by_its_worker(place: Place) -> None:
    async with place.worker(fetch), place.system() as system:
        desk = system.host(Agent(model=calling("fetch", url="/a"), tools=[remote("fetch")]), name="desk")
        await system.start_hosting()
        assert desk.spec.tools["fetch"].spec == fetch.spec
        assert (await desk.run("Go")).output == "the page at /a"


async def test_a_tool_that_no_worker_offers_is_waited_for_and_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wire, "PATIENCE_S", 0.1)
    async with place.system() as system:
        desk = system.host(Agent(model=calling("fetch", url="/a"), tools=[remote(fetch)]), name="desk")
        result = await desk.run("Go")
        assert result.output.startswith(
            "ERROR: Unavailable: tool 'fetch' is unavailable: no worker offers it, for 0.1 s"
        )
        monkeypatch.setattr(wire, "PATIENCE_S", 60.0)
        running = asyncio.create_task(desk.run("Go"))
        await until(lambda: "no worker answers for tool 'fetch'" in caplog.text)
        async with place.worker(fetch):
            assert (await running).output == "the page at /a"
        assert "a worker answers for tool 'fetch' again" in caplog.text


async def test_arguments_that_do_not_fit_are_refused_and_the_tool_is_not_called(place: Place) -> None:
    async with place.worker(fetch), place.system() as system:
        here = system.host(Agent(model=calling("fetch", uri="/a"), tools=[remote(fetch)]), name="here")
        there = system.host(Agent(model=calling("fetch", uri="/a"), tools=[remote("fetch")]), name="there")
        for desk in (here, there):
            assert "the arguments do not fit fetch(url: str)" in (await desk.run("Go")).output
        assert [event.kind for event in await outcomes(system.journal) if isinstance(event, ToolFailed)] == [
            "bad_arguments"
        ] * 2


class NoMoney(Exception):
    """A user's own error."""


async def test_what_a_tool_raises_keeps_its_type_and_its_text(place: Place) -> None:
    @tool
    def pay() -> str:
        raise NoMoney("3 € are missing")

    @tool
    def weigh() -> float:
        return float("nan")

    async with place.worker(pay, weigh), place.system() as system:
        tools = [remote(pay), remote(weigh)]
        await system.host(Agent(model=calling("pay", "weigh"), tools=tools), name="desk").run("Go")
        paid, weighed = [event for event in await outcomes(system.journal) if isinstance(event, ToolFailed)]
        assert (paid.kind, paid.error) == ("raised", "NoMoney: 3 € are missing")
        assert weighed.kind == "unrecordable"
        assert "it is nan" in weighed.error


async def test_what_does_not_fit_into_a_message_is_said_with_its_size(place: Place) -> None:
    @tool
    async def read(data: str = "") -> str:
        return "x" * 2_000_000

    async with place.worker(read), place.system() as system:
        small = system.host(Agent(model=calling("read"), tools=[remote(read)]), name="small")
        large = system.host(Agent(model=calling("read", data="x" * 2_000_000), tools=[remote(read)]), name="large")
        await small.run("Go")
        await large.run("Go")
        failed = [event.error for event in await outcomes(system.journal) if isinstance(event, ToolFailed)]
        assert "the tool ran, and its result is too large: 2000" in failed[0]
        assert "1044480 fit into one message" in failed[0]
        assert failed[1].startswith("TooLarge: message to ")
        assert "1048576 fit into one message" in failed[1]


async def test_workers_of_one_tool_share_the_calls(place: Place) -> None:
    gate, waiting = asyncio.Event(), list[str]()

    def worker(name: str) -> Worker:
        @tool(name="work")
        async def work() -> str:
            waiting.append(name)
            await gate.wait()
            return name

        return place.worker(work, limit=2)

    async with worker("a"), worker("b"), place.system() as system:

        @tool
        async def work() -> str:
            raise AssertionError("the code here is not called")

        desk = system.host(Agent(model=calling(*["work"] * 4), tools=[remote(work)]), name="desk")
        running = asyncio.create_task(desk.run("Go"))
        await until(lambda: len(waiting) == 4, WITHIN_S)
        gate.set()
        assert sorted((await running).output.split(" | ")) == ["a", "a", "b", "b"]


async def test_a_long_call_is_told_of_and_not_begun_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(wire, "POLL_S", 0.01)
    gate, begun = asyncio.Event(), list[str]()

    @tool
    async def work() -> str:
        begun.append(current_call().call_id)
        await gate.wait()
        return "done"

    async with place.worker(work), place.system() as system:
        looks = 0
        request = system.bus.request

        async def counting(subject: str, data: bytes, timeout_s: float, headers: None = None) -> Any:
            nonlocal looks
            looks += b'"look"' in data
            return await request(subject, data, timeout_s, headers)

        monkeypatch.setattr(system.bus, "request", counting)
        desk = system.host(Agent(model=calling("work"), tools=[remote(work)]), name="desk")
        running = asyncio.create_task(desk.run("Go"))
        await until(lambda: looks > 3, WITHIN_S)
        gate.set()
        assert (await running).output == "done"
        assert len(begun) == 1


async def test_the_time_of_a_call_travels_and_ends_it_at_the_worker(place: Place) -> None:
    ended: list[str] = []

    @tool(timeout_s=None)
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return "never"

    @tool(name="work", timeout_s=0.2)
    async def impatient() -> str:
        return "its code is not called"

    async with place.worker(work), place.system() as system:
        await system.host(Agent(model=calling("work"), tools=[remote(impatient)]), name="desk").run("Go")
        [unknown] = [event for event in await outcomes(system.journal) if isinstance(event, ToolOutcomeUnknown)]
        assert "no result within 0.2 s (timeout_s of tool 'work')" in unknown.reason
        await until(lambda: ended == ["cancelled"])


async def test_cancelling_the_run_cancels_the_call_at_the_worker(place: Place) -> None:
    told: list[str] = []

    @tool
    async def work() -> str:
        told.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
        return "never"

    async with place.worker(work), place.system() as system:
        desk = system.host(Agent(model=calling("work"), tools=[remote(work)]), name="desk")
        run = await desk.session("s").start("Go")
        await until(lambda: told == ["begun"], WITHIN_S)
        await run.cancel()
        await until(lambda: told == ["begun", "cancelled"])


async def test_a_worker_that_ends_finishes_what_it_has_begun_and_takes_no_more(place: Place) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    def worker(name: str) -> Worker:
        @tool(name="work")
        async def work(wait: bool) -> str:
            begun.set()
            if wait:
                await gate.wait()
            return name

        return place.worker(work)

    @tool
    async def work(wait: bool) -> str:
        return "its code is not called"

    async with place.system() as system:
        first = worker("first")
        await first.__aenter__()
        slow = system.host(Agent(model=calling("work", wait=True), tools=[remote(work)]), name="slow")
        quick = system.host(Agent(model=calling("work", wait=False), tools=[remote(work)]), name="quick")
        running = asyncio.create_task(slow.run("Go"))
        await begun.wait()
        ending = asyncio.create_task(first.close())
        async with worker("second"):
            assert {(await quick.run("Go")).output for _ in range(4)} <= {"first", "second"}
            assert [(await quick.run("Go")).output for _ in range(4)] == ["second"] * 4
            assert not ending.done()
            gate.set()
            assert (await running).output == "first"
        await asyncio.wait_for(ending, WITHIN_S)


async def test_nodes_offer_tools_to_each_other_and_a_system_to_itself(place: Place) -> None:
    async with System() as alone:
        await alone.offer(fetch)
        await alone.start_hosting()
        desk = alone.host(Agent(model=calling("fetch", url="/a"), tools=[remote("fetch")]), name="desk")
        assert (await desk.run("Go")).output == "the page at /a"
    async with place.system() as here, place.system() as there:
        await there.offer(fetch)
        await there.start_hosting()
        desk = here.host(Agent(model=calling("fetch", url="/b"), tools=[remote("fetch")]), name="desk")
        assert (await desk.run("Go")).output == "the page at /b"


async def test_an_agent_on_no_system_is_told_what_a_remote_tool_needs() -> None:
    async with Agent(model=calling("fetch", url="/a"), tools=[remote(fetch)]) as agent:
        assert "tool 'fetch' is done by workers" in (await agent.run("Go")).output


async def test_a_run_that_was_taken_over_while_a_worker_was_looked_for_begins_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    @tool
    async def work() -> str:
        begun.append(current_call().call_id)
        return "done"

    async with place.system() as system:
        desk = system.host(Agent(model=calling("work"), tools=[remote(work)]), name="desk")
        running = asyncio.create_task(desk.run("Go", RunContext(run_id="r1")))
        await until(lambda: "no worker answers" in caplog.text, WITHIN_S)
        journal = system.journal
        head = await journal.head("run-r1")
        taken_over = [RunTakenOver(owner="somebody else")]
        await journal.append(Append(run_stream("r1"), head, taken_over, Meta(run_id="r1", epoch=2), datetime.now(UTC)))
        monkeypatch.setattr(wire, "OURS_S", 0.0)
        async with place.worker(work):
            with pytest.raises(Fenced, match="was taken over by somebody else"):
                await running
    assert begun == []


async def test_a_call_outlives_an_outage_of_the_server_and_is_not_begun_again(tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), list[int]()

    @tool
    async def work() -> str:
        begun.append(current_call().attempt)
        await gate.wait()
        return "done"

    async with EmbeddedServer(tmp_path / "nats") as server:
        place = Place(server.url)
        async with place.worker(work), place.system() as system:
            desk = system.host(Agent(model=calling("work"), tools=[remote(work)]), name="desk")
            running = asyncio.create_task(desk.run("Go"))
            await until(lambda: begun == [1], WITHIN_S)
            await server.stop()
            await until(lambda: not system.bus.connected, WITHIN_S)
            gate.set()
            await server.start()
            async with asyncio.timeout(WITHIN_S):
                assert (await running).output == "done"
    assert begun == [1]


async def test_a_worker_ends_in_good_order_while_its_server_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer(tmp_path / "nats") as server:
        worker = Place(server.url).worker(fetch)
        await worker.__aenter__()
        await server.stop()
        await until(lambda: "lost" in caplog.text, WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            await worker.close()


async def test_a_worker_that_is_slow_to_say_how_a_call_stands_is_not_taken_for_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, begun, looked = asyncio.Event(), list[int](), list[int]()

    @tool
    async def work() -> str:
        begun.append(current_call().attempt)
        await gate.wait()
        return "done"

    standing = TakenCall.standing

    async def slow(self: TakenCall, wait_s: float) -> Any:
        if begun and wait_s == wire.POLL_S:
            looked.append(1)
            if len(looked) == 1:
                await asyncio.Event().wait()
            gate.set()
        return await standing(self, wait_s)

    monkeypatch.setattr(TakenCall, "standing", slow)
    monkeypatch.setattr(wire, "FIRST_POLL_S", 60.0)  # whoever began it asks no more
    monkeypatch.setattr(wire, "ANSWER_S", 0.3)
    async with place.worker(work), place.system() as system:
        remote_tools = system.node.services.remote
        assert remote_tools is not None

        def attempt(number: int) -> "asyncio.Task[Any]":
            context = CallContext("c1", number, "work", "r1", "", "alice", "desk", 0)
            return asyncio.create_task(remote_tools.call(work.spec, {}, context, RunContext(user_id="alice")))

        first = attempt(1)
        await until(lambda: begun == [1], WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            assert await attempt(2) == "done"
            assert await first == "done"
    assert begun == [1]


async def lose(worker: Worker) -> None:
    """Let it go as if it had died: it says nothing any more, and ends nothing."""
    assert worker.offers is not None
    made: Any = worker.offers
    await made._bus.close()
    for call in tuple(made._calls.values()):
        call.cancel()
    await worker.close()


async def test_a_call_is_given_to_no_more_than_three_workers_that_are_lost_with_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "GONE_S", 0.05)
    monkeypatch.setattr(wire, "ANSWER_S", 0.1)
    monkeypatch.setattr(wire, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(wire, "POLL_S", 0.01)
    monkeypatch.setattr(offers, "LINGER_S", 0.01)
    attempts: list[int] = []
    begun = asyncio.Event()

    @tool(idempotent=True)
    async def deadly() -> str:
        attempts.append(current_call().attempt)
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async with place.system() as system:
        desk = system.host(Agent(model=calling("deadly"), tools=[remote(deadly)]), name="desk")
        running = asyncio.create_task(desk.run("Go"))
        for _ in range(LOST_LIMIT):
            worker = place.worker(deadly)
            await worker.__aenter__()
            await begun.wait()
            begun.clear()
            await lose(worker)
        await running
        [unknown] = [event for event in await outcomes(system.journal) if isinstance(event, ToolOutcomeUnknown)]
        assert "that was the last of 3 attempts in a row" in unknown.reason
        assert attempts == [1, 2, 3]
