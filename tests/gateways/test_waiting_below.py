"""A run whose child waits for an approval waits itself: it says for what, and its own id is enough to answer."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from cuts import RUN_ID, Noting, fresh_node, opened
from cuts import run as run_on
from hosting import WITHIN_S, calling, namespace, node
from waiting import until, until_asked

from treadle import Agent, FunctionModel, Message, RunContext, RunResult, RunState, Steps, System, Team, delegate, tool
from treadle.events.child_step import ChildWaits
from treadle.events.errors import NotFound
from treadle.events.run import NothingToApprove
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.run_handle import Run


class Wiping:
    """A worker with a tool that asks, and teams around it."""

    def __init__(self) -> None:
        self.wiped: list[str] = []

        @tool(destructive=True)
        async def wipe() -> str:
            """Wipe it."""
            self.wiped.append("x")
            return "wiped"

        self._wipe = wipe

    def worker(self, name: str | None = None) -> Agent:
        return Agent("Wipe.", model=calling("wipe"), tools=[self._wipe], approval_handler="wait", name=name)

    def team(self, depth: int = 1) -> Agent:
        team = self.worker()
        for _ in range(depth):
            model = calling("delegate", worker="w", instructions="Do it.")
            team = Team.supervisor({"w": team}, model=model, persistent_subagents=False)
        return team


async def test_a_team_waits_for_what_a_worker_below_a_worker_waits_for_and_its_own_id_is_enough_to_answer() -> None:
    made = Wiping()
    async with System(journal="memory") as system:
        team = system.host(made.team(2), "team")
        async with asyncio.timeout(WITHIN_S):
            waiting = await team.run("Go.", user_id="ann")
        [asked] = waiting.waiting_for
        assert (waiting.state, waiting.interruption_reason) == (RunState.WAITING, f"approval:{asked.call_id}")
        assert asked.call_id.startswith(f"{asked.run_id}_")
        assert asked.run_id.startswith(f"{waiting.run_id}_")
        await system.projections.catch_up()
        rows = await system.projections.runs.list(state="waiting")
        assert {row.run_id for row in rows} >= {waiting.run_id, asked.run_id}
        run = Run(system.node, waiting.run_id)
        with pytest.raises(NothingToApprove):
            await run.approve("no such call")
        await run.approve(asked.call_id, by="ann")
        result = await run.wait()
        await system.projections.catch_up()
        assert await system.projections.runs.list(state="waiting") == []
    assert (result.output, result.waiting_for, made.wiped) == ("wiped", [], ["x"])


async def test_a_team_of_which_one_branch_can_go_on_is_not_at_rest() -> None:
    made, gate, asked = Wiping(), asyncio.Event(), asyncio.Event()

    async def slow(messages: Sequence[Message], _: object) -> str:
        asked.set()
        await gate.wait()
        return "slow"

    async def both(steps: Steps) -> str:
        async def ask(agent: Agent, part: Steps) -> str:
            return (await part.agent(agent, "Go.")).output

        return " ".join(await steps.together([partial(ask, made.worker("w")), partial(ask, late)]))

    late = Agent(model=FunctionModel(slow), name="late")
    async with System(journal="memory") as system:
        lead = system.host(Agent(model="echo", architecture=both), "lead")
        running = asyncio.create_task(lead.run("Go.", RunContext(run_id=RUN_ID)))
        run = Run(system.node, RUN_ID)
        await asked.wait()
        await until_asked(lambda: _waits(run))
        assert not running.done()
        gate.set()
        waiting = await running
        assert waiting.state == RunState.WAITING
        await run.approve(waiting.waiting_for[0].call_id, False)
        assert (await run.wait()).output == "DENIED: not approved slow"


async def _waits(run: Run) -> bool:
    try:
        return bool((await run.result()).waiting_for)
    except NotFound:
        return False  # it has not begun


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_node_that_closes_while_a_worker_waits_notes_that_all_of_them_are_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, depth: int
) -> None:
    journal, made = f"sqlite:{tmp_path}/waiting.db", Wiping()
    async with System(journal=journal) as system:
        waiting = await system.host(made.team(depth), "team").run("Go.")
        runs = [waiting.run_id, waiting.waiting_for[0].run_id]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    async with System(journal=journal, resume=False) as system:
        for run_id in runs:
            assert (await system.journal.read(f"run-{run_id}"))[-1].type == "run.suspended"
        team = system.host(made.team(depth), "team")
        run = Run(system.node, waiting.run_id)
        resuming = asyncio.create_task(team.resume(waiting.session_id))
        await until_asked(lambda: _waits(run))
        await run.approve(waiting.waiting_for[0].call_id)
        await resuming
        assert (await run.wait()).output == "wiped"


async def test_a_team_that_is_cut_while_a_worker_waits_waits_again() -> None:
    made, journal = Wiping(), Noting()
    async with opened(journal) as whole:
        running = asyncio.create_task(run_on(whole, made.team().spec, "Go."))
        await until_asked(lambda: _waits(Run(whole, RUN_ID)))
        events = await journal.read_all()
        running.cancel()
        await asyncio.wait((running,))
    cuts = [number for number, each in enumerate(events, 1) if isinstance(each.event, ChildWaits)]
    assert cuts == [len(events)]
    for cut in (len(events) - 1, len(events)):  # before the lead knew of it, and after
        async with fresh_node(events[:cut]) as again:
            run = Run(again, RUN_ID)
            running = asyncio.create_task(run_on(again, made.team().spec, "Go."))
            await until_asked(lambda run=run: _waits(run))  # type: ignore[misc]
            [asked] = (await run.result()).waiting_for
            await run.approve(asked.call_id)
            assert (await running).output == "wiped"


async def test_a_worker_on_another_node_says_there_that_it_waits_and_is_answered_from_here(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    made, ns, url = Wiping(), namespace(), f"sqlite:{tmp_path}/events.db"
    lead = Agent(model=calling("delegate_to_far", prompt="Go."), tools=[delegate("far")], name="lead")
    async with node(nats_server, url, ns, lead) as here, node(nats_server, url, ns, made.worker("far")):
        async with asyncio.timeout(WITHIN_S):
            waiting: RunResult = await lead.run("Go.", user_id="ann")
        assert waiting.state == RunState.WAITING
        run = Run(here.node, waiting.run_id)
        await run.approve(waiting.waiting_for[0].call_id, by="ann")
        async with asyncio.timeout(WITHIN_S):
            assert (await run.wait()).output == "wiped"
        await until(lambda: made.wiped == ["x"])
