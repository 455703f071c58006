"""A run that is resumed with another graph, or another team, than it began with is refused before anything is done."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from recording import write
from turns import Turns, calls, delegates, results
from waiting import until

from treadle import START, Agent, FunctionModel, ReplayDivergence, RunState, System, Workflow, step, tool
from treadle.actors.strategies.architecture import GivenArchitecture
from treadle.architecture import Router, RouterRoute, Supervisor
from treadle.events.tool_step import ToolCompleted
from treadle.gateways.journals import open_journal


class Shop:
    """Workflows and agents over one journal, and what was done for them."""

    def __init__(self, path: Path) -> None:
        self.done: list[str] = []
        self.runtime = f"sqlite:{path}/runs.db"

    def flow(self, *ways: str) -> Workflow:
        """Each way is nodes one after the other. `ask…` is a person, `agent…` an agent that has to ask one."""
        flow = Workflow("shop", runtime=self.runtime)
        known = {START}
        for way in ways:
            nodes = way.split(" > ")
            for name in nodes:
                if name not in known:
                    known.add(name)
                    flow.add_node(name, self.node(name))
            for before, name in zip((START, *nodes), nodes, strict=False):
                flow.add_edge(before, name)
        return flow

    def node(self, name: str) -> Any:
        if name.startswith("ask"):
            return Workflow.human("Really?")
        if name.startswith("agent"):
            return self.worker()

        @step(name=name)
        async def work(value: Any) -> Any:
            self.done.append(name)
            return value

        return work

    def worker(self) -> Agent:
        @tool(destructive=True)
        async def wipe() -> str:
            self.done.append("wipe")
            return "wiped"

        model = Turns(calls(("wipe", {})), results).model
        return Agent(model=model, tools=[wipe], approval_handler="wait", name="worker")

    def lead(self, architecture: GivenArchitecture) -> Agent:
        def turn(messages: Any, tools: Any) -> Any:
            self.done.append("lead")
            return messages[-1].content if messages[-1].role == "tool" else delegates(w="Wipe it.")

        return Agent(model=FunctionModel(turn), architecture=architecture, runtime=self.runtime, name="lead")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("began", "goes_on", "named"),
    [
        ("pay > ask", "payment > ask", "pay:1-1"),
        ("pay > ask > ship", "pay > ship", "ask:1-1"),
        ("pay > ask", "check > pay > ask", "pay:1-1"),
        ("pay > ask", "pay > check > ask", "ask:1-1"),
        ("pay > agent", "pay > agent2", "agent:1-1"),
        ("pay > agent", "pay > ship", "agent:1-1"),
        ("agent", "pay > ship", "agent:1-1"),
    ],
)
async def test_a_graph_without_a_node_that_had_begun_or_with_one_before_it_is_refused_and_nothing_is_done(
    shop: Shop, began: str, goes_on: str, named: str
) -> None:
    async with shop.flow(began) as flow:
        waiting = await flow.run("order 7")
    assert waiting.state == RunState.WAITING
    done = [*shop.done]
    async with shop.flow(goes_on) as flow:
        with pytest.raises(ReplayDivergence, match=f"at step '{named}'"):
            await flow.resume(waiting.run_id)
    assert shop.done == done
    async with shop.flow(began) as flow:  # it is open, and goes on with what it began with
        await flow.approve(waiting.run_id, waiting.waiting_for[0].call_id)
        await flow.resume(waiting.run_id)
    assert shop.done[: len(done)] == done
    assert len(shop.done) == len(set(shop.done))


@pytest.mark.parametrize("to", ["ship", "ask"])
async def test_a_route_that_leads_elsewhere_now_is_refused_before_the_node_there_is_done(shop: Shop, to: str) -> None:
    def routed(to: str) -> Workflow:
        flow = shop.flow("pay").add_node("ask", Workflow.human("Really?")).add_node("ship", shop.node("ship"))
        return flow.add_router("pay", lambda _: "next", {"next": to, "else": "ship" if to == "ask" else "ask"})

    async with routed("ask") as flow:
        waiting = await flow.run("order 7")
    async with routed(to) as flow:
        if to == "ask":
            assert (await flow.resume(waiting.run_id)).state == RunState.WAITING
        else:
            with pytest.raises(ReplayDivergence, match="at step 'ask:1-1'"):
                await flow.resume(waiting.run_id)
    assert shop.done == ["pay"]


async def test_a_branch_that_is_gone_from_a_node_is_missed_before_the_next_node_is_done(shop: Shop) -> None:
    def forked(*branches: str) -> Workflow:
        return Workflow.chain(
            [Workflow.fan_out([shop.node(name) for name in branches]), shop.node("ship")],
            name="shop", runtime=shop.runtime,
        )  # fmt: skip

    async with forked("pay", "pack", "ask") as flow:
        waiting = await flow.run("order 7")
    async with forked("pay", "pack") as flow:
        with pytest.raises(ReplayDivergence, match="at step 'parallel:1-1-2-1'"):
            await flow.resume(waiting.run_id)
    assert sorted(shop.done) == ["pack", "pay"]


async def test_what_a_run_has_not_come_to_may_change(shop: Shop) -> None:
    async with shop.flow("pay > ask > ship") as flow:
        waiting = await flow.run("order 7")
    async with shop.flow("pay > ask > pack > send") as flow:
        await flow.approve(waiting.run_id, waiting.waiting_for[0].call_id)
        result = await flow.resume(waiting.run_id)
    assert (result.visited, shop.done) == (["pay", "ask", "pack", "send"], ["pay", "pack", "send"])


async def test_a_branch_that_does_something_new_does_not_wait_for_one_that_goes_through_what_it_has_done(
    shop: Shop,
) -> None:
    @step(name="slow")
    async def slow(value: Any) -> Any:
        await until(lambda: "h" in shop.done)
        return value

    def flow() -> Workflow:
        made = shop.flow("a > b > c > d > e > f > g > h").add_node("slow", slow).add_node("new", shop.node("new"))
        return made.add_edge(START, "slow").add_edge("slow", "new")

    async with System(projections=False) as system:
        whole = await system.host(flow()).run("order 7")
        events = await system.journal.read_all(0, 10_000)
    ends = [each.event.call_id if isinstance(each.event, ToolCompleted) else "" for each in events]
    journal = await open_journal("memory")
    for each in events[: ends.index(f"{whole.run_id}_slow:1-1_0") + 1]:
        await write(journal, each.stream, each.event, session_id=each.session_id, run_id=each.run_id, at=each.at)
    shop.done = ["h"]
    async with System(journal=journal, projections=False) as system:
        again = await system.host(flow()).resume(whole.run_id)
    assert again.output == whole.output
    assert {*shop.done} == {"h", "new"}


def supervisor(role: str, worker: Agent, **how: Any) -> GivenArchitecture:
    return Supervisor({role: worker}, **how)


def router(role: str, worker: Agent) -> GivenArchitecture:
    def decide(_prompt: str, _routes: object) -> str:
        return "w"

    return Router([RouterRoute(role, worker)], decider=decide)


def react(_worker: Agent) -> GivenArchitecture:
    return "react"


@pytest.mark.parametrize(
    ("began", "goes_on", "done"),
    [
        (supervisor, partial(supervisor, "other"), ["lead"]),
        (supervisor, partial(supervisor, "other", allow_spawn=True), ["lead"]),
        (supervisor, react, ["lead"]),
        (router, partial(router, "other"), []),
        (router, react, []),
    ],
    ids=["renamed", "gone", "react", "route renamed", "route react"],
)
async def test_a_team_that_does_not_ask_a_worker_any_more_who_is_at_work_is_refused_and_its_lead_told_nothing(
    shop: Shop,
    began: Callable[[str, Agent], GivenArchitecture],
    goes_on: Callable[[Agent], GivenArchitecture],
    done: list[str],
) -> None:
    async with shop.lead(began("w", shop.worker())) as lead:
        waiting = await lead.run("Go", session_id="s")
    assert (waiting.state, shop.done) == (RunState.WAITING, done)
    async with shop.lead(goes_on(shop.worker())) as lead:
        with pytest.raises(ReplayDivergence, match="at step"):
            await lead.resume("s")
    assert shop.done == done
    async with shop.lead(began("w", shop.worker())) as lead:  # the worker's run is open, and goes on
        await lead.session("s").approve(waiting.waiting_for[0].call_id)
        assert (await lead.resume("s")).output == "wiped"
    assert shop.done.count("wipe") == 1
