"""Programs that need more than an agent: a helper beside it, or NATS in front of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from treadle import Agent, System
from treadle.events.subjects import Subjects
from treadle.gateways.broker.streams import lay_streams, stream_name
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.signals import Signals

from .programs import World, calls, desk

ACK_WAIT_S = 0.5
"""Seconds until the broker gives the signal of a dead process to the next: short, since every life waits for it."""


@asynccontextmanager
async def with_helper(world: World, agent: Agent) -> AsyncGenerator[None]:
    """A system with the desk and a helper that it delegates to."""
    async with System(journal=world.runtime, projections=False) as system:
        system.host(agent)
        system.host(desk(world, calls(["charge"]), name="helper"))
        yield


@asynccontextmanager
async def taking_signals(world: World, agent: Agent) -> AsyncGenerator[None]:
    """A system behind NATS; it goes when every signal is acknowledged, and everything told that there is to tell."""
    async with System(journal=world.runtime, nats=world.nats, namespace=world.directory.name) as system:
        system.host(agent)
        system.signals = Signals(system.bus, system.node.host, system.subjects, ack_wait_s=ACK_WAIT_S)
        await system.start_hosting()
        yield
        while await waiting_signals(system) or (await system.status()).relay_lag:  # noqa: ASYNC110 - the broker's state
            await asyncio.sleep(0.005)
        await system.projections.catch_up()
        if open_runs := list(await system.projections.runs.open_runs()):
            raise AssertionError(f"the projection has open runs: {open_runs}")


async def waiting_signals(system: System) -> int:
    bus = system.bus
    assert isinstance(bus, NatsBus)
    return await count(bus, "signals", system.subjects)


async def count(bus: NatsBus, kind: str, subjects: Subjects) -> int:
    """How many messages a stream has."""
    state = (await bus.jetstream.call(f"STREAM.INFO.{stream_name(kind, subjects)}"))["state"]
    messages: int = state["messages"]
    return messages


async def send_signal(nats: str, namespace: str, words: str) -> None:
    """What another service does, once the streams are there: it publishes one message."""
    subjects = Subjects(namespace)
    bus = await NatsBus.connect(nats, namespace=namespace)
    try:
        await lay_streams(bus.jetstream, subjects)
        body = msgspec.json.encode({"summary": words})
        await bus.enqueue(subjects.signal("alice", "desk", "conv-1"), body, "signal-1")
    finally:
        await bus.close()


async def told_events(nats: str, namespace: str) -> int:
    """How many events the broker was told."""
    bus = await NatsBus.connect(nats, namespace=namespace)
    try:
        return await count(bus, "events", Subjects(namespace))
    finally:
        await bus.close()
