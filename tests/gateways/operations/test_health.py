"""Alive and ready: what stops, says so with its reason, and comes back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hosting import WITHIN_S, namespace
from postgres import PostgresServer
from recording import write_runs
from waiting import until

from treadle import Agent, System
from treadle.gateways.broker.jetstream import JetStream
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.operations import health as bounds
from treadle.gateways.operations.health import STARTING, Health, Trouble, health_of


async def becomes(system: System, *, ready: bool) -> Health:
    async with asyncio.timeout(WITHIN_S):
        while (health := await health_of(system)).ready is not ready:  # noqa: ASYNC110 - as in `waiting.until`
            await asyncio.sleep(0.02)
    return health


@asynccontextmanager
async def hosting(nats: str, journal: str) -> AsyncGenerator[System]:
    async with System(journal=journal, nats=nats, namespace=namespace()) as system:
        system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        yield system


async def test_a_system_that_does_its_work_is_ready_and_writes_nothing_to_say_so(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with hosting(nats_server.url, f"sqlite:{tmp_path}/events.db") as system:
        before = await system.journal.last_position()
        assert await becomes(system, ready=True) == Health(True, True)
        assert await system.journal.last_position() == before


async def test_without_nats_it_is_a_matter_of_the_journal_and_the_views() -> None:
    async with System() as system:
        assert await health_of(system) == Health(True, True)


async def test_without_its_broker_a_system_is_alive_and_not_ready_and_ready_when_it_is_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    async with hosting(server.url, "memory") as system:
        await becomes(system, ready=True)
        await server.stop()
        health = await becomes(system, ready=False)
        [trouble] = health.troubles
        assert (health.healthy, trouble.what) == (True, "broker")
        assert "the connection is lost and is being sought" in trouble.why
        await server.start()
        assert await becomes(system, ready=True) == Health(True, True)
    await server.stop()


async def test_without_its_database_a_system_is_alive_and_not_ready_and_ready_when_it_is_back(
    nats_server: EmbeddedServer, postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with hosting(nats_server.url, postgres_url) as system:
        await becomes(system, ready=True)
        postgres_server.kill()
        try:
            health = await becomes(system, ready=False)
        finally:
            postgres_server.start()
        assert health.healthy
        assert {"journal", "views"} >= {trouble.what for trouble in health.troubles}
        assert "postgresql://" in health.troubles[0].why
        assert await becomes(system, ready=True) == Health(True, True)


async def test_a_system_that_drains_or_closes_is_alive_and_not_ready(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaving:
        owned = frozenset({0})
        count = 1
        leaving = True

    draining = Health(True, False, (Trouble("node", "it is draining, to leave"),))
    async with hosting(nats_server.url, "memory") as system:
        await becomes(system, ready=True)
        with monkeypatch.context() as patch:
            patch.setattr(System, "placement", Leaving())
            assert await health_of(system) == draining
        await becomes(system, ready=True)
    assert await health_of(system) == draining


async def test_a_system_that_is_not_open_yet_is_starting() -> None:
    assert await health_of(System()) == STARTING


async def test_what_lags_more_than_its_bound_is_named_with_the_numbers(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(nats_server.url, "memory") as system:
        assert system.relay is not None
        last = await write_runs(system.journal, 5)
        await until(lambda: system.relay is not None and system.relay.position == last)
        monkeypatch.setattr(bounds, "RELAY_EVENTS", -1)
        monkeypatch.setattr(bounds, "VIEW_EVENTS", -1)
        await system.projections.catch_up(WITHIN_S)
        whys = {trouble.what: trouble.why for trouble in (await health_of(system)).troubles}
    assert whys["relay"] == "it is 0 events behind, the bound is -1"
    assert whys["view runs"] == "it is 0 events behind, the bound is -1"


async def test_a_broker_that_does_not_answer_in_time_is_named(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(jetstream: JetStream, verb: str) -> None:
        await asyncio.Event().wait()

    async with hosting(nats_server.url, "memory") as system:
        await becomes(system, ready=True)
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "ANSWER_S", 0.05)
            patch.setattr(JetStream, "call", never)
            health = await health_of(system)
    assert health.troubles == (Trouble("broker", "no answer within 0.05 s"),)


async def test_a_relay_whose_task_has_ended_is_not_alive(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server.url, "memory") as system:
        await becomes(system, ready=True)
        assert system.relay is not None
        await system.relay.close()
        health = await health_of(system)
    assert not health.healthy
    assert health.troubles[0] == Trouble("relay", "its task has ended at position 0")
