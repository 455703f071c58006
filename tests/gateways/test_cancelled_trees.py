"""Cancelling a run takes along all that it asked, and all that those asked, on whatever nodes they are."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hosting import WITHIN_S, Gate, calling, namespace, node
from waiting import until, until_asked

from treadle import Agent, Limits, RunState, RunTimeout, Steps, System, delegate
from treadle.actors import worker
from treadle.events.budget import Released, Reserved, Settled
from treadle.events.child_step import ChildEnded, ChildRequested
from treadle.events.envelope import Recorded
from treadle.events.errors import Unavailable
from treadle.events.run import CLOSING_TAGS, RunCancelled, RunStarted, run_stream
from treadle.events.worker import Worker, evolve
from treadle.gateways.broker.server import EmbeddedServer

CAP = Limits(max_tokens=1_000_000)


def asks(name: str, *others: str, timeout: float | None = None) -> Agent:
    tools = [delegate(other) for other in others]
    model = calling(*(tool.name for tool in tools), prompt="measure")
    return Agent(model=model, tools=tools, name=name, budget=CAP, timeout_s=timeout)


def waits(name: str, gate: Gate) -> Agent:
    return Agent(model=gate.model, name=name, budget=CAP)


async def recorded(*systems: System) -> list[Recorded]:
    """What the journals of all these have, each once."""
    journals = {system.journal.name: system.journal for system in systems}.values()
    return [each for journal in journals for each in await journal.read_all(0, 10_000)]


def ends(events: Sequence[Recorded]) -> dict[str, RunCancelled]:
    """The ends of cancelled runs, by their agents."""
    agents = {each.stream: each.event.agent for each in events if isinstance(each.event, RunStarted)}
    return {agents[each.stream]: each.event for each in events if isinstance(each.event, RunCancelled)}


def held(events: Sequence[Recorded]) -> set[tuple[str, str]]:
    """What calls have set aside and nobody has given back, with the budget."""
    found = set[tuple[str, str]]()
    for each in events:
        if isinstance(each.event, Reserved):
            found.add((each.event.call_id, each.stream))
        elif isinstance(each.event, Settled | Released):
            found.discard((each.event.call_id, each.stream))
    return found


def open_tasks(events: Sequence[Recorded]) -> list[str]:
    states: dict[str, Worker] = {}
    for each in events:
        if each.stream.startswith("worker-"):
            evolve(states.setdefault(each.stream, Worker()), each.event)
    return [task for state in states.values() for task in state.open]


async def children_of(run_id: str, system: System) -> list[str]:
    """The runs that a run has asked."""
    events = [each.event for each in await system.journal.read(run_stream(run_id))]
    return [event.run_id for event in events if isinstance(event, ChildRequested)]


async def is_closed(run_id: str, *systems: System) -> bool:
    """Whether a run has ended, in whichever journal it is."""
    for system in systems:
        if events := await system.journal.read(run_stream(run_id)):
            return events[-1].type in CLOSING_TAGS
    return False


@asynccontextmanager
async def tree(
    server: EmbeddedServer, journals: str, directory: Path, gate: Gate, lead: Agent
) -> AsyncGenerator[Sequence[System]]:
    """A lead, who asks `near` and `far` on two other nodes; `far` asks `deep`, on the node of `near`."""
    ns, own = namespace(), journals == "own"
    urls = [f"sqlite:{directory}/{number if own else 'shared'}.db" for number in range(3)]
    async with (
        node(server, urls[1], ns, waits("near", gate), waits("deep", gate), worker=own) as second,
        node(server, urls[2], ns, asks("far", "deep"), worker=own) as third,
        node(server, urls[0], ns, lead) as first,
    ):
        yield first, second, third


@pytest.mark.parametrize("journals", ["shared", "own"])
async def test_cancelling_a_lead_cancels_its_tree_on_all_nodes_and_says_who_did(
    journals: str, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    gate, lead = Gate(), asks("lead", "near", "far")
    async with tree(nats_server, journals, tmp_path, gate, lead) as systems:
        run = await lead.session("s").start("Go")
        await until(lambda: gate.waiting == 2, WITHIN_S)
        assert (await run.cancel("the fire is out", by="bob")).state == RunState.CANCELLED
        assert gate.waiting == 0

        events = await recorded(*systems)
        found = ends(events)
        assert found.keys() == {"lead", "near", "far", "deep"}
        along = "the run that asked for it ended (cancelled by bob: the fire is out)"
        assert {end.reason for agent, end in found.items() if agent != "lead"} == {along}
        assert {end.by for end in found.values()} == {"bob"}
        assert [each.event.state for each in events if isinstance(each.event, ChildEnded)] == ["cancelled"] * 3
        assert (held(events), open_tasks(events)) == (set(), [])


async def test_a_lead_that_takes_too_long_takes_its_tree_along(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    gate, lead = Gate(), asks("lead", "near", "far", timeout=1.0)
    async with tree(nats_server, "shared", tmp_path, gate, lead) as systems:
        with pytest.raises(RunTimeout):
            await lead.run("Go")
        assert gate.waiting == 0
        events = await recorded(*systems)
        found = ends(events)
        assert {agent: end.reason for agent, end in found.items()} == dict.fromkeys(
            ("near", "far", "deep"), "the run that asked for it ended (failed)"
        )
        assert (held(events), open_tasks(events)) == (set(), [])


@pytest.mark.parametrize("journals", ["shared", "own"])
async def test_a_node_that_is_away_when_a_lead_is_cancelled_does_not_go_on_when_it_is_back(
    journals: str, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    gate, lead, ns = Gate(), asks("lead", "prober"), namespace()
    own = journals == "own"
    here, there = (f"sqlite:{tmp_path}/{name if own else 'shared'}.db" for name in ("here", "there"))
    async with node(nats_server, here, ns, lead) as first:
        async with node(nats_server, there, ns, waits("prober", gate), worker=own):
            run = await lead.session("s").start("Go")
            await until(lambda: gate.waiting == 1, WITHIN_S)
        assert (await run.cancel("the fire is out", by="bob")).state == RunState.CANCELLED
        async with node(nats_server, there, ns, waits("prober", gate), worker=own) as second:
            [child] = await children_of(run.id, first)
            await until_asked(partial(is_closed, child, second), WITHIN_S)
            events = await recorded(first, second)
            assert ends(events).keys() == {"lead", "prober"}
            assert (gate.prompts, gate.waiting) == (["measure"], 0)
            assert (held(events), open_tasks(events)) == (set(), [])


async def test_a_worker_that_cannot_be_told_finds_out_that_its_lead_has_ended(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "WATCH_EVERY_S", 0.02)
    gate, lead, ns = Gate(), asks("lead", "prober"), namespace()
    async with (
        node(nats_server, "memory", ns, lead) as first,
        node(nats_server, "memory", ns, waits("prober", gate), worker=True) as second,
    ):
        run = await lead.session("s").start("Go")
        await until(lambda: gate.waiting == 1, WITHIN_S)

        async def cut_off(subject: str, data: bytes, timeout_s: float, headers: None = None) -> object:
            raise Unavailable(subject, "the network is cut")

        monkeypatch.setattr(first.bus, "request", cut_off)
        assert (await run.cancel("the fire is out", by="bob")).state == RunState.CANCELLED
        [child] = await children_of(run.id, first)
        await until_asked(partial(is_closed, child, second), WITHIN_S)
        assert gate.waiting == 0
        assert ends(await recorded(second))["prober"].reason == "the run that asked for it ended (cancelled)"


async def test_a_task_that_waits_for_its_turn_is_cancelled_before_it_begins() -> None:
    async def think(steps: Steps) -> str:
        return (await steps.agent("prober", steps.prompt, session_id="own")).output

    gate = Gate()
    async with System() as system:
        system.host(waits("prober", gate))
        lead = system.host(Agent(model="echo", architecture=think, name="lead"))
        first = await lead.session("a").start("a")
        await until(lambda: gate.waiting == 1)
        second = await lead.session("b").start("b")

        async def both_are_asked_for() -> bool:
            return len(open_tasks(await recorded(system))) == 2

        await until_asked(both_are_asked_for)
        assert (await second.cancel("enough")).state == RunState.CANCELLED
        assert open_tasks(await recorded(system)) == [f"{first.id}_1_0"]
        gate.open()
        assert (await first.wait()).output == "answer to a"
        assert (await lead.session("c").run("c")).output == "answer to c"
        assert gate.prompts == ["a", "c"]
        assert ends(await recorded(system)).keys() == {"lead", "prober"}
