"""How many servers keep a stream: what was asked for, else three, or as many as there are."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from contracts.bus import take
from nats_cluster import NatsCluster

from treadle.events.errors import ConfigError
from treadle.events.subjects import Subjects
from treadle.gateways.broker import replicas
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.broker.streams import STREAMS, definition, lay_stream, lay_streams
from treadle.gateways.buses.nats import NatsBus


@pytest.fixture
def subjects() -> Subjects:
    return Subjects(f"test-{uuid4().hex[:12]}")


@pytest.fixture
async def bus(nats_cluster: NatsCluster, subjects: Subjects) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(nats_cluster.url, namespace=subjects.namespace) as bus:
        yield bus


@pytest.fixture
def signals(subjects: Subjects) -> dict[str, Any]:
    return definition("signals", subjects)


async def kept(bus: NatsBus, name: str) -> int:
    config = await bus.jetstream.stream_config(name)
    assert config is not None
    replicas: int = config["num_replicas"]
    return replicas


async def test_a_cluster_keeps_all_streams_and_their_consumers_three_times(bus: NatsBus, subjects: Subjects) -> None:
    await lay_streams(bus.jetstream, subjects)
    assert [await kept(bus, definition(kind, subjects)["name"]) for kind in STREAMS] == [3] * len(STREAMS)
    async with bus.consume("support", subjects.signals("support")):
        name = definition("signals", subjects)["name"]
        told = await bus.jetstream.call(f"CONSUMER.INFO.{name}.support")
        assert len(told["cluster"]["replicas"]) == 2
        assert told["config"]["num_replicas"] == 0  # those of the stream, also when it gets more


async def test_a_stream_that_was_laid_with_one_replica_gets_three_and_keeps_what_it_has(
    bus: NatsBus, subjects: Subjects, signals: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await bus.jetstream.call(f"STREAM.CREATE.{signals['name']}", signals)
    assert await kept(bus, signals["name"]) == 1
    await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello", "signal-1")
    with caplog.at_level(logging.WARNING, "treadle.nats"):
        await lay_stream(bus.jetstream, signals)
    assert await kept(bus, signals["name"]) == 3
    assert f"stream {signals['name']} had 1 replicas and gets 3" in caplog.text
    async with bus.consume("support", subjects.signals("support")) as deliveries:
        assert [d.data for d in await take(deliveries)] == [b"hello"]


async def test_replicas_are_never_taken_away(nats_cluster: NatsCluster, bus: NatsBus, signals: dict[str, Any]) -> None:
    await lay_stream(bus.jetstream, signals)
    async with await NatsBus.connect(nats_cluster.url, namespace=bus.subjects.namespace, replicas=1) as modest:
        await lay_stream(modest.jetstream, signals)
    assert await kept(bus, signals["name"]) == 3


async def test_as_many_replicas_as_were_asked_for_are_made(
    nats_cluster: NatsCluster, subjects: Subjects, signals: dict[str, Any]
) -> None:
    async with await NatsBus.connect(nats_cluster.url, namespace=subjects.namespace, replicas=1) as bus:
        await lay_stream(bus.jetstream, signals)
        assert await kept(bus, signals["name"]) == 1


async def test_more_replicas_than_servers_are_refused_with_the_numbers_and_the_next_step(
    tmp_path: Path, nats_cluster: NatsCluster, subjects: Subjects, signals: dict[str, Any]
) -> None:
    async with (
        EmbeddedServer(tmp_path) as alone,
        await NatsBus.connect(alone.url, namespace=subjects.namespace, replicas=3) as bus,
    ):
        with pytest.raises(ConfigError, match=r"3 replicas.*this is one server alone; start a cluster of 3.*--repl"):
            await lay_streams(bus.jetstream, subjects)
    async with await NatsBus.connect(nats_cluster.url, namespace=subjects.namespace, replicas=5) as bus:
        with pytest.raises(ConfigError, match=r"5 replicas.*cluster 'treadle' has too few servers"):
            await lay_stream(bus.jetstream, signals)
        assert await bus.jetstream.stream_config(signals["name"]) is None


async def test_too_few_servers_give_what_they_can_when_no_number_was_asked_for(
    bus: NatsBus, signals: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "PLENTY", 5)
    with caplog.at_level(logging.WARNING, "treadle.nats"):
        await lay_stream(bus.jetstream, signals)
    assert await kept(bus, signals["name"]) == 3
    assert f"stream {signals['name']} has 3 replicas and not 5: too few servers are up" in caplog.text
