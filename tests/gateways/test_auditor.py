"""The auditor: what the broker has lost of the journal comes back, each event once."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosting import WITHIN_S, Outsider, namespace, outsider
from recording import write
from waiting import until

from treadle import System
from treadle.events.journal import Journal
from treadle.events.run import RunStarted
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus


class Told:
    """A system that relays and is audited when the test says so."""

    def __init__(self, system: System, nats: Outsider) -> None:
        assert system.relay is not None
        assert system.auditor is not None
        self.system = system
        self.nats = nats
        self.relay = system.relay
        self.auditor = system.auditor
        self.stream = f"EVENTS-{nats.namespace}"

    async def write(self, count: int, first: int = 0, at: datetime | None = None) -> None:
        """So many events of streams of their own, told."""
        at = at or datetime.now(UTC)
        for number in range(first, first + count):
            await write(
                self.system.journal,
                f"run-r{number}",
                RunStarted(agent="desk", prompt="x" * 200, model="m", owner="o"),
                at=at,
            )
        last = await self.system.journal.last_position()
        await until(lambda: self.relay.position >= last, WITHIN_S)

    async def is_whole(self) -> None:
        """EVENTS has all of the journal, each event once."""
        journal = [(each.stream, each.version) for each in await self.system.journal.read_all(0, 100_000)]
        assert sorted(await self.stored()) == sorted(journal)

    async def stored(self) -> list[tuple[str, int]]:
        assert isinstance(self.system.bus, NatsBus)
        found: list[tuple[str, int]] = []
        sequence = 1
        jetstream = self.system.bus.jetstream
        while message := await jetstream.next_message(self.stream, f"{self.nats.namespace}.event.>", sequence):
            sequence = message.sequence + 1
            found.append((f"run-{message.subject.split('.')[4]}", 1))
        return found


@asynccontextmanager
async def relaying(server: EmbeddedServer, ns: str, journal: str | Journal = "memory") -> AsyncGenerator[Told]:
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            System(journal=journal, nats=server.url, namespace=ns, projections=False)
        )
        told = Told(system, await stack.enter_async_context(outsider(server.url, ns)))
        await until(lambda: told.auditor.audits == 1, WITHIN_S)
        yield told


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncGenerator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


async def test_a_whole_stream_is_left_alone_and_not_read_again(nats_server: EmbeddedServer) -> None:
    async with relaying(nats_server, namespace()) as told:
        await told.write(50)
        assert await told.auditor.look() == 0
        assert told.auditor.audits == 1
        assert await told.auditor.audit() == 0
        await told.is_whole()


async def test_messages_lost_in_the_middle_are_published_again_once(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with relaying(nats_server, ns) as told:
        await told.write(700)
        for number in (0, 5, *range(100, 650)):
            await told.nats.js.purge_stream(told.stream, subject=f"{ns}.event.alice.run.r{number}.>")
        assert await told.auditor.look() == 552
        await told.is_whole()
        assert await told.auditor.look() == 0
        assert await told.auditor.audit() == 0


async def test_the_relay_goes_on_behind_what_was_published_again(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with relaying(nats_server, ns, journal) as told:
        await told.write(20)
        await told.nats.js.purge_stream(told.stream, subject=f"{ns}.event.alice.run.r3.>")
        assert await told.auditor.look() == 1
    async with relaying(nats_server, ns, journal) as told:
        assert told.relay.position == 20
        await told.write(5, first=20)
        assert told.auditor.republished == 0
        await told.is_whole()


async def test_what_was_lost_while_nobody_looked_is_found_at_the_next_start(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with relaying(nats_server, ns, journal) as told:
        await told.write(20)
        stream = told.stream
    async with outsider(nats_server.url, ns) as nats:
        await nats.js.purge_stream(stream, subject=f"{ns}.event.alice.run.r3.>")
    async with relaying(nats_server, ns, journal) as told:
        assert told.auditor.republished == 1
        await told.is_whole()


async def test_a_stream_that_was_deleted_while_nothing_happened_is_filled_again(nats_server: EmbeddedServer) -> None:
    async with relaying(nats_server, namespace()) as told:
        await told.write(20)
        await told.nats.js.delete_stream(told.stream)
        assert await told.auditor.look() == 20
        await told.is_whole()
        await told.write(5, first=20)
        await told.is_whole()


async def test_an_old_store_directory_is_filled_up_again(own_server: EmbeddedServer, tmp_path: Path) -> None:
    store, copy = own_server.store_dir / "jetstream", tmp_path / "backup"
    async with relaying(own_server, namespace()) as told:
        await told.write(20)
        await own_server.stop()
        shutil.copytree(next(own_server.store_dir.rglob("streams")), copy)
        await own_server.start()
        await until(lambda: told.system.bus.connected, WITHIN_S)
        await told.write(20, first=20)
        await own_server.kill()
        streams = next(own_server.store_dir.rglob("streams"))
        assert streams.is_relative_to(store)
        shutil.rmtree(streams)
        shutil.copytree(copy, streams)
        await own_server.start()
        await until(lambda: told.system.bus.connected and told.nats.client.is_connected, WITHIN_S)
        # The relay has not noticed: it publishes what is new, and the gap stays.
        await told.write(1, first=40)
        assert len(await told.stored()) == 21
        assert await told.auditor.look() == 20
        await told.is_whole()


async def test_what_a_flipped_bit_takes_along_is_published_again(own_server: EmbeddedServer) -> None:
    async with relaying(own_server, namespace()) as told:
        await told.write(200)
        await own_server.kill()
        for index in own_server.store_dir.rglob("index.db"):
            index.unlink()
        [block] = own_server.store_dir.rglob(f"{told.stream}/msgs/1.blk")
        raw = bytearray(block.read_bytes())
        raw[len(raw) // 2] ^= 1
        block.write_bytes(raw)
        await own_server.start()
        await until(lambda: told.system.bus.connected and told.nats.client.is_connected, WITHIN_S)
        assert len(await told.stored()) < 200
        assert await told.auditor.look() > 0
        await told.is_whole()


async def test_what_is_older_than_the_stream_keeps_is_not_missing(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with relaying(nats_server, ns) as told:
        await told.write(3, at=datetime.now(UTC) - timedelta(days=40))
        await told.write(3, first=3)
        for number in range(4):
            await told.nats.js.purge_stream(told.stream, subject=f"{ns}.event.alice.run.r{number}.>")
        assert await told.auditor.audit() == 1


async def test_an_outage_during_the_audit_is_looked_at_again(own_server: EmbeddedServer) -> None:
    ns = namespace()
    async with relaying(own_server, ns) as told:
        await told.write(20)
        await told.nats.js.purge_stream(told.stream, subject=f"{ns}.event.alice.run.r3.>")
        await own_server.kill()
        with pytest.raises(Exception, match="unavailable"):
            await told.auditor.look()
        await own_server.start()
        await until(lambda: told.system.bus.connected and told.nats.client.is_connected, WITHIN_S)
        assert await told.auditor.look() == 1
        await told.is_whole()


async def test_a_system_that_closes_during_the_audit_does_close(nats_server: EmbeddedServer) -> None:
    async with asyncio.timeout(WITHIN_S):
        for turns in range(30):
            async with System(nats=nats_server.url, namespace=namespace(), projections=False):
                for _ in range(turns):
                    await asyncio.sleep(0)
