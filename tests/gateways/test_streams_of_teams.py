"""Whoever reads a team's run sees its workers at work: each event says whose it is; none is missing, none doubled."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hosting import WITHIN_S, calling, namespace, node
from waiting import until_asked

from treadle import Agent, Event, FunctionModel, ModelReply, RunContext, System, Team, ToolCall, delegate, tool
from treadle.actors.model import ModelChunk
from treadle.events.run import run_stream
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.cli.family import Family
from treadle.gateways.cli.following import OverNats


@tool
async def look() -> str:
    """Look."""
    return "seen"


def worker(name: str | None = None) -> Agent:
    return Agent("Look.", model=calling("look"), tools=[look], name=name)


def team() -> Agent:
    """A lead of a lead of a worker."""
    asks = calling("delegate", worker="w", instructions="Look.")
    middle = Team.supervisor({"w": worker()}, model=asks, persistent_subagents=False)
    return Team.supervisor({"w": middle}, model=asks)


def versions(events: Sequence[Event]) -> dict[str, list[int]]:
    """The recorded versions of each run, in the order in which they were told."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for event in events:
        if event.version:
            found[event.run_id].append(event.version)
    return dict(found)


async def test_the_stream_of_a_team_has_what_its_workers_do_and_says_whose_it_is() -> None:
    async with System(journal="memory") as system:
        lead = system.host(team(), "lead")
        events = [event async for event in lead.stream("Go.", RunContext(run_id="top"), user_id="ann")]
        own = [event for event in events if not event.depth]
        assert [event.version for event in own if event.version] == list(range(1, own[-1].version + 1))
        assert [event.type for event in events if event.type in ("run.started", "run.completed")] == [
            "run.started",
            "run.completed",
        ]
        [seen] = [event for event in events if event.depth == 2 and event.type == "tool.completed"]
        assert (seen.payload["result"]["output"], seen.role) == ("seen", "w")
        assert seen.run_id.startswith(f"{seen.parent_run_id}_")
        assert seen.parent_run_id.startswith("top_")
        assert {event.depth for event in events if event.type == "model.chunk"} == {0, 1, 2}
        for run_id, told in versions(events).items():
            stored = await system.journal.read(run_stream(run_id))
            assert told == [each.version for each in stored if run_id == "top" or 1 < each.version < len(stored)]
        alone = [event async for event in lead.stream("Go.", user_id="ann", children=False)]
        assert {event.depth for event in alone} == {0}
        assert system.node.services.readers == {}


async def test_a_run_is_watched_with_those_below_it_each_from_its_first_event_to_its_last() -> None:
    async with System(journal="memory") as system:
        lead = system.host(team(), "lead")
        live: list[Event] = []

        async def watch() -> None:
            live.extend([event async for event in system.watch("top", children=True)])

        watching = asyncio.create_task(watch())
        await lead.run("Go.", RunContext(run_id="top"), user_id="ann")
        async with asyncio.timeout(WITHIN_S):
            await watching
        later = [event async for event in system.watch("top", children=True)]
        assert versions(live) == versions(later)
        assert {event.depth for event in later} == {0, 1, 2}
        for run_id, told in versions(later).items():
            assert told == [each.version for each in await system.journal.read(run_stream(run_id))]
        types = [(event.depth, event.type) for event in later]
        assert types.index((0, "child.requested")) < types.index((1, "run.started"))
        assert types.index((1, "run.completed")) < types.index((0, "child.ended"))
        [asked] = [event.version for event in later if (event.depth, event.type) == (0, "child.requested")]
        again = [event async for event in system.watch("top", asked, children=True)]
        assert again == later[types.index((0, "child.requested")) + 1 :]


async def test_a_worker_on_another_node_is_told_of_with_its_chunks(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns = namespace()
    lead = Agent(model=calling("delegate_to_far", prompt="Look."), tools=[delegate("far")], name="lead")
    urls = [f"sqlite:{tmp_path}/{name}.db" for name in ("here", "there")]
    # On journals of their own: all that is told comes over the bus.
    async with node(nats_server, urls[0], ns, lead), node(nats_server, urls[1], ns, worker("far")) as there:
        async with asyncio.timeout(WITHIN_S):
            events = [event async for event in lead.stream("Go.", user_id="ann")]
        [child] = {event.run_id for event in events if event.depth}
        stored = await there.journal.read(run_stream(child))
    assert versions(events)[child] == [each.version for each in stored[1:-1]]
    assert "model.chunk" in {event.type for event in events if event.depth}


async def test_the_command_line_follows_a_family_over_nats(nats_server: EmbeddedServer) -> None:
    told: list[Event] = []
    async with System(nats=nats_server.url, namespace=namespace()) as system:
        lead = system.host(team(), "lead")
        await system.start_hosting()
        assert isinstance(system.bus, NatsBus)
        following = OverNats(system.bus, system.subjects, print)
        running = asyncio.create_task(lead.run("Go.", RunContext(run_id="top"), user_id="ann"))
        await until_asked(lambda: _begun(system))
        async with asyncio.timeout(WITHIN_S):
            last = await Family(following).run("top", 0, told.append)
        await running
        assert (last.run_id, last.type) == ("top", "run.completed")
        assert told[-1] == last
        assert len(versions(told)) == 3
        for run_id, seen in versions(told).items():
            assert seen == [each.version for each in await system.journal.read(run_stream(run_id))]


async def _begun(system: System) -> bool:
    return (await system.journal.head(run_stream("top"))).version > 0


async def test_a_reader_that_is_slow_slows_a_worker_down_and_one_that_leaves_does_not_keep_it() -> None:
    written, many = list[int](), 400

    class Talks(FunctionModel):
        async def stream(self, messages, *, tools=(), **options):  # type: ignore[no-untyped-def]  # pyright: ignore
            for number in range(many):
                written.append(number)
                yield ModelChunk("text", "x")
            yield ModelChunk("finish", finish_reason="stop")

    talker = Agent(model=Talks(lambda messages, tools: ""), name="talker")
    lead = Team.supervisor({"w": talker}, model=asking_once())
    async with System(journal="memory") as system:
        stream = system.host(lead, "lead").stream("Go.", user_id="ann")
        async for event in stream:
            if event.depth and event.type == "model.chunk":
                break
        await asyncio.sleep(0)
        assert 0 < len(written) < many
        await stream.aclose()  # type: ignore[attr-defined]


def asking_once() -> FunctionModel:
    return FunctionModel(
        lambda messages, tools: (
            "done"
            if messages[-1].role == "tool"
            else ModelReply(tool_calls=(ToolCall("1", "delegate", {"worker": "w", "instructions": "Talk."}),))
        )
    )
