"""A program of two processes: a caller whose tools are done by a worker, and the worker. Either may be killed."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from treadle import Agent, System, Worker, remote
from treadle.gateways.workers import offers, wire

from .programs import Program, World, calls, clerk, tools_of

CALLER = "caller"
WORKER = "worker"
KEEPING = "worker with a journal"
KEPT = "worker.db"


def caller() -> Program:
    """A desk that books, charges and wipes, each at a worker."""

    def make(world: World) -> Agent:
        return Agent(
            "You settle accounts.",
            model=calls(["post"], ["charge"], ["wipe"]),
            name="desk",
            tools=[remote(tool) for tool in tools_of(world.ledger)],
            runtime=world.runtime,
            approval_handler=clerk(world),
        )

    return Program(CALLER, make, hosted=_on_nats)


@asynccontextmanager
async def _on_nats(world: World, agent: Agent) -> AsyncGenerator[None]:
    _hasten()
    async with System(
        journal=world.runtime, nats=world.nats, namespace=world.directory.name, projections=False
    ) as system:
        system.host(agent)
        yield


async def work(world: World, journal: bool) -> None:
    """The life of a worker: until SIGTERM."""
    _hasten()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    kept = f"sqlite:{world.directory / KEPT}" if journal else None
    async with Worker(tools_of(world.ledger), nats=world.nats, namespace=world.directory.name, journal=kept):
        ready(world.directory, os.getpid()).touch()
        await ended.wait()


def ready(directory: Path, pid: int) -> Path:
    """A file that is there when this worker takes calls."""
    return directory / f"ready-{pid}"


def _hasten() -> None:
    """Wait a tenth as long for those who have died: every life here waits for one."""
    wire.ANSWER_S = wire.TAKE_S = 0.25
    wire.GONE_S, wire.SILENCE_S, wire.LOOK_EVERY_S, wire.LEASE_S = 0.25, 0.6, 0.02, 0.2
    wire.FIRST_POLL_S, wire.POLL_S, offers.LINGER_S = 0.05, 0.1, 0.5
