"""Several nodes that take the same signals: what a takeover looks like for a moment."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hosting import WITHIN_S, namespace
from waiting import until

from treadle import Agent, FunctionModel, Message, ModelReply, RunState, System, ToolCall, ToolSpec, current_call, tool
from treadle.actors import session
from treadle.actors.run_history import RunHistory, history_of
from treadle.events.journal import Journal
from treadle.gateways.broker.server import EmbeddedServer

SIGNALS, SESSIONS = 20, 5


@pytest.mark.parametrize("journal", ["sqlite", "postgresql"])
@pytest.mark.parametrize("nodes", [2, 3])
async def test_nodes_that_take_the_same_sessions_signals_run_each_once(
    nodes: int, journal: str, nats_server: EmbeddedServer, postgres_url: str, tmp_path: Path
) -> None:
    url = postgres_url if journal == "postgresql" else f"sqlite:{tmp_path}/events.db"
    called: Counter[str] = Counter()

    @tool
    async def note() -> str:
        """Note it."""
        called[current_call().call_id] += 1
        await asyncio.sleep(0.005)
        return "noted"

    async def think(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0.005)
        if messages[-1].role == "tool":
            return ModelReply("done")
        return ModelReply(tool_calls=(ToolCall("", "note", {}),))

    shared = namespace()
    async with AsyncExitStack() as stack:
        systems = [
            await stack.enter_async_context(System(journal=url, nats=nats_server.url, namespace=shared))
            for _ in range(nodes)
        ]
        for system in systems:
            system.host(Agent("You keep watch.", model=FunctionModel(think), name="desk", tools=[note]))
            await system.start_hosting()
        for number in range(SIGNALS):
            await systems[0].signal("desk", f"look {number}", session_id=f"conv-{number % SESSIONS}", user_id="alice")
        taking = [system.signals for system in systems if system.signals is not None]
        await until(lambda: sum(signals.done for signals in taking) == SIGNALS, WITHIN_S)
        await systems[0].projections.catch_up()
        runs = await systems[0].projections.runs.list(limit=100)
        assert [run.state for run in runs] == [RunState.COMPLETED] * SIGNALS
        assert sorted(run.prompt for run in runs) == sorted(f"look {number}" for number in range(SIGNALS))
        assert list(called.values()) == [1] * SIGNALS
        assert sum(signals.parked for signals in taking) == 0


async def test_a_prompt_waits_for_the_run_after_the_one_that_it_met_on_another_node(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {prompt: asyncio.Event() for prompt in ("first", "second")}
    began: list[str] = []

    async def wait(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        began.append(prompt := messages[-1].content)
        if prompt in gates:
            await gates[prompt].wait()
        return f"{prompt} done"

    async def begun(prompt: str) -> None:
        await until(lambda: prompt in began, WITHIN_S)

    async def late(journal: Journal, run_id: str) -> RunHistory:
        """Looks for the first run, and before it has found it, that one has ended and the second has begun."""
        monkeypatch.setattr(session, "history_of", history_of)
        gates["first"].set()
        await begun("second")
        return await history_of(journal, run_id)

    shared = namespace()
    async with AsyncExitStack() as stack:
        desks = list[Agent]()
        for _ in range(2):
            system = await stack.enter_async_context(
                System(journal=f"sqlite:{tmp_path}/events.db", nats=nats_server.url, namespace=shared)
            )
            desks.append(system.host(Agent("You wait.", model=FunctionModel(wait), name="desk")))
            await system.start_hosting()
        ours, theirs = desks
        await theirs.run("before", session_id="s")  # so that they know the session, and no more of it than this
        first = asyncio.create_task(ours.run("first", session_id="s"))
        await begun("first")
        second = asyncio.create_task(ours.run("second", session_id="s"))
        monkeypatch.setattr(session, "history_of", late)
        third = asyncio.create_task(theirs.run("third", session_id="s"))
        await begun("second")
        gates["second"].set()
        results = await asyncio.gather(first, second, third)
    assert [result.output for result in results] == ["first done", "second done", "third done"]
    assert began == ["before", "first", "second", "third"]
