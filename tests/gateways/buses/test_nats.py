"""The bus over NATS keeps the contract, and keeps it when the server goes away."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from contracts.bus import BusContract, take
from nats.micro.request import Request
from nats.micro.service import Service, ServiceConfig
from waiting import DEADLINE_S, until

from treadle.events.bus import BusMessage, Delivery
from treadle.events.errors import ConfigError, Unavailable
from treadle.events.subjects import Subjects
from treadle.gateways.broker.jetstream import JetStreamError, Outgoing
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.broker.streams import definition, lay_streams
from treadle.gateways.buses.nats import NatsBus


@pytest.fixture
def subjects() -> Subjects:
    return Subjects(f"test-{uuid4().hex[:12]}")


@pytest.fixture
async def bus(nats_server: EmbeddedServer, subjects: Subjects) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(nats_server.url, namespace=subjects.namespace) as bus:
        await lay_streams(bus.jetstream, subjects)
        yield bus


class TestNatsBus(BusContract):
    @pytest.fixture
    async def small_bus(self, nats_server: EmbeddedServer, subjects: Subjects) -> AsyncIterator[NatsBus]:
        async with await NatsBus.connect(nats_server.url, namespace=subjects.namespace, listener_limit=8) as bus:
            yield bus


async def test_what_another_connection_sends_once_we_listen_or_serve_is_not_missed(
    bus: NatsBus, subjects: Subjects
) -> None:
    async def echo(message: BusMessage) -> bytes:
        return message.data

    # The same server: the others of a cluster learn who listens a moment later.
    server = bus.client.connected_url
    assert server is not None
    async with await NatsBus.connect(server.geturl(), namespace=subjects.namespace) as other:
        for number in range(100):
            subject = subjects.live("alice", f"run-{number}")
            async with bus.subscribe(subject) as messages, bus.serve(subjects.ask(f"run-{number}"), echo):
                await other.publish(subject, b"hello")
                assert (await other.request(subjects.ask(f"run-{number}"), b"hello", DEADLINE_S)).data == b"hello"
                assert [m.data for m in await take(messages)] == [b"hello"]


# Streams


async def test_laying_streams_again_changes_nothing(bus: NatsBus, subjects: Subjects) -> None:
    name = definition("events", subjects)["name"]
    before = await bus.jetstream.stream_config(name)
    await lay_streams(bus.jetstream, subjects)
    assert await bus.jetstream.stream_config(name) == before


async def test_laying_streams_keeps_what_the_operator_has_set(bus: NatsBus, subjects: Subjects) -> None:
    wanted = definition("signals", subjects)
    name = wanted["name"]
    await bus.jetstream.call(f"STREAM.UPDATE.{name}", {**wanted, "max_msgs": 7, "max_msg_size": 10})
    await lay_streams(bus.jetstream, subjects)
    config = await bus.jetstream.stream_config(name)
    assert config is not None
    assert (config["max_msgs"], config["max_msg_size"]) == (7, wanted["max_msg_size"])


async def test_a_stream_that_cannot_become_what_it_must_be_is_refused(bus: NatsBus, subjects: Subjects) -> None:
    wanted = definition("signals", subjects)
    await bus.jetstream.call(f"STREAM.DELETE.{wanted['name']}")
    await bus.jetstream.call(f"STREAM.CREATE.{wanted['name']}", {**wanted, "retention": "limits"})
    with pytest.raises(ConfigError, match=r"retention 'limits' and needs 'workqueue'"):
        await lay_streams(bus.jetstream, subjects)


async def test_subjects_that_another_stream_has_are_refused(bus: NatsBus, subjects: Subjects) -> None:
    wanted = definition("signals", subjects)
    await bus.jetstream.call(f"STREAM.DELETE.{wanted['name']}")
    other = {"name": f"OTHER-{subjects.namespace}", "subjects": [f"{subjects.namespace}.signal.a.>"]}
    await bus.jetstream.call(f"STREAM.CREATE.{other['name']}", other)
    with pytest.raises(ConfigError, match="overlap"):
        await lay_streams(bus.jetstream, subjects)


# Events


def some_events(subjects: Subjects, count: int, prefix: str = "event") -> list[Outgoing]:
    subject = subjects.event("alice", "run-1", "run.step_recorded")
    return [Outgoing(subject, b"{}", f"{prefix}-{number}", {"Treadle-Version": str(number)}) for number in range(count)]


async def test_events_are_stored_in_order_and_only_once(bus: NatsBus, subjects: Subjects) -> None:
    events = some_events(subjects, 2_500)
    stored = await bus.publish_stored(events)
    again = await bus.publish_stored(events[:1_500] + some_events(subjects, 10, "later"))
    assert [s.sequence for s in stored] == list(range(1, 2_501))
    assert [s.sequence for s in again] == [*range(1, 1_501), *range(2_501, 2_511)]
    assert [s.duplicate for s in again] == [True] * 1_500 + [False] * 10


async def test_a_batch_for_several_streams_is_stored_message_by_message(bus: NatsBus, subjects: Subjects) -> None:
    signal = Outgoing(subjects.signal("alice", "support", "conv-42"), b"hello")
    stored = await bus.publish_stored([*some_events(subjects, 1), signal])
    assert [s.stream for s in stored] == [definition(kind, subjects)["name"] for kind in ("events", "signals")]


async def test_a_batch_that_no_stream_takes_is_unavailable(bus: NatsBus, subjects: Subjects) -> None:
    with pytest.raises(Unavailable):
        await bus.publish_stored([Outgoing(subjects.live("alice", "run-1"), b"")] * 3)


async def test_a_message_that_a_stream_refuses_tells_why(bus: NatsBus, subjects: Subjects) -> None:
    name = definition("events", subjects)["name"]
    await bus.jetstream.call(f"STREAM.UPDATE.{name}", {**definition("events", subjects), "max_msg_size": 100})
    event = some_events(subjects, 1)[0]
    with pytest.raises(JetStreamError, match="message size exceeds maximum allowed"):
        await bus.publish_stored([event, Outgoing(event.subject, b"x" * 200)])


# Outages


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that a test may kill."""
    async with EmbeddedServer(tmp_path) as server:
        yield server


async def until_connected(bus: NatsBus) -> None:
    await until(lambda: bus.connected)


async def until_lost(bus: NatsBus) -> None:
    await until(lambda: not bus.connected)


async def test_during_an_outage_everything_is_unavailable_at_once(own_server: EmbeddedServer) -> None:
    async with await NatsBus.connect(own_server.url, timeout_s=60) as bus:
        await lay_streams(bus.jetstream, bus.subjects)
        subject = bus.subjects.signal("alice", "support", "conv-42")
        await own_server.kill()
        await until_lost(bus)
        async with asyncio.timeout(20):
            for call in (bus.publish(subject, b""), bus.enqueue(subject, b""), bus.request(subject, b"", 60)):
                with pytest.raises(Unavailable, match="the connection is lost"):
                    await call
            for context in (bus.subscribe(subject), bus.consume("support", subject)):
                with pytest.raises(Unavailable):
                    await context.__aenter__()


async def test_what_waits_for_an_answer_learns_at_once_that_the_server_is_gone(own_server: EmbeddedServer) -> None:
    async with await NatsBus.connect(own_server.url, timeout_s=60) as bus:
        subject = bus.subjects.ask("run")
        asked = asyncio.Event()

        async def never(_: object) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        async with bus.serve(subject, never), asyncio.timeout(DEADLINE_S):
            asking = asyncio.create_task(bus.request(subject, b"", timeout_s=60))
            await asked.wait()
            await own_server.kill()
            with pytest.raises(Unavailable):
                await asking


async def test_a_listener_learns_that_the_connection_was_lost(own_server: EmbeddedServer) -> None:
    async with await NatsBus.connect(own_server.url) as bus:
        subject = bus.subjects.live("alice", "run-1")
        async with bus.subscribe(subject) as messages:
            await bus.publish(subject, b"before")
            assert [m.data for m in await take(messages)] == [b"before"]
            await own_server.kill()
            with pytest.raises(Unavailable, match="connection was lost"):
                await take(messages)
        await own_server.start()
        await until_connected(bus)
        async with bus.subscribe(subject) as messages:
            await bus.publish(subject, b"after")
            assert [m.data for m in await take(messages)] == [b"after"]


async def test_a_service_comes_back_with_the_server(own_server: EmbeddedServer) -> None:
    async def echo(message: object) -> bytes:
        return b"here"

    async with await NatsBus.connect(own_server.url) as bus, bus.serve(bus.subjects.ask("run"), echo):
        await own_server.kill()
        await until_lost(bus)
        await own_server.start()
        await until_connected(bus)
        assert (await bus.request(bus.subjects.ask("run"), b"", DEADLINE_S)).data == b"here"


async def test_nothing_confirmed_is_lost_when_the_server_dies_while_signals_come_and_go(
    own_server: EmbeddedServer,
) -> None:
    """Two crashes while signals are queued and consumed: each confirmed one is taken, and settled ones stay so."""
    async with await NatsBus.connect(own_server.url) as bus:
        await lay_streams(bus.jetstream, bus.subjects)
        confirmed: set[bytes] = set()
        taken: dict[bytes, Delivery] = {}

        async def produce() -> None:
            for number in range(300):
                data = b"%d" % number
                while data not in confirmed:
                    try:
                        await bus.enqueue(bus.subjects.signal("alice", "support", str(number)), data, f"id-{number}")
                        confirmed.add(data)
                    except Unavailable:
                        await until_connected(bus)

        async def consume(deliveries: AsyncIterator[Delivery]) -> None:
            async for delivery in deliveries:
                taken[delivery.data] = delivery
                try:
                    await delivery.ack()
                except Unavailable:
                    continue  # it comes again

        async with (
            bus.consume("support", bus.subjects.signals("support"), ack_wait_s=0.5, limit=16) as deliveries,
            asyncio.TaskGroup() as group,
        ):
            consuming = group.create_task(consume(deliveries))
            producing = group.create_task(produce())
            await until(lambda: len(confirmed) >= 100, within_s=20)
            await own_server.kill()
            await own_server.start()
            await until(lambda: len(confirmed) >= 200, within_s=20)
            await own_server.kill()
            await own_server.start()
            await producing
            await until(lambda: confirmed <= set(taken), within_s=20)
            consuming.cancel()
        assert len(confirmed) == 300
        assert set(taken) == confirmed


async def test_a_consumer_that_was_deleted_on_the_server_is_made_again(bus: NatsBus, subjects: Subjects) -> None:
    name = definition("signals", subjects)["name"]
    async with bus.consume("support", subjects.signals("support")) as deliveries:
        # A request that is on its way into a consumer that is being deleted is lost without a word; that it is asked
        # again then takes as long as a silence is allowed to.
        about = f"CONSUMER.INFO.{name}.support"
        async with asyncio.timeout(DEADLINE_S):
            while not (await bus.jetstream.call(about))["num_waiting"]:  # noqa: ASYNC110 - the server has no event
                await asyncio.sleep(0.002)
        await bus.jetstream.call(f"CONSUMER.DELETE.{name}.support")
        await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello")
        assert [d.data for d in await take(deliveries)] == [b"hello"]


# Connections

GUARDED = """
jetstream { sync_interval: always }
authorization {
  users: [
    { user: alice, password: secret, permissions: { subscribe: ["_INBOX.>", "treadle.*.alice.>"], publish: ">" } }
  ]
}
"""


@pytest.fixture
async def guarded_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that lets alice in, and to her own subjects."""
    config = tmp_path / "guarded.conf"
    config.write_text(GUARDED)
    async with EmbeddedServer(tmp_path / "store", config=config) as server:
        yield server


async def test_a_server_that_does_not_let_us_in_is_a_matter_of_configuration(guarded_server: EmbeddedServer) -> None:
    with pytest.raises(ConfigError, match="does not let us in"):
        await NatsBus.connect(guarded_server.url, connect_timeout_s=1)


async def test_not_being_let_in_is_told_though_another_of_the_servers_is_not_there(
    guarded_server: EmbeddedServer,
) -> None:
    for urls in (f"{guarded_server.url},nats://127.0.0.1:9", f"nats://127.0.0.1:9,{guarded_server.url}"):
        with pytest.raises(ConfigError, match="does not let us in"):
            await NatsBus.connect(urls, connect_timeout_s=0.5)


async def test_whichever_of_several_servers_is_there_is_taken(nats_server: EmbeddedServer) -> None:
    for urls in (f"{nats_server.url}, nats://127.0.0.1:9", f"nats://127.0.0.1:9,{nats_server.url}"):
        async with await NatsBus.connect(urls) as bus:
            assert bus.connected


async def test_a_server_that_is_too_old_is_refused_with_both_versions() -> None:
    info = {"server_id": "old", "version": "2.10.29", "max_payload": 1_048_576, "headers": True}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConfigError, match=r"is nats-server 2\.10\.29, wanted 2\.15 or newer"):
            await NatsBus.connect(f"nats://127.0.0.1:{port}")


async def test_listening_to_what_is_somebody_elses_is_refused_and_not_silent(guarded_server: EmbeddedServer) -> None:
    url = guarded_server.url.replace("nats://", "nats://alice:secret@")
    async with await NatsBus.connect(url) as bus:
        own, other = (bus.subjects.live(user, "run-1") for user in ("alice", "bob"))
        with pytest.raises(ConfigError, match=r"does not let us listen to 'treadle\.live\.bob\.run-1'"):
            async with bus.subscribe(other):
                pytest.fail("bob's tokens are not alice's")
        async with bus.subscribe(own) as messages:
            await bus.publish(own, b"hello")
            assert [m.data for m in await take(messages)] == [b"hello"]


async def test_no_server_is_unavailable_in_time_and_names_where_it_was_sought() -> None:
    with pytest.raises(Unavailable, match=r"nats://127\.0\.0\.1:9 is unavailable.*within 0\.3 s") as told:
        await NatsBus.connect("nats://alice:secret@127.0.0.1:9", connect_timeout_s=0.3)
    assert "secret" not in str(told.value)


async def test_closing_leaves_no_task_behind(nats_server: EmbeddedServer, subjects: Subjects) -> None:
    before = asyncio.all_tasks()
    bus = await NatsBus.connect(nats_server.url, namespace=subjects.namespace)
    await lay_streams(bus.jetstream, subjects)
    async with bus.subscribe(subjects.live("alice", "run-1")), bus.consume("support", subjects.signals("support")):
        await bus.close()
    await bus.close()
    await until(lambda: asyncio.all_tasks() == before)
    gc.collect()


async def test_micro_services_work_on_our_connection(bus: NatsBus, subjects: Subjects) -> None:
    service = Service(bus.client, ServiceConfig(name="treadle-runs", version="0.1.0"))
    await service.start()

    async def history(request: Request) -> None:
        await request.respond(b"[]")

    await service.add_endpoint(name="history", subject=subjects.ask("history"), handler=history)
    assert (await bus.request(subjects.ask("history"), b"", DEADLINE_S)).data == b"[]"
    assert b"treadle-runs" in (await bus.request("$SRV.PING.treadle-runs", b"", DEADLINE_S)).data
    await service.stop()
