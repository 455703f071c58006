"""Agents and systems over one journal in PostgreSQL: what one node did, another sees and goes on from."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hosting import Gate, calling, namespace
from postgres import PostgresServer
from typer.testing import CliRunner
from waiting import until

from treadle import (
    Agent,
    FunctionModel,
    Message,
    ModelReply,
    RunState,
    System,
    ToolCall,
    ToolSpec,
    Unavailable,
    delegate,
    tool,
)
from treadle.actors.runtime import Ref
from treadle.gateways import services
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.cli.main import app
from treadle.gateways.journals import patience


def asks_once(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    if messages[-1].role == "tool":
        return ModelReply(f"It says: {messages[-1].content}")
    return ModelReply(tool_calls=(ToolCall("", "measure", {"host": "db-1"}),))


@tool
async def measure(host: str) -> str:
    """Measure a host."""
    return f"{host} is 91 % full"


def desk(url: str) -> Agent:
    return Agent("You keep watch.", model=FunctionModel(asks_once), name="desk", tools=[measure], runtime=url)


async def test_an_agent_keeps_its_conversation_in_postgresql(postgres_url: str) -> None:
    async with desk(postgres_url) as agent:
        first = await agent.run("How full is db-1?", user_id="alice", session_id="night")
        assert (first.output, first.turns) == ("It says: db-1 is 91 % full", 2)
    async with desk(postgres_url) as again:
        history = await again.session("night", user_id="alice").history()
        assert [message.content for message in history] == ["How full is db-1?", "It says: db-1 is 91 % full"]


async def test_two_nodes_read_the_same_views(postgres_url: str, tmp_path: Path) -> None:
    nodes = [System(journal=postgres_url, directory=tmp_path / name) for name in ("first", "second")]
    async with nodes[0] as first, nodes[1] as second:
        agent = Agent("You keep watch.", model="echo")
        first.host(agent, name="desk")
        result = await agent.run("Is db-1 healthy?", user_id="alice", session_id="night")
        await asyncio.gather(first.projections.catch_up(), second.projections.catch_up())
        [found] = await second.projections.runs.list(agent="desk")
        assert (found.run_id, found.state) == (result.run_id, RunState.COMPLETED)
        names = first.projections.names
        assert [await first.projections.state_hash(name) for name in names] == [
            await second.projections.state_hash(name) for name in names
        ]


async def test_commands_look_into_postgresql(postgres_url: str) -> None:
    async with desk(postgres_url) as agent:
        result = await agent.run("How full is db-1?", user_id="alice", session_id="night")

    def look(*words: str) -> str:
        shown = CliRunner().invoke(app, [*words, "--journal", postgres_url, "--json"])
        assert shown.exit_code == 0, shown.output
        return shown.output

    assert result.run_id in await asyncio.to_thread(look, "runs")
    assert "measure" in await asyncio.to_thread(look, "show", result.run_id)
    assert '"ok":true' in (await asyncio.to_thread(look, "audit", "verify")).replace(" ", "")


async def test_a_run_meets_a_database_that_dies_and_is_resumed_when_it_is_back(
    postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)  # it is away for longer than it is waited for
    pages = 0

    @tool(idempotent=True)
    async def measure(host: str) -> str:
        """Measure a host, while the database dies."""
        nonlocal pages
        pages += 1
        if pages == 1:
            await asyncio.to_thread(postgres_server.kill)
        return f"{host} is 91 % full"

    agent = Agent(model=FunctionModel(asks_once), name="desk", tools=[measure], runtime=postgres_url)
    async with agent, asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await agent.run("How full is db-1?", user_id="alice", session_id="night")
        await asyncio.to_thread(postgres_server.start)
        while True:
            try:
                result = await agent.resume("night", user_id="alice")
            except Unavailable:
                await asyncio.sleep(0.2)
            else:
                break
    assert result.output == "It says: db-1 is 91 % full"
    assert pages == 2  # nobody knew of the first, and the same call id made it safe


async def test_two_workers_of_one_agent_do_a_task_once_whichever_of_them_is_asked(
    postgres_url: str, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "POLL_S", 0.02)
    ns, gate = namespace(), Gate()

    def node(**options: bool) -> System:
        return System(journal=postgres_url, nats=nats_server.url, namespace=ns, projections=False, **options)  # type: ignore[arg-type]  # pyright: ignore

    async with node() as here, node(worker=True) as one, node(worker=True) as other:
        asked = {one: 0, other: 0}
        for there in asked:
            there.host(Agent(model=gate.model), name="prober")
            await there.start_hosting()
            worker = there.node.host.worker

            def counting(name: str, there: System = there, worker: Callable[[str], Ref] = worker) -> Ref:
                asked[there] += 1
                return worker(name)

            monkeypatch.setattr(there.node.host, "worker", counting)
        lead = Agent(model=calling("delegate_to_prober", prompt="measure"), tools=[delegate("prober")])
        running = asyncio.create_task(here.host(lead, name="lead").run("Go", user_id="alice"))
        await until(lambda: min(asked.values()) > 3, 20)
        gate.open()
        async with asyncio.timeout(20):
            assert (await running).output == "answer to measure"
        assert gate.prompts == ["measure"]
        events = await here.journal.read_all(0, 1000, category="worker")
        assert [event.type for event in events] == ["worker.task_accepted", "worker.task_ended"]
        [parent, child] = [e for e in await here.journal.read_all(0, 1000, category="run") if e.type == "run.started"]
        assert (child.user_id, child.correlation_id) == ("alice", parent.correlation_id)
