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
