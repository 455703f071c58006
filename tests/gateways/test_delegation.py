"""Delegation: a task is done once, wherever its worker is, and every way in which it can fail reaches the model."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hosting import WITHIN_S, Gate, calling, namespace
from waiting import until

from treadle import (
    Agent,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    Run,
    System,
    ToolCall,
    ToolSpec,
    delegate,
    tool,
)
from treadle.actors.children import MAX_DEPTH
from treadle.events.envelope import Meta
from treadle.events.journal import Journal
from treadle.events.tool_step import ApprovalRequested
from treadle.events.worker import TaskAccepted
from treadle.gateways import delegation
from treadle.gateways.broker.server import EmbeddedServer


def desk(*workers: str, prompt: str = "measure") -> Agent:
    """An agent that hands the same prompt to each of these workers, all at once."""
    return Agent(
        model=calling(*(f"delegate_to_{worker}" for worker in workers), prompt=prompt),
        tools=[delegate(worker) for worker in workers],
        name="desk",
    )


async def types(journal: Journal, category: str = "") -> list[str]:
    return [event.type for event in await journal.read_all(0, 10_000, category=category)]


async def test_a_worker_of_this_process_runs_the_task_and_the_runs_know_each_other() -> None:
    async with System() as system:
        system.host(Agent(model="echo"), name="prober")
        result = await system.host(desk("prober")).run("Go", user_id="alice", session_id="s")
        assert result.output == "Echo: measure"
        started = [event for event in await system.journal.read_all() if event.type == "run.started"]
        parent, child = started
        assert child.event.parent_run_id == parent.run_id  # type: ignore[attr-defined]  # pyright: ignore
        assert (child.event.depth, child.user_id) == (1, "alice")  # type: ignore[attr-defined]  # pyright: ignore
        assert (child.correlation_id, child.causation_id) == (parent.correlation_id, f"{parent.run_id}_2_0")
        assert await types(system.journal, "worker") == ["worker.task_accepted", "worker.task_ended"]


async def test_workers_of_one_turn_work_beside_each_other() -> None:
    gate = Gate()
    async with System() as system:
        for name in ("a", "b", "c"):
            system.host(Agent(model=gate.model), name=name)
        running = asyncio.create_task(system.host(desk("a", "b", "c")).run("Go"))
        await until(lambda: gate.waiting == 3)
        gate.open()
        assert (await running).output == " | ".join(["answer to measure"] * 3)


async def test_a_worker_on_another_system_with_its_own_journal_is_found_over_nats(nats_server: EmbeddedServer) -> None:
    ns, gate = namespace(), Gate()
    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        there.host(Agent(model=gate.model), name="prober")
        await there.start_hosting()
        await here.start_hosting()
        running = asyncio.create_task(here.host(desk("prober")).run("Go", user_id="é.*"))
        await until(lambda: gate.waiting == 1)
        gate.open()
        assert (await running).output == "answer to measure"
        assert await types(here.journal, "worker") == []
        assert await types(there.journal, "worker") == ["worker.task_accepted", "worker.task_ended"]


async def test_a_long_task_is_asked_for_again_and_done_once(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegation, "FIRST_WAIT_S", 0.01)
    ns, gate = namespace(), Gate()
    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        there.host(Agent(model=gate.model), name="prober")
        await there.start_hosting()
        asked: list[str] = []
        request = here.bus.request

        async def counting(subject: str, data: bytes, timeout_s: float, headers: None = None) -> object:
            asked.append(subject)
            return await request(subject, data, timeout_s, headers)

        monkeypatch.setattr(here.bus, "request", counting)
        running = asyncio.create_task(here.host(desk("prober")).run("Go"))
        await until(lambda: len(asked) > 3, WITHIN_S)
        gate.open()
        assert (await running).output == "answer to measure"
        assert gate.prompts == ["measure"]


async def test_a_task_that_is_given_twice_is_done_once_and_answered_twice() -> None:
    async with System() as system:
        gate = Gate()
        system.host(Agent(model=gate.model), name="prober")
        work = system.node.services.work
        assert work is not None
        task, cause = TaskAccepted(task_id="call-1", run_id="call-1_prober", prompt="measure"), Meta(run_id="r1")
        both = [asyncio.create_task(work.delegate("prober", task, cause)) for _ in range(2)]
        await until(lambda: gate.waiting == 1)
        gate.open()
        first, second = await asyncio.gather(*both)
        third = await work.delegate("prober", task, cause)
        assert first == second == third
        assert gate.prompts == ["measure"]
        assert await types(system.journal, "worker") == ["worker.task_accepted", "worker.task_ended"]


async def test_a_worker_that_fails_tells_the_model_why() -> None:
    def broken(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise OSError("the probe is broken")

    async with System() as system:
        system.host(Agent(model=FunctionModel(broken)), name="prober")
        system.host(Agent(model="echo", budget=Limits(max_tokens=1)), name="poor")
        result = await system.host(desk("prober", "poor", "nobody")).run("Go")
        failed, poor, nobody = result.output.split(" | ")
        assert "worker 'prober' ended failed" in failed
        assert "the probe is broken" in failed
        assert "worker 'poor' ended interrupted: budget:max_tokens" in poor
        assert "no agent 'nobody'; hosted here: desk, poor, prober" in nobody


async def test_a_worker_that_nobody_serves_is_given_up_after_a_while(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegation, "PATIENCE_S", 0.1)
    async with System(nats=nats_server.url, namespace=namespace()) as system:
        result = await system.host(desk("nobody")).run("Go")
        assert result.output.startswith("ERROR: Unavailable: worker 'nobody' is unavailable")


async def test_a_worker_that_is_away_is_told_of_once_and_once_more_when_it_is_back(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delegation, "LOOK_EVERY_S", 0.01)
    ns, asked = namespace(), list[str]()
    async with System(nats=nats_server.url, namespace=ns) as here:
        request = here.bus.request

        async def counting(subject: str, data: bytes, timeout_s: float, headers: None = None) -> object:
            asked.append(subject)
            return await request(subject, data, timeout_s, headers)

        monkeypatch.setattr(here.bus, "request", counting)
        lead = here.host(desk("prober"))
        for life in (1, 2):
            asked.clear()
            runs = [asyncio.create_task(lead.run(f"Go {number}")) for number in range(3)]
            await until(lambda: len(asked) > 12, WITHIN_S)
            told = [record.getMessage() for record in caplog.records if record.name == "treadle.delegation"]
            assert len(told) == 2 * life - 1
            assert "worker 'prober' does not answer and is looked for: " in told[-1]
            async with System(nats=nats_server.url, namespace=ns, worker=True) as there:
                there.host(Agent(model="echo"), name="prober")
                await there.start_hosting()
                async with asyncio.timeout(WITHIN_S):
                    assert [result.output for result in await asyncio.gather(*runs)] == ["Echo: measure"] * 3
            told = [record.getMessage() for record in caplog.records if record.name == "treadle.delegation"]
            assert told[-1] == "worker 'prober' answers again"
            assert len(told) == 2 * life


async def test_a_worker_that_waits_for_an_approval_goes_on_when_it_is_given() -> None:
    done: list[str] = []

    @tool(destructive=True)
    async def restart() -> str:
        done.append("restarted")
        return "restarted"

    async with System() as system:
        operator = Agent(model=calling("restart"), tools=[restart], approval_handler="wait")
        system.host(operator, name="the_operator")
        running = asyncio.create_task(system.host(desk("the_operator")).run("Go", session_id="s"))
        async with asyncio.timeout(WITHIN_S):
            question = None
            while question is None:
                position = await system.journal.last_position()
                events = await system.journal.read_all(0, 1000)
                question = next((event for event in events if event.type == "run.approval_requested"), None)
                if question is None:
                    await system.journal.wait(position)
        assert done == []
        assert isinstance(question.event, ApprovalRequested)
        waiting = await running
        assert [asked.call_id for asked in waiting.waiting_for] == [question.event.call_id]
        await operator.session("any").approve(question.event.call_id, by="bob")
        assert (await Run(system.node, waiting.run_id).wait()).output == "restarted"
        assert done == ["restarted"]


async def test_agents_that_hand_a_task_around_in_a_circle_end_with_a_recorded_failure() -> None:
    def onward(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", tools[0].name, {"prompt": "you do it"}),))

    async with System() as system:
        system.host(Agent(model=FunctionModel(onward), tools=[delegate("b")]), name="a")
        system.host(Agent(model=FunctionModel(onward), tools=[delegate("a")]), name="b")
        async with asyncio.timeout(WITHIN_S):
            result = await system.host(desk("a")).run("Go")
        assert "may not delegate further; is this a circle?" in result.output
        recorded = await types(system.journal)
        assert recorded.count("run.started") == recorded.count("run.completed") == MAX_DEPTH + 1


@pytest.mark.parametrize("same", [True, False])
async def test_a_task_whose_worker_restarts_in_the_middle_is_finished_once(
    nats_server: EmbeddedServer, tmp_path: Path, same: bool
) -> None:
    """`same`: the worker's process only closes and opens; else the desk's, too, and its run is resumed."""
    ns, done = namespace(), list[str]()
    hang = True

    @tool(idempotent=True)
    async def measure() -> str:
        done.append("measured")
        return "7"

    @tool(read_only=True)
    async def wait() -> str:
        if hang:
            await asyncio.Event().wait()
        return "ready"

    def prober() -> Agent:
        return Agent(model=calling("measure", "wait"), tools=[measure, wait])

    def workers() -> System:
        return System(journal=f"sqlite:{tmp_path}/there.db", nats=nats_server.url, namespace=ns, worker=True)

    def desks() -> System:
        return System(journal=f"sqlite:{tmp_path}/here.db", nats=nats_server.url, namespace=ns)

    here, there = desks(), workers()
    await here.__aenter__()
    await there.__aenter__()
    there.host(prober(), name="prober")
    await there.start_hosting()
    run = await here.host(desk("prober")).session("s", user_id="alice").start("Go")
    await until(lambda: done == ["measured"], WITHIN_S)
    if not same:
        await here.close()
    await there.close()
    hang = False
    there = workers()
    await there.__aenter__()
    there.host(prober(), name="prober")
    await there.start_hosting()
    if not same:
        here = desks()
        await here.__aenter__()
        here.host(desk("prober"))
        await here.start_hosting()
    async with asyncio.timeout(WITHIN_S):
        result = await Run(here.node, run.id).wait()
    assert (result.state, result.output) == ("completed", "7 | ready")
    assert done == ["measured"]
    assert (await types(there.journal, "worker")).count("worker.task_ended") == 1
    await here.close()
    await there.close()
