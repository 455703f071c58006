"""Where the desk works: a directory and the addresses of its NATS server, told to every process by its environment."""

import os
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
USER = "oncall"
"""Whose signals, runs and memory these are: the first token after `treadle.signal.` and `treadle.event.`."""

AGENT = "desk"
EVENTS = f"treadle.event.{USER}.>"


@dataclass(frozen=True)
class Place:
    """One desk's files and ports.

    Attributes:
        directory: Absolute: processes of the desk may run anywhere.
        nats_port, monitor_port: Of the embedded server: for clients, and for HTTP.
    """

    directory: Path
    nats_port: int
    monitor_port: int

    @property
    def nats(self) -> str:
        return f"nats://{HOST}:{self.nats_port}"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.db"

    @property
    def ledger(self) -> Path:
        """What the tools did to the world; see ledger.py."""
        return self.directory / "ledger.jsonl"

    @property
    def published(self) -> Path:
        """What the producer saw and sent; see producer.py."""
        return self.directory / "published.jsonl"

    @property
    def watched(self) -> Path:
        """The events as the watcher got them, byte by byte; see watcher.py."""
        return self.directory / "watched.jsonl"

    @property
    def verdict(self) -> Path:
        """What the watcher says of them."""
        return self.directory / "watched.json"

    def log_of(self, child: str) -> Path:
        return self.directory / f"{child}.log"

    def server_log(self) -> Path:
        """The embedded server's log file. It lives where the host keeps its server.

        Raises:
            FileNotFoundError: There is none so far.
        """
        for found in sorted(self.directory.rglob("nats-server.log")):
            return found
        raise FileNotFoundError(f"no nats-server.log under {self.directory}")

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment so that `here` finds this place."""
        return {
            **os.environ,
            "ONCALL_DIRECTORY": str(self.directory),
            "ONCALL_NATS_PORT": str(self.nats_port),
            "ONCALL_MONITOR_PORT": str(self.monitor_port),
        }


def here() -> Place:
    """The place that this process was started for.

    Raises:
        LookupError: It was not started for one; the message says what is missing.
    """
    try:
        directory, nats, monitor = (os.environ[f"ONCALL_{name}"] for name in ("DIRECTORY", "NATS_PORT", "MONITOR_PORT"))
    except KeyError as exc:
        raise LookupError(f"{exc.args[0]} is not set; `python -m examples.oncall` sets it for its processes") from exc
    return Place(Path(directory), int(nats), int(monitor))
