"""The site: three nodes, three NATS servers that are one cluster, and PostgreSQL, all on loopback."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from nats_cluster import NatsCluster
from postgres import PostgresServer

from .agents import LEDGER, PARENT
from .disturbances import NODES, Part
from .ledger import Ledger
from .parts import NatsPart, Node, PostgresPart

NAMESPACE = "chaos"
STARTS_WITHIN_S = 30.0
_DATABASE = "runs"


class Site:
    """Started by its context, and ended with it, whatever state it is in.

    Attributes:
        parts: What can be disturbed, by name.
        ledger: The effects of all nodes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nats = NatsCluster(directory / "nats")
        self.postgres = PostgresServer()
        self.ledger = Ledger(directory / "ledger")
        self.nodes: dict[str, Node] = {}
        self._others: list[Part] = [
            PostgresPart(self.postgres),
            *(NatsPart(self.nats, name) for name in self.nats.servers),
        ]

    @property
    def parts(self) -> Mapping[str, Part]:
        return {part.name: part for part in (*self.nodes.values(), *self._others)}

    @property
    def journal(self) -> str:
        """The URL of the journal."""
        return self.postgres.url(_DATABASE)

    async def until_up(self) -> None:
        """Until every node takes signals."""
        await until_up(self.nodes)

    async def stop_nodes(self) -> None:
        """Ask all nodes to end, one after the other, so that each hands on what it has."""
        for node in self.nodes.values():
            await node.stop()

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(self.nats.start())
                starting.create_task(asyncio.to_thread(self.postgres.start))
            await asyncio.to_thread(self.postgres.execute, f"CREATE DATABASE {_DATABASE}")
            options = {"--nats": self.nats.url, "--journal": self.journal, "--namespace": NAMESPACE}
            environment = {LEDGER: str(self.directory / "ledger"), PARENT: str(os.getpid())}
            self.nodes = {name: Node(name, self.directory, options, environment) for name in NODES}
            for node in self.nodes.values():
                await node.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        for node in self.nodes.values():
            await node.kill()
        await self.nats.stop()
        await asyncio.to_thread(self.postgres.stop)


async def until_up(nodes: Mapping[str, Node]) -> None:
    """Until each of them has said that it takes signals."""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while not all(node.ready for node in nodes.values()):  # noqa: ASYNC110 - they write it to a file
            await asyncio.sleep(0.05)
