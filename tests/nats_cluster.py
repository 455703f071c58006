"""Three NATS servers that are one cluster: the real ones, each of which can be killed, paused, woken and restarted.

They run what `nats/cluster.conf` says, on loopback, with ports and routes of their own. What takes them a while has a
name here, and a deadline: a leader of the cluster, a leader of a stream, replicas that have caught up.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from treadle.gateways.broker.server import EmbeddedServer

NAMES: Final = ("a", "b", "c")
LEADER_WITHIN_S: Final = 30.0
"""Servers that have lost their leader elect one within ten seconds; on a busy machine they may need a second try."""

_FILES: Final = Path(__file__).resolve().parent.parent / "nats"
_POLL_S: Final = 0.02


class NatsCluster:
    """Three servers below one directory, by name. Not bound to an event loop: one serves tests of several.

    Args:
        settings: Further lines of configuration, for all of them.
    """

    def __init__(self, directory: Path, settings: str = "") -> None:
        self._directory = directory
        ports = _free_ports(2 * len(NAMES))
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("server.conf", "cluster.conf"):
            shutil.copy(_FILES / name, directory)
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports[::2])
        self.servers: dict[str, EmbeddedServer] = {}
        for name, port, route in zip(NAMES, ports[1::2], ports[::2], strict=True):
            config = directory / f"{name}.conf"
            cluster = f'cluster {{ name: treadle, listen: "127.0.0.1:{route}", routes: [{routes}] }}'
            config.write_text(f"include cluster.conf\nserver_name: {name}\n{cluster}\n{settings}\n")
            self.servers[name] = EmbeddedServer(directory / name, port=port, config=config)
        self._paused: set[str] = set()

    @property
    def url(self) -> str:
        """All of them, as `--nats` takes them."""
        return ",".join(server.url for server in self.servers.values())

    async def start(self) -> None:
        """Start all, and wait until they are one cluster that keeps streams."""
        async with asyncio.TaskGroup() as starting:
            for server in self.servers.values():
                starting.create_task(server.start())
        await self.until_whole()

    async def stop(self) -> None:
        """End all at once, without a care for what they stored."""
        for name in self.servers:
            await self.kill(name)

    async def kill(self, *names: str) -> None:
        """End these as a crash would: SIGKILL."""
        for name in names:
            self.resume(name)
            await self.servers[name].kill()

    async def restart(self, *names: str) -> None:
        """Bring these back, on their ports and what they stored; what still runs is killed first."""
        await self.kill(*names)
        async with asyncio.TaskGroup() as starting:
            for name in names:
                starting.create_task(self.servers[name].start())

    def lose(self, name: str) -> None:
        """Throw away what a server that is down has stored, as a disk that is replaced would."""
        assert not self.servers[name].running, "a server that runs keeps its files"
        shutil.rmtree(self.servers[name].store_dir / "jetstream")

    def pause(self, *names: str) -> None:
        """Stop these where they are, with their connections open: SIGSTOP."""
        for name in names:
            pid = self.servers[name].pid
            assert pid is not None, f"server {name} does not run"
            os.kill(pid, signal.SIGSTOP)
            self._paused.add(name)

    def resume(self, *names: str) -> None:
        """Let these go on; those that were not paused go on anyway."""
        for name in names:
            pid = self.servers[name].pid
            if name in self._paused and pid is not None:
                os.kill(pid, signal.SIGCONT)
            self._paused.discard(name)

    @property
    def awake(self) -> tuple[str, ...]:
        """The servers that run and are not paused."""
        return tuple(name for name, server in self.servers.items() if server.running and name not in self._paused)

    async def heal(self) -> None:
        """Have all of them awake and in one cluster again."""
        self.resume(*self._paused)
        gone = [name for name, server in self.servers.items() if not server.running]
        await self.restart(*gone)
        await self.until_whole()

    async def until_whole(self) -> None:
        """Until all servers that should be there follow one leader, and are up to date."""
        await self._until("a cluster of three", self._is_whole)

    async def meta_leader(self) -> str:
        """The server that the cluster's own matters go through, when one is known to all that are awake."""
        await self._until("a leader of the cluster", self._is_led)
        return self._said_leaders().pop()

    async def stream_leader(self, stream: str, other_than: str = "") -> str:
        """The server that leads `stream`, when it has one."""
        found = ""

        def led() -> bool:
            nonlocal found
            found = self._stream(stream).get("leader", "")
            return found in self.awake and found != other_than

        await self._until(f"a leader of {stream}", led)
        return found

    async def until_replicated(self, stream: str, replicas: int = 3) -> None:
        """Until `stream` is kept by so many servers, all of them up to date."""

        def replicated() -> bool:
            others = self._stream(stream).get("replicas", [])
            return len(others) == replicas - 1 and all(other["current"] for other in others)

        await self._until(f"{replicas} replicas of {stream}", replicated)

    async def __aenter__(self) -> "NatsCluster":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _is_led(self) -> bool:
        leaders = self._said_leaders()
        return len(leaders) == 1 and leaders <= set(self.awake)

    def _is_whole(self) -> bool:
        if len(self.awake) < len(NAMES) or not self._is_led():
            return False
        # Only the leader knows how the others are.
        others = self._meta(self._said_leaders().pop()).get("replicas", [])
        return len(others) == len(NAMES) - 1 and all(o["current"] and not o.get("offline", False) for o in others)

    def _said_leaders(self) -> set[str]:
        """Those whom the servers take for the leader; one that knows none says so with nothing."""
        return {self._meta(name).get("leader", "") for name in self.awake}

    def _meta(self, name: str) -> dict[str, Any]:
        """What a server says of the cluster: its leader, and the others."""
        meta: dict[str, Any] = self._monitored(name, "jsz").get("meta_cluster", {})
        return meta

    def _stream(self, stream: str) -> dict[str, Any]:
        """What the leader of `stream` says of its replicas; nothing while there is none."""
        for name in self.awake:
            for account in self._monitored(name, "jsz?streams=true").get("account_details", []):
                for detail in account.get("stream_detail", []):
                    cluster: dict[str, Any] = detail.get("cluster", {})
                    if detail["name"] == stream and cluster.get("leader") == name:
                        return cluster
        return {}

    def _monitored(self, name: str, page: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self.servers[name].monitor_url}/{page}", timeout=1) as answer:
                told: dict[str, Any] = json.load(answer)
        except (urllib.error.URLError, OSError):
            return {}
        return told

    async def _until(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(LEADER_WITHIN_S):
                while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - servers have no events
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            said = {name: self._meta(name) for name in self.awake}
            raise TimeoutError(f"not {what} within {LEADER_WITHIN_S:g} s; {said}") from None


def _free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to connections, so that none takes one while its server is down."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
