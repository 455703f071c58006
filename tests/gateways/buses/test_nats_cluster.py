"""The bus keeps its contract over three NATS servers that keep every stream three times."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from contracts.bus import BusContract
from nats_cluster import NatsCluster

from treadle.events.subjects import Subjects
from treadle.gateways.broker.jetstream import Outgoing
from treadle.gateways.broker.streams import definition, lay_stream
from treadle.gateways.buses.nats import NatsBus


@pytest.fixture
def subjects() -> Subjects:
    return Subjects(f"test-{uuid4().hex[:12]}")


@pytest.fixture
async def bus(nats_cluster: NatsCluster, subjects: Subjects) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(nats_cluster.url, namespace=subjects.namespace) as bus:
        async with asyncio.TaskGroup() as laying:  # what the contract is about: each waits for an election
            for kind in ("signals", "parked"):
                laying.create_task(lay_stream(bus.jetstream, definition(kind, subjects)))
        yield bus


class TestNatsBusOnACluster(BusContract):
    @pytest.fixture
    async def small_bus(self, nats_cluster: NatsCluster, subjects: Subjects) -> AsyncIterator[NatsBus]:
        async with await NatsBus.connect(nats_cluster.url, namespace=subjects.namespace, listener_limit=8) as bus:
            yield bus


async def test_events_that_several_nodes_tell_at_once_are_stored_once_and_each_node_learns_where(
    nats_cluster: NatsCluster, subjects: Subjects
) -> None:
    """While one server waits for the others to store a message, it refuses a second one with the same id."""
    subject = subjects.event("alice", "run-1", "run.step_recorded")
    async with AsyncExitStack() as stack:
        buses = [
            await stack.enter_async_context(
                await NatsBus.connect(nats_cluster.servers[name].url, namespace=subjects.namespace)
            )
            for name in nats_cluster.servers
        ]
        await lay_stream(buses[0].jetstream, definition("events", subjects))
        # One at a time, a few, and as many as make a batch.
        for round, size in enumerate((1,) * 20 + (5,) * 20 + (40,) * 5):
            events = [Outgoing(subject, b"{}", f"event-{round}-{number}") for number in range(size)]
            one, *others = await asyncio.gather(*(bus.publish_stored(events) for bus in buses))
            assert all([s.sequence for s in other] == [s.sequence for s in one] for other in others)
