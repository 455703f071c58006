"""The parts of the site: a node, a server of the NATS cluster, PostgreSQL. Each is killed, paused and stopped alike."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from nats_cluster import NatsCluster
from postgres import PostgresServer

from .agents import TELL
from .disturbances import POSTGRESQL

TESTS = Path(__file__).parents[1]
STOPS_WITHIN_S = 30.0
"""How long whoever was asked to stop may take; a node that drains waits ten seconds for a step."""

_RESTART_S = 0.5
_log = logging.getLogger("chaos")


class Node:
    """A `treadle up`, with somebody who starts it again when it ends by itself, as systemd would.

    Attributes:
        fell: How often it ended by itself.
        leftovers: Exit codes that tell of trouble after a polite request.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        options: Mapping[str, str],
        environment: Mapping[str, str],
        agents: str = "cluster.agents:agents",
    ) -> None:
        self.name = name
        self.fell = 0
        self.leftovers: list[int] = []
        self._log_file = directory / f"{name}.log"
        given = {**options, "--directory": str(directory / name), "--log-level": "info"}
        self._command = [sys.executable, "-m", "treadle", "up", agents]
        self._command += [word for option in given.items() for word in option]
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it has said so, in any of its lives."""
        return self._log_file.exists() and b"ready:" in self._log_file.read_bytes()

    async def start(self) -> None:
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name=f"keeper of {self.name}")

    async def kill(self) -> None:
        await self._let_go()
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        await self._let_go()
        assert self._process is not None
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                code = await self._process.wait()
        except TimeoutError:
            _log.warning("%s does not stop", self.name)
            code = -signal.SIGKILL
            self._process.kill()
            await self._process.wait()
        # One that had hardly begun to start had no handler yet.
        if code not in (0, -signal.SIGTERM):
            self.leftovers.append(code)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tell(self) -> None:
        """Have it write to its log what it is at."""
        self._signal(TELL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _launch(self) -> None:
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=TESTS,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            code = await self._process.wait()
            self.fell += 1
            _log.info("%s ended by itself with %d and is started again", self.name, code)
            await asyncio.sleep(_RESTART_S)
            await self._launch()

    async def _let_go(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
            self._keeper = None


class NatsPart:
    """One server of the cluster."""

    def __init__(self, cluster: NatsCluster, server: str) -> None:
        self.name = f"nats-{server}"
        self._cluster = cluster
        self._server = server

    async def start(self) -> None:
        await self._cluster.restart(self._server)

    async def kill(self) -> None:
        await self._cluster.kill(self._server)

    async def stop(self) -> None:
        await self._cluster.servers[self._server].stop()

    def pause(self) -> None:
        self._cluster.pause(self._server)

    def resume(self) -> None:
        self._cluster.resume(self._server)


class PostgresPart:
    """The database, with all processes that serve a connection."""

    name = POSTGRESQL

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def stop(self) -> None:
        """Its "fast shutdown": connections are ended, and everything is written."""
        postmaster = psutil.Process(self._server.pid)
        postmaster.send_signal(signal.SIGINT)
        await asyncio.to_thread(postmaster.wait, STOPS_WITHIN_S)

    def pause(self) -> None:
        self._server.pause()

    def resume(self) -> None:
        self._server.resume()
