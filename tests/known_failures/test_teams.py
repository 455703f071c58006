"""What other teams forget in a crash, cut short, and offer without a way to it (L5, L6, L9, L16, A10)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from crash.afterwards import read
from crash.children import Children, Life
from crash.ledger import Ledger
from crash.programs import LEDGER
from hand_clock import HandClock
from hosting import WITHIN_S, namespace
from known_failures.agents import Opened, Waiting
from turns import Turns, calls, delegates, hands_over, results

from treadle import Agent, FunctionModel, Limits, Message, ModelReply, System, Team, ToolSpec, Workflow, step, tool
from treadle.architecture import Supervisor, Swarm
from treadle.events.child_step import ChildRequested
from treadle.events.run import RunStarted
from treadle.events.session import RunOpened, session_stream
from treadle.gateways.broker.server import EmbeddedServer


async def stopped_at(agent: Agent, waits: Waiting) -> None:
    """Begin, and be gone when `waits` is asked."""
    running = asyncio.create_task(agent.run("Go", session_id="s", user_id="alice"))
    async with asyncio.timeout(WITHIN_S):
        await waits.asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await agent.aclose()
    waits.go_on.set()


def says(text: str) -> Waiting:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        return text

    return Waiting(answer)


async def test_a_resumed_swarm_goes_on_with_the_peer_that_has_control_and_ends_with_its_words(opened: Opened) -> None:
    """L6"""
    triage, billing = Turns(hands_over("billing", "Refund it.")), says("Refunded.")

    def swarm(process: int) -> Agent:
        peers = {"triage": Agent(model=triage.model), "billing": Agent(model=FunctionModel(billing))}
        return opened(FunctionModel(billing), process, architecture=Swarm(peers, "triage"))

    await stopped_at(swarm(1), billing)
    result = await swarm(2).resume("s", user_id="alice")

    assert (result.output, triage.calls) == ("Refunded.", 1)


async def test_a_swarm_that_was_killed_goes_on_with_the_run_that_crashed_and_the_peer_that_has_it(
    children: Children, tmp_path: Path
) -> None:
    """L5, L6"""
    # Its first prompt was handed over to billing, which has the second from the beginning.
    life = Life(program="Swarm", directory=str(tmp_path), kill="after effect of charge 2")
    assert children.die(life)
    before = Ledger(tmp_path / LEDGER).effects()

    report = children.live(Life(program="Swarm", directory=str(tmp_path), resume=True))

    assert report.answers == ["1 are settled", "1 are settled"]
    assert Ledger(tmp_path / LEDGER).effects() == before
    asked = [event.event for event in await read(tmp_path) if isinstance(event.event, ChildRequested)]
    assert [child.role for child in asked] == ["triage", "billing", "billing"]


async def test_a_resumed_supervisor_knows_whom_it_has_spawned_and_what_there_is_to_forward(opened: Opened) -> None:
    """L6"""
    worker, again = Turns("Checked."), says("on it")
    spawn = ("spawn_worker", {"role": "checker", "instructions": "You check."})
    lead = Turns(calls(spawn), delegates(checker="Check."), delegates(waits="Hold the line."), _forward("checker"))

    def team(process: int) -> Agent:
        template = Agent(model=worker.model)
        waits = {"waits": Agent(model=FunctionModel(again))}
        supervisor = Supervisor(waits, allow_spawn=True, spawn_template=template)
        return opened(lead.model, process, architecture=supervisor)

    await stopped_at(team(1), again)
    result = await team(2).resume("s", user_id="alice")

    assert result.output == "Checked."
    assert (lead.calls, worker.calls) == (4, 1)


async def test_a_worker_without_a_runtime_of_its_own_goes_on_where_it_was(opened: Opened) -> None:
    """L9"""
    measured, waits = list[str](), says("ready")

    @tool(idempotent=True)
    async def measure() -> str:
        measured.append("7")
        return "7"

    first = Turns(calls(("measure", {})), results)

    def team(process: int) -> Agent:
        probe = Agent(model=first.model, tools=[measure])
        workers = {"probe": probe, "waits": Agent(model=FunctionModel(waits))}
        lead = Turns(delegates(probe="Measure."), delegates(waits="Wait."), _forward("probe"))
        return opened(lead.model, process, architecture=Supervisor(workers, persistent_subagents=True))

    await stopped_at(team(1), waits)
    result = await team(2).resume("s", user_id="alice")

    assert result.output == "7"
    assert (first.calls, measured) == (2, ["7"])


async def test_a_workflow_goes_on_at_the_node_where_it_was_and_its_steps_run_once(tmp_path: Path) -> None:
    """L9"""
    charged, measured = list[str](), list[str]()
    asks_twice, waits = Turns(calls(("measure", {})), results), says("sent")

    @step
    async def charge(order: str) -> str:
        charged.append(order)
        return f"charged {order}"

    @tool
    async def measure() -> str:
        measured.append("7")
        return "7"

    def shop(process: int) -> Workflow:
        probe, sender = Agent(model=asks_twice.model, tools=[measure]), Agent(model=FunctionModel(waits))
        runtime = f"sqlite:{tmp_path}/{'./' * (process - 1)}runs.db"
        return Workflow.chain([charge, probe, sender], name="shop", runtime=runtime)

    first = shop(1)
    running = asyncio.create_task(first.run("12", session_id="s", user_id="alice"))
    await waits.asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    journal = (await first.node()).journal
    [opened, *_] = await journal.read(session_stream("alice", "shop", "s"))
    await first.aclose()
    waits.go_on.set()

    assert isinstance(opened.event, RunOpened)
    async with shop(2) as second:
        result = await second.resume(opened.event.run_id)

    assert (result.output, charged, measured, asks_twice.calls) == ("sent", ["12"], ["7"], 2)


@pytest.mark.parametrize("asked", ["as an agent", "with a conversation of its own", "by its name"])
@pytest.mark.parametrize(("limit_s", "said"), [(None, "late"), (400.0, "late"), (100.0, "took longer than")])
async def test_a_worker_that_takes_five_minutes_is_cut_short_by_its_own_limit_and_by_no_other(
    asked: str, limit_s: float | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L16"""
    waits, lead, clock = says("late"), Turns(delegates(slow="Wait."), results), HandClock()
    slow = Agent(model=FunctionModel(waits), timeout_s=limit_s)
    async with System(clock=clock) as system:
        system.host(slow, name="slow")
        supervisor = Supervisor(
            {"slow": "slow" if asked == "by its name" else slow},
            persistent_subagents=asked == "with a conversation of its own",
        )
        team = system.host(Agent(model=lead.model, architecture=supervisor), name="lead")
        running = asyncio.create_task(team.run("Go", session_id="s", user_id="alice"))
        await waits.asked.wait()
        await pass_by(300, clock, monkeypatch)
        waits.go_on.set()
        result = await running

    assert said in result.output


async def pass_by(seconds: int, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have so many seconds pass, one after the other, for whoever looks at a clock or has the loop look at one."""
    loop = asyncio.get_running_loop()
    begun, real = clock.monotonic(), loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + clock.monotonic() - begun)
    for _ in range(seconds):
        clock.move(1)
        for _ in range(3):  # what is due is called, and what that wakes goes on
            await asyncio.sleep(0)


def test_no_worker_has_a_time_limit_that_nobody_set() -> None:
    """L16"""
    team = Team.supervisor({"a": Agent(model="echo")}, model="echo", allow_spawn=True)
    limits: dict[str, Any] = {name: made.spec.timeout_s for name, made in team.spec.tools.items()}
    assert limits == dict.fromkeys(["delegate", "forward_message", "send_message", "spawn_worker"])
    assert team.spec.timeout_s is None


async def test_a_worker_with_a_time_limit_of_its_own_is_cut_short_at_that_and_the_lead_is_told(opened: Opened) -> None:
    """L16"""
    waits, lead = says("late"), Turns(delegates(a="Wait."), results)
    agent = opened(lead.model, architecture=Supervisor({"a": Agent(model=FunctionModel(waits), timeout_s=0.05)}))

    result = await agent.run("Go")

    assert "worker 'a' ended failed: the run took longer than timeout_s=0.05 seconds" in result.output


async def test_a_team_is_shown_a_tool_to_delegate_with_which_reaches_workers_of_other_processes(
    nats_server: EmbeddedServer,
) -> None:
    """A10"""
    ns = namespace()
    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        there.host(Agent(model="echo"), name="far")
        await there.start_hosting()
        lead = Turns(delegates(far="Measure."), results)
        team = here.host(Team.supervisor({"far": "far"}, model=lead.model, budget=Limits(max_tokens=100_000)))
        async with asyncio.timeout(WITHIN_S):
            result = await team.run("Go", user_id="alice")
        [child] = [
            recorded.event
            for recorded in await there.journal.read_all(limit=1000)
            if isinstance(recorded.event, RunStarted)
        ]
    assert result.output == "Echo: Measure."
    assert "delegate" in [spec.name for spec in lead.shown[0]]
    assert child.depth == 1
    assert [scope.limits.max_tokens for scope in child.budgets] == [100_000]


def _forward(worker: str) -> ModelReply:
    return calls(("forward_message", {"worker": worker}))
