"""Time-outs that a run may meet: each is set by name, has a number, and says both when it strikes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cuts import RUN_ID, Noting, fresh_node, opened
from cuts import run as run_on
from hosting import calling, namespace

from treadle import (
    Agent,
    ApprovalQuestion,
    ConfigError,
    FunctionModel,
    Limits,
    RunState,
    RunTimeout,
    System,
    Team,
    Workflow,
    delegate,
    tool,
)
from treadle.events.tool_step import ApprovalDecided, ApprovalRequested
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.run_handle import Run

NOBODY = "nobody answered within 0.05 s (approval_timeout_s)"


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with System(journal="memory") as opened:
        yield opened


@tool(destructive=True)
async def wipe() -> str:
    """Wipe it."""
    raise AssertionError("nobody has allowed it")


def waiting(**how: Any) -> Agent:
    return Agent(model=calling("wipe"), tools=[wipe], approval_timeout_s=0.05, **how)


async def never(messages: Any, tools: Any) -> str:
    await asyncio.Event().wait()
    return ""


async def test_timeout_is_another_name_of_timeout_s_and_not_a_second_number(system: System) -> None:
    late = system.host(Agent(model=FunctionModel(never), timeout=0.01), "late")
    with pytest.raises(RunTimeout) as raised:
        await late.run("Go.")
    assert raised.value.limit_s == 0.01
    with pytest.raises(ConfigError, match="one setting"):
        Agent(model="echo", timeout=1, timeout_s=2)


@pytest.mark.parametrize("name", ["timeout_s", "timeout", "model_timeout_s", "approval_timeout_s"])
@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), "3", True])
def test_a_limit_that_is_no_time_is_refused_by_name(name: str, given: Any) -> None:
    limit: dict[str, Any] = {name: given}
    with pytest.raises(ConfigError, match=name.removesuffix("_s")):
        Agent(model="echo", **limit)
    with pytest.raises(ConfigError, match=name.removesuffix("_s")):
        Team.supervisor({"a": Agent(model="echo")}, model="echo", **limit)


def test_a_workflow_and_a_system_refuse_it_too() -> None:
    with pytest.raises(ConfigError, match="approval_timeout_s=0"):
        Workflow(approval_timeout_s=0)
    with pytest.raises(ConfigError, match="patience_s=-1"):
        System(patience_s=-1)


async def test_an_approval_that_nobody_answers_in_time_is_a_no_and_says_so(system: System) -> None:
    agent = system.host(waiting(approval_handler="wait"), "desk")
    parked = await agent.run("Go.", session_id="s")
    assert parked.state == RunState.WAITING
    assert parked.waiting_for[0].until
    run = Run(system.node, parked.run_id)
    assert (await run.wait()).output == f"DENIED: {NOBODY}"
    decided = [event.payload for event in await run.transcript() if event.type == "approval.decided"]
    assert [(each["allowed"], each["by"]) for each in decided] == [(False, "treadle")]


async def test_an_approval_handler_that_takes_too_long_says_no(system: System) -> None:
    async def thinks(question: ApprovalQuestion) -> bool:
        await asyncio.Event().wait()
        return True

    assert (await system.host(waiting(approval_handler=thinks), "desk").run("Go.")).output == f"DENIED: {NOBODY}"


async def test_the_time_for_an_approval_goes_on_while_no_process_is_there() -> None:
    journal = Noting()
    async with opened(journal) as node:
        await run_on(node, waiting(approval_handler="wait").spec, "Go.")
        events = await journal.read_all()
    asked = next(number for number, each in enumerate(events, 1) if isinstance(each.event, ApprovalRequested))
    async with fresh_node(events[:asked]) as node:
        result = await run_on(node, waiting(approval_handler="wait").spec, "Go.")
        decided = [each.event for each in await node.journal.read_all() if isinstance(each.event, ApprovalDecided)]
    assert result.output == f"DENIED: {NOBODY}"
    assert len(decided) == 1
    assert result.run_id == RUN_ID


async def test_a_worker_that_is_not_there_is_waited_for_as_long_as_the_system_says(
    nats_server: EmbeddedServer,
) -> None:
    async with System(nats=nats_server.url, namespace=namespace(), patience_s=0.1) as system:
        lead = system.host(Agent(model=calling("delegate_to_far", prompt="Go."), tools=[delegate("far")]), "lead")
        assert "for 0.1 s now (patience_s of the system)" in (await lead.run("Go.")).output


async def test_room_in_a_budget_is_waited_for_as_long_as_the_system_says() -> None:
    async with System(journal="memory", patience_s=0.1) as system:
        budget = Limits(max_tokens=2000)
        holds, gate = asyncio.Event(), asyncio.Event()

        async def long(messages: Any, tools: Any) -> str:
            holds.set()
            await gate.wait()
            return "done"

        desk = system.host(Agent(model=FunctionModel(long), budget=budget, options={"max_tokens": 1500}), "desk")
        first = asyncio.create_task(desk.run("Go."))
        await holds.wait()
        second = await desk.run("Go.")
        gate.set()
        assert (await first).output == "done"
    assert second.state == RunState.INTERRUPTED
    assert "for 0.1 s now" in second.interruption_reason
