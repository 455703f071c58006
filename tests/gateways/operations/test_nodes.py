"""All nodes of a namespace, as whoever asks sees them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosting import WITHIN_S, Gate, namespace, outsider
from recording import started, write, write_runs
from skew import WrongClock
from typer.testing import CliRunner, Result
from waiting import until

from treadle import Agent, System, Unavailable
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.events.subjects import Subjects
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.cli.main import app
from treadle.gateways.operations.node_status import Behind, NodeStatus, Partitions, View, status_of
from treadle.gateways.operations.nodes import Nodes, SeenNode, Waiting, ask_nodes, warnings_of


async def asked(url: str, ns: str) -> Nodes:
    async with await NatsBus.connect(url, namespace=ns) as bus:
        return await ask_nodes(bus, Subjects(ns), SYSTEM_CLOCK)


async def test_hosts_workers_and_lookers_of_a_namespace_are_found_and_nobody_elses(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    ns, url, journal = namespace(), nats_server.url, f"sqlite:{tmp_path}/events.db"
    async with AsyncExitStack() as stack:
        host, worker, looker, _ = [
            await stack.enter_async_context(System(journal=journal, nats=url, namespace=of, worker=works))
            for of, works in ((ns, False), (ns, True), (ns, False), (namespace(), False))
        ]
        host.host(Agent(model="echo"), name="desk")
        worker.host(Agent(model="echo"), name="prober")
        await host.start_hosting()
        await worker.start_hosting()
        found = await asked(url, ns)
    assert found.answered == 3
    roles = {node.node_id: (node.status.roles, node.status.agents) for node in found.nodes if node.status is not None}
    assert roles == {
        host.node_id: (("host", "worker"), ("desk",)),
        worker.node_id: (("worker",), ("prober",)),
        looker.node_id: ((), ()),
    }
    assert list(found.journals) == [journal]
    assert found.warnings == []


async def test_what_waits_at_the_broker_is_counted_by_agent(nats_server: EmbeddedServer) -> None:
    ns, gate = namespace(), Gate()
    async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
        system.host(Agent(model=gate.model), name="desk")
        await system.start_hosting()
        await nats.signal("alice.desk.s", {"summary": "one"})
        await nats.signal("alice.desk.s", {"summary": "two"})
        await nats.signal("bob.desk.t", {"summary": "three"})
        await nats.signal("bob.nobody.t", {"summary": "four"})
        await system.every(3600, "Look", agent="desk", id="hourly")
        assert system.signals is not None
        await until(lambda: gate.waiting == 2 and system.signals is not None and system.signals.parked == 1)
        found = await asked(nats_server.url, ns)
        gate.open()
    assert (found.waiting.signals, found.waiting.by_agent) == (3, {"desk": 3})
    assert (found.waiting.parked, found.waiting.timers) == (1, 1)
    [node] = found.nodes
    assert node.status is not None
    assert (node.status.signals_running, node.status.signals_parked) == (3, 1)


async def test_a_node_whose_clock_is_off_is_named_with_the_difference(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with (
        System(nats=nats_server.url, namespace=ns) as right,
        System(nats=nats_server.url, namespace=ns, clock=WrongClock(timedelta(hours=-1))) as wrong,
    ):
        found = await asked(nats_server.url, ns)
    offsets = {node.node_id: node.clock_offset_s for node in found.nodes}
    assert offsets[right.node_id] == pytest.approx(0, abs=0.5)
    assert offsets[wrong.node_id] == pytest.approx(-3600, abs=0.5)
    [warning] = found.warnings
    assert warning == f"node {wrong.node_id}: its clock is 3600.0 s behind the broker's"


async def gone() -> int:
    raise Unavailable("the journal", "the disk has gone")


async def test_a_node_that_cannot_say_how_it_stands_is_listed_with_the_reason(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with System(nats=nats_server.url, namespace=ns) as system:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(system.journal, "last_position", gone)
            found = await asked(nats_server.url, ns)
    [node] = found.nodes
    assert (node.node_id, node.status) == (system.node_id, None)
    assert "the disk has gone" in node.trouble
    assert any(node.trouble in warning for warning in found.warnings)


async def test_a_namespace_where_no_node_ever_was_is_unavailable(nats_server: EmbeddedServer) -> None:
    with pytest.raises(Unavailable, match="no node has ever been there"):
        await asked(nats_server.url, namespace())


async def test_lag_is_told_in_events_and_in_the_age_of_the_oldest(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    async with System(nats=server.url) as system:
        await server.stop()
        for number in range(3):
            before = datetime.now(UTC) - timedelta(seconds=60 - number)
            await write(system.journal, f"run-r{number}", started(), at=before)
        await system.projections.catch_up(WITHIN_S)
        status = await status_of(system)
        assert status.relay is not None
        assert status.relay.events == 3
        assert 60 <= status.relay.seconds < 60 + WITHIN_S
        assert {view.behind for view in status.views.values()} == {Behind()}


class Third:
    """A third of the partitions, about to go."""

    owned = frozenset({4, 1})
    count = 6
    leaving = True


async def test_a_node_tells_its_partitions_and_that_it_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    async with System() as system:
        assert ((await status_of(system)).partitions, (await status_of(system)).draining) == (None, False)
        with monkeypatch.context() as patch:
            patch.setattr(System, "placement", Third())
            status = await status_of(system)
    assert (status.partitions, status.draining) == (Partitions((1, 4), 6), True)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
SILENT = SeenNode("n1", "here", 1, "1.0", NOW, trouble="busy")


def seen(version: str = "1.0", partitions: Partitions | None = None, **views: View) -> SeenNode:
    status = NodeStatus(
        "n1",
        "here",
        1,
        version,
        NOW,
        NOW,
        ("host",),
        ("desk",),
        False,
        partitions,
        0,
        0,
        0,
        0,
        "memory",
        0,
        None,
        views,
    )
    return SeenNode("n1", "here", 1, version, NOW, status=status)


NOTHING = Waiting(0, {}, 0, 0, 0)


@pytest.mark.parametrize(
    ("nodes", "waiting", "warning"),
    [
        ([seen(runs=View(Behind(), stopped="ValueError"))], NOTHING, "projection runs has stopped: ValueError"),
        ([seen(runs=View(Behind(), problems=2))], NOTHING, "projection runs has left out 2 events"),
        ([seen("1.0"), seen("1.1")], NOTHING, "nodes of several versions are there: 1.0, 1.1"),
        ([seen(partitions=Partitions((0, 2), 4))], NOTHING, "no node that answered has 2 of the 4 partitions"),
        ([SILENT], NOTHING, "does not say how it stands: busy"),
        (
            [seen()],
            Waiting(3, {"mail": 3}, 0, 0, 0),
            "signals wait for agent 'mail', which no node that answered hosts",
        ),
    ],
)
def test_what_needs_a_look_is_a_warning(nodes: list[SeenNode], waiting: Waiting, warning: str) -> None:
    [told] = warnings_of(nodes, waiting, 0.2)
    assert warning in told


def test_a_clock_of_the_asker_that_is_off_is_a_warning() -> None:
    assert warnings_of([], NOTHING, -7.25) == [
        "the clock of this machine is 7.2 s behind the broker's; see chronyc tracking"
    ]


async def test_the_size_and_growth_of_a_journal_are_told_once_by_one_of_its_nodes(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    ns, url, journal = namespace(), nats_server.url, f"sqlite:{tmp_path}/events.db"
    async with (
        System(journal=journal, nats=url, namespace=ns) as system,
        System(journal=journal, nats=url, namespace=ns),
    ):
        await write_runs(system.journal, 5)  # some day in the past, or to come
        await write(system.journal, "run-new", started(), at=datetime.now(UTC))
        [(name, figures)] = (await asked(url, ns)).journals.items()
    assert name == journal
    assert (figures.events, figures.categories["run"].streams) == (41, 6)
    assert figures.new_events >= 1


# The command


async def test_the_command_lists_nodes_for_people_and_programs(nats_server: EmbeddedServer) -> None:
    ns = namespace()

    def show(*words: str) -> Result:
        return CliRunner().invoke(app, ["nodes", "--nats", nats_server.url, "--namespace", ns, *words])

    run: Callable[..., Result] = show
    async with System(nats=nats_server.url, namespace=ns) as system:
        listed = await asyncio.to_thread(run)
        assert listed.exit_code == 0, listed.output
        assert system.node_id in listed.output
        told = json.loads((await asyncio.to_thread(run, "--json")).output)
        assert (told["answered"], told["nodes"][0]["node_id"]) == (1, system.node_id)
    nobody = await asyncio.to_thread(run)
    assert nobody.exit_code == 1
    assert f"no node of namespace {ns} answered" in nobody.output
