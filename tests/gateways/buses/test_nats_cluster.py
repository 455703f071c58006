"""The bus keeps its contract over three NATS servers that keep every stream three times."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from contracts.bus import BusContract
from nats_cluster import NatsCluster

from treadle.events.subjects import Subjects
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
