"""A ref works wherever its actor lives: prompts, answers and cancellations reach the node that works on it."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from hosting import WITHIN_S, Gate, calling, namespace, node
from waiting import until

from treadle import Agent, FunctionModel, Message, RunState, ToolSpec, tool
from treadle.events.subjects import SignalAddress
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.run_handle import Run


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/events.db"


def desk(gate: Gate) -> Agent:
    return Agent("You keep watch.", model=gate.model, name="desk")


async def test_a_prompt_for_a_session_that_another_node_works_on_has_its_turn_there(
    nats_server: EmbeddedServer, url: str
) -> None:
    gate, ns = Gate(), namespace()
    here, there = desk(gate), desk(gate)
    async with node(nats_server, url, ns, here) as one, node(nats_server, url, ns, there) as two:
        first = asyncio.create_task(there.run("first", session_id="s", user_id="alice"))
        await until(lambda: gate.waiting == 1, WITHIN_S)
        second = asyncio.create_task(here.run("second", session_id="s", user_id="alice"))
        await asyncio.wait((second,), timeout=0.3)
        assert (gate.prompts, second.done()) == (["first"], False)
        gate.open()
        assert [(await each).output for each in (first, second)] == ["answer to first", "answer to second"]
        await one.projections.catch_up()
        assert {run.owner for run in await one.projections.runs.list()} == {two.journal.owner}


async def test_a_prompt_takes_along_how_it_is_to_be_answered(nats_server: EmbeddedServer, url: str) -> None:
    gate, ns, shown = Gate(), namespace(), list[str]()

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        if messages[-1].content == "first":
            return (await gate.model.complete(messages)).text
        shown.append(messages[0].content)
        return '{"value": ["2026-07-01"]}' if len(shown) > 1 else "tomorrow"

    here, there = (Agent("You keep watch.", model=FunctionModel(answer), name="desk") for _ in range(2))
    async with node(nats_server, url, ns, here), node(nats_server, url, ns, there):
        first = asyncio.create_task(there.run("first", session_id="s", user_id="alice"))
        await until(lambda: gate.waiting == 1, WITHIN_S)
        asking = here.run("second", session_id="s", user_id="alice", output_schema=list[date], response_tone="legal")
        second = asyncio.create_task(asking)
        await asyncio.wait((second,), timeout=0.3)
        gate.open()
        await first
        assert (await second).parsed == [date(2026, 7, 1)]
    assert "legal: " in shown[0]
    assert '"format":"date"' in shown[0]
    assert len(shown) == 2


async def test_an_approval_and_its_run_are_reached_from_every_node(nats_server: EmbeddedServer, url: str) -> None:
    wiped: list[str] = []

    @tool(destructive=True)
    async def wipe() -> str:
        """Wipe it."""
        wiped.append("x")
        return "wiped"

    def agent() -> Agent:
        return Agent("Work.", model=calling("wipe"), name="desk", tools=[wipe], approval_handler="wait")

    ns, here, there = namespace(), agent(), agent()
    async with node(nats_server, url, ns, here) as one, node(nats_server, url, ns, there):
        parked = await there.run("go", session_id="s", user_id="alice")
        assert parked.state == RunState.WAITING
        run = Run(one.node, parked.run_id)
        waiting = asyncio.create_task(run.wait())
        await run.approve(parked.waiting_for[0].call_id, by="bob")
        async with asyncio.timeout(WITHIN_S):
            assert (await waiting).output == "wiped"
    assert wiped == ["x"]


async def test_a_run_is_steered_from_another_node_and_by_its_session(nats_server: EmbeddedServer, url: str) -> None:
    gate, ns = Gate(), namespace()
    here, there = desk(gate), desk(gate)
    async with node(nats_server, url, ns, here) as one, node(nats_server, url, ns, there):
        run = await there.session("s", user_id="alice").start("first")
        await until(lambda: gate.waiting == 1, WITHIN_S)
        await Run(one.node, run.id).steer("Use euros.", now=True)
        await until(lambda: gate.prompts == ["first", "Use euros."], WITHIN_S)
        await here.steer(text="Use pounds.", session_id="s", user_id="alice", now=True)
        await until(lambda: gate.prompts[2:] == ["Use pounds."] and gate.waiting == 1, WITHIN_S)
        gate.open()
        assert (await run.wait()).output == "answer to Use pounds."


async def test_a_run_is_cancelled_from_another_node(nats_server: EmbeddedServer, url: str) -> None:
    gate, ns = Gate(), namespace()
    here, there = desk(gate), desk(gate)
    async with node(nats_server, url, ns, here) as one, node(nats_server, url, ns, there):
        session = await there.session("s", user_id="alice").start("first")
        alone = asyncio.create_task(there.run("second", user_id="alice"))
        await until(lambda: gate.waiting == 2, WITHIN_S)
        assert (await Run(one.node, session.id).cancel("enough", by="bob")).state == RunState.CANCELLED
        await one.projections.catch_up()
        [row] = await one.projections.runs.open_runs()
        assert (await Run(one.node, row.run_id).cancel()).state == RunState.CANCELLED
        assert (await asyncio.gather(alone, return_exceptions=True))[0] is not None
    assert gate.waiting == 0


async def test_a_signal_reaches_the_node_that_hosts_its_agent_whoever_owns_its_partition(
    nats_server: EmbeddedServer, url: str
) -> None:
    ns = namespace()
    day, night = (Agent("Watch.", model="echo", name=name) for name in ("day", "night"))
    async with node(nats_server, url, ns, day) as one, node(nats_server, url, ns, night) as two:
        assert one.placement is not None and two.placement is not None
        placements = (one.placement, two.placement)
        await until(lambda: [len(placement.owned) for placement in placements] == [16, 16], WITHIN_S)
        for number in range(10):
            for agent in ("day", "night"):
                await one.signal(agent, "look", session_id=f"s{number}", user_id="alice")
        owners = {
            (agent, system)
            for number in range(10)
            for agent in ("day", "night")
            for system, placement in zip("12", placements, strict=True)
            if one.subjects.partition(SignalAddress("alice", agent, f"s{number}"), 32) in placement.owned
        }
        assert owners == {("day", "1"), ("day", "2"), ("night", "1"), ("night", "2")}

        async def ended() -> bool:
            await one.projections.catch_up()
            runs = await one.projections.runs.list(limit=100)
            return len([run for run in runs if run.state == RunState.COMPLETED]) == 20

        async with asyncio.timeout(WITHIN_S):
            while not await ended():  # noqa: ASYNC110 - a view is what is waited for
                await asyncio.sleep(0.05)
        runs = await one.projections.runs.list(limit=100)
        assert {(run.agent, run.owner) for run in runs} == {("day", one.journal.owner), ("night", two.journal.owner)}
        assert one.signals is not None and two.signals is not None
        assert one.signals.parked + two.signals.parked == 0
