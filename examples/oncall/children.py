"""The processes of the demonstration: started together, ended together, whatever happens in between."""

import subprocess
import sys
from pathlib import Path

from .place import Place

ROOT = Path(__file__).resolve().parents[2]
"""The repository, where `examples.oncall` can be imported."""


class DidNotHold(Exception):
    """Something that the demonstration promises is not so; the message says what, and where to look."""


class Child:
    """One process, `python ARGUMENTS`; what it prints goes to a log file."""

    def __init__(self, name: str, arguments: list[str], place: Place) -> None:
        self.name = name
        self.log = place.log_of(name)
        self._command = [sys.executable, *arguments]
        self._environment = place.environment()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            # In a group of its own: Ctrl-C in a terminal is for us, and we end our children in order.
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def check(self) -> None:
        """Raises DidNotHold when it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            said = self.log.read_text("utf-8", "replace").strip().splitlines()
            last = f": {said[-1]}" if said else ""
            raise DidNotHold(f"the {self.name} ended by itself with code {code}{last}; see {self.log}")

    def kill(self) -> None:
        """SIGKILL: no goodbye. It is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self, within_s: float) -> int:
        """Ask it to end, and insist after `within_s`; its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DidNotHold(f"the {self.name} did not end within {within_s:g} s; see {self.log}") from None
        self._process = None
        return code


def host(place: Place) -> Child:
    """`treadle up`, which is all that hosting the agents takes."""
    directory = str(place.directory)
    ports = ["--nats-port", str(place.nats_port), "--monitor-port", str(place.monitor_port)]
    where = ["--journal", f"sqlite:{place.journal}", "--directory", directory, *ports]
    return Child("host", ["-m", "treadle", "up", "examples/oncall/agents.toml", *where, "--json"], place)


def producer(place: Place) -> Child:
    return Child("producer", ["-m", "examples.oncall.producer"], place)


def watcher(place: Place) -> Child:
    return Child("watcher", ["-m", "examples.oncall.watcher"], place)
