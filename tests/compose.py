"""The services of `docs/deploy/compose.yaml` as plain processes on loopback: their own commands, other addresses."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

from ruamel.yaml import YAML
from strict import STRICT

from treadle.gateways.broker.server import find_binary

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "deploy" / "compose.yaml"
DEADLINE_S = 40.0


class Compose:
    """Starts services one by one; what is still there at the end is killed.

    Args:
        directory: Each service has a part of it in place of its volumes.
        journal: Stands in place of the file's PostgreSQL.
    """

    def __init__(self, directory: Path, journal: str) -> None:
        self._directory = directory
        self._journal = journal
        self._services: Mapping[str, Any] = YAML(typ="safe").load(FILE)["services"]  # pyright: ignore[reportUnknownMemberType]
        names = "|".join(self._services)
        self._address = re.compile(rf"\b(?P<service>{names}|0\.0\.0\.0|127\.0\.0\.1):(?P<port>\d+)")
        self._ports: dict[tuple[str, str], int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Compose":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(DEADLINE_S)

    def names(self, prefix: str) -> list[str]:
        return [name for name in self._services if name.startswith(prefix)]

    def port(self, service: str, port: str) -> int:
        """The port that stands for one of a service's."""
        if (service, port) not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[service, port] = free.getsockname()[1]
        return self._ports[service, port]

    def url(self, service: str) -> str:
        return f"nats://127.0.0.1:{self.port(service, '4222')}"

    def start(self, service: str) -> None:
        home = self._home(service)
        with (home / "log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                self._command(service, self._services[service]["command"]),
                cwd=home, env=self._environment(), stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self, service: str) -> None:
        """Until its health check says that it is well, as `depends_on` waits; it is started again if it ends."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.is_well(service):
            assert time.monotonic() < deadline, self.log(service)
            if self.processes[service].poll() is not None:
                # In a cluster that starts, a stream may have no leader yet.
                assert self._services[service]["restart"] == "unless-stopped"
                self.start(service)
            time.sleep(0.1)

    def is_well(self, service: str) -> bool:
        """What its health check says now."""
        command = self._command(service, self._services[service]["healthcheck"]["test"][1:])
        if command[0] == "wget":
            try:
                with urllib.request.urlopen(command[-1], timeout=5) as answer:
                    return bool(answer.status == 200)
            except (URLError, OSError):
                return False
        done = subprocess.run(
            command, cwd=self._home(service), env=self._environment(), capture_output=True, timeout=20
        )
        return done.returncode == 0

    def treadle(self, *words: str) -> str:
        """What a command of the command line says, asked of the cluster."""
        done = subprocess.run(
            [*_TREADLE, *words, "--nats", self.url("nats-2")], cwd=self._directory, env=self._environment(),
            capture_output=True, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def signal(self, service: str, number: signal.Signals) -> None:
        self.processes[service].send_signal(number)

    def stop(self, service: str) -> int:
        """SIGTERM; its exit code."""
        process = self.processes.pop(service)
        process.terminate()
        return process.wait(DEADLINE_S)

    def log(self, service: str) -> str:
        return f"{service}: {(self._home(service) / 'log').read_text()[-3000:]}"

    def _home(self, service: str) -> Path:
        home = self._directory / service
        home.mkdir(exist_ok=True)
        return home

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TREADLE_JOURNAL": self._journal, "NO_COLOR": "1"}

    def _command(self, service: str, words: Sequence[str]) -> list[str]:
        """`words`, where everything that a container has to itself stands for something of this machine."""

        def here(found: re.Match[str]) -> str:
            named = found["service"] if found["service"] in self._services else service
            return f"127.0.0.1:{self.port(named, found['port'])}"

        home = str(self._home(service))
        places = {
            "/etc/nats/server.conf": str(ROOT / "nats" / "server.conf"),
            "/etc/treadle/agents.toml": str(FILE.parent / "agents.toml"),
            "/data": home,
            "/var/lib/treadle": home,
            "0.0.0.0": "127.0.0.1",
        }
        command: list[str] = []
        for word in words:
            is_port = command[-1:] in (["-p"], ["-m"])
            command.append(
                str(self.port(service, word)) if is_port else places.get(word) or self._address.sub(here, word)
            )
        program = {"treadle": _TREADLE, "nats-server": [str(find_binary())]}.get(command[0], command[:1])
        return [*program, *command[1:]]


_TREADLE = [sys.executable, *STRICT, "-m", "treadle"]
