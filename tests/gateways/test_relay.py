"""The relay tells everything that is durable, in order, and fills EVENTS up again whatever happened to it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hosting import WITHIN_S, Outsider, calling, namespace, outsider
from recording import write_runs
from waiting import until

from treadle import Agent, System, tool
from treadle.events.journal import Journal
from treadle.gateways import relay
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.journals import open_journal
from treadle.gateways.relay import Relay


class Told:
    """A system that relays, and what came of it."""

    def __init__(self, system: System, nats: Outsider) -> None:
        self.system = system
        self.nats = nats

    @property
    def relay(self) -> Relay:
        assert self.system.relay is not None
        return self.system.relay

    @property
    def bus(self) -> NatsBus:
        assert isinstance(self.system.bus, NatsBus)
        return self.system.bus

    async def all(self) -> list[tuple[str, int]]:
        """EVENTS, when the relay has caught up."""
        last = await self.system.journal.last_position()
        await until(lambda: self.relay.position >= last, WITHIN_S)
        return await self.nats.stored()

    async def journal(self) -> list[tuple[str, int]]:
        return [(event.stream, event.version) for event in await self.system.journal.read_all(0, 100_000)]


@asynccontextmanager
async def relaying(server: EmbeddedServer, ns: str, journal: str | Journal = "memory") -> AsyncGenerator[Told]:
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            System(journal=journal, nats=server.url, namespace=ns, projections=False)
        )
        yield Told(system, await stack.enter_async_context(outsider(server.url, ns)))


async def test_everything_is_told_once_in_the_order_of_the_journal(nats_server: EmbeddedServer) -> None:
    async with relaying(nats_server, namespace()) as told:
        await write_runs(told.system.journal, 150)
        assert await told.all() == await told.journal()
        assert (await told.relay.lag(), told.relay.skipped) == (0, 0)


async def test_what_nobody_tells_is_told_by_a_relay_that_stands_by(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STANDBY_S", 0.05)
    async with relaying(nats_server, namespace()) as told:
        await told.relay.close()
        standby = Relay(told.system.journal, told.bus, told.system.subjects, leads=lambda: False)
        await standby.start()
        await write_runs(told.system.journal, 150)
        last = await told.system.journal.last_position()
        await until(lambda: standby.position >= last, WITHIN_S)
        assert await told.nats.stored() == await told.journal()
        await standby.close()


async def test_a_relay_that_stands_by_tells_what_is_left_when_it_closes(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STANDBY_S", 600.0)
    async with relaying(nats_server, namespace()) as told:
        await told.relay.close()
        standby = Relay(told.system.journal, told.bus, told.system.subjects, leads=lambda: False)
        await standby.start()
        await write_runs(told.system.journal, 3)
        await standby.close()
        assert await told.nats.stored() == await told.journal()


async def test_the_next_relay_goes_on_where_the_last_one_was(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with relaying(nats_server, ns, journal) as told:
        await write_runs(told.system.journal, 10)
        await told.all()
    quiet = await open_journal(journal)
    await write_runs(quiet, 10, first=10)
    await quiet.close()
    async with relaying(nats_server, ns, journal) as told:
        assert told.relay.position >= 80
        assert await told.all() == await told.journal()


async def test_a_new_journal_does_not_start_at_the_end_of_an_old_one(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with relaying(nats_server, ns) as told:
        await write_runs(told.system.journal, 20)
        await told.all()
    journal = await open_journal("memory")
    await write_runs(journal, 30, first=100)
    async with relaying(nats_server, ns, journal) as told:
        assert (await told.all())[-240:] == await told.journal()
    await journal.close()


async def test_journals_that_share_a_broker_keep_their_own_places(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns, ours, theirs = namespace(), f"sqlite:{tmp_path}/ours.db", f"sqlite:{tmp_path}/theirs.db"
    async with relaying(nats_server, ns, ours) as told:
        await write_runs(told.system.journal, 5)
        await told.all()
        async with relaying(nats_server, ns, theirs) as others:
            await write_runs(others.system.journal, 40, first=1000)
            await others.all()
    quiet = await open_journal(ours)
    await write_runs(quiet, 5, first=5)
    await quiet.close()
    async with relaying(nats_server, ns, ours) as told:
        assert told.relay.position >= 40  # and it has gone on already, perhaps
        found = await told.all()
        assert len(found) == len(set(found)) == 80 + 320
        assert [each for each in found if each[0] < "run-r001"] == await told.journal()


@pytest.mark.parametrize("restart", [True, False])
async def test_a_deleted_stream_is_filled_again(nats_server: EmbeddedServer, tmp_path: Path, restart: bool) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with relaying(nats_server, ns, journal) as told:
        await write_runs(told.system.journal, 5)
        await told.all()
        await told.nats.js.delete_stream(f"EVENTS-{ns}")
        if not restart:
            await write_runs(told.system.journal, 1, first=5)
            assert await told.all() == await told.journal()
            assert len(await told.journal()) == 48
            return
    async with relaying(nats_server, ns, journal) as told:
        assert await told.all() == await told.journal()


async def test_an_outage_leaves_no_hole(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    async with relaying(server, namespace(), f"sqlite:{tmp_path}/events.db") as told:
        for outage in range(3):
            await write_runs(told.system.journal, 40, first=100 * outage)
            await server.kill()
            await write_runs(told.system.journal, 40, first=100 * outage + 50)
            await server.start()
        await until(lambda: told.nats.client.is_connected, WITHIN_S)
        found = await told.all()
        assert list(dict.fromkeys(found)) == await told.journal()
    await server.stop()


async def test_a_payload_larger_than_a_message_is_told_by_its_digest(nats_server: EmbeddedServer) -> None:
    @tool
    async def dump() -> str:
        return "x" * 2_000_000

    async with relaying(nats_server, namespace()) as told:
        desk = told.system.host(Agent(model=calling("dump"), tools=[dump]), name="desk")
        async with told.nats.listening("event.alice.run.*.tool_completed") as events:
            result = await desk.run("Go", user_id="alice")
            event = await events.event()
        assert len(event["blob"]) == 64
        assert event["data"] is None
        assert len(result.output) == 2_000_000
        assert await told.all() == await told.journal()
        assert told.relay.skipped == 0


async def test_a_chunk_larger_than_a_message_does_not_fail_the_run(nats_server: EmbeddedServer) -> None:
    from treadle import FunctionModel

    async with relaying(nats_server, namespace()) as told:
        model = FunctionModel(lambda messages, tools: "x" * 2_000_000)
        desk = told.system.host(Agent(model=model), name="desk")
        assert len((await desk.run("Go")).output) == 2_000_000


async def test_a_corrupt_row_is_stepped_over_counted_and_nothing_else(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "events.db"
    journal = await open_journal(f"sqlite:{path}")
    await write_runs(journal, 3)
    await journal.close()
    with closing(sqlite3.connect(path)) as file:
        for version in (1, 4):  # the very first event, and one in the middle
            sql = "UPDATE stored_events SET state = 'x' WHERE originator_id = 'run-r000000' AND originator_version = ?"
            file.execute(sql, (version,))
        file.commit()
    async with relaying(nats_server, namespace(), f"sqlite:{path}") as told:
        assert await told.all() == [("run-r000000", version) for version in (2, 3, 5, 6, 7, 8)] + [
            (f"run-r00000{run}", version) for run in (1, 2) for version in range(1, 9)
        ]
        assert told.relay.skipped == 2


async def test_nothing_is_told_that_is_not_durable_and_all_that_is_when_it_closes(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with outsider(nats_server.url, ns) as nats:
        async with relaying(nats_server, ns, journal) as told:
            await write_runs(told.system.journal, 50)
        kept = await open_journal(journal)
        assert await nats.stored() == [(event.stream, event.version) for event in await kept.read_all(0, 10_000)]
        await kept.close()
