"""How commands find the system that runs: `<directory>/system.json`, and a lock that its process holds.

The kernel lets go of the lock when the process ends, however it ends: what the file says is true while the lock is
held. It stays when the system has ended, so that one can still look at its journal without naming it.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec import Struct, structs

from ...events.errors import ConfigError

_PATIENCE_S = 1.0
"""How long a start waits for the lock: somebody who only looks at it has it for an instant."""


class SystemFile(Struct, frozen=True):
    """What a system says of itself.

    Attributes:
        pid: Of the process that hosts it.
        nats, monitor: Where clients connect, and the server's HTTP monitoring; `monitor` is empty for a foreign server.
        journal: With an absolute path.
        worker: It takes delegated prompts and calls of its tools, and nothing else.
        tools: What it does for runs elsewhere.
        health: Where it tells how well it is, by HTTP.
        stopped_at: When it ended in good order; None while it runs, and after a crash.
    """

    pid: int
    nats: str
    journal: str
    namespace: str
    started_at: datetime
    monitor: str = ""
    agents: tuple[str, ...] = ()
    worker: bool = False
    tools: tuple[str, ...] = ()
    health: str = ""
    stopped_at: datetime | None = None


@contextmanager
def claim(directory: Path) -> Generator[None]:
    """Be the system of `directory` while the context is open.

    Raises:
        ConfigError: Another process is, or the directory cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "system.lock").open("a")
    except OSError as exc:
        raise ConfigError(
            f"directory {str(directory)!r} cannot be used: {exc.strerror}; give another --directory"
        ) from exc
    with lock:
        deadline = time.monotonic() + _PATIENCE_S
        while not _try(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                known = read(directory)
                who = f"process {known.pid}" if known is not None else "another process"
                raise ConfigError(
                    f"{str(directory)!r} is the directory of a system that runs ({who}); "
                    "stop that one, or give this one a --directory of its own"
                )
            time.sleep(0.01)
        yield


def write(directory: Path, system: SystemFile) -> None:
    """Replace the file in one step: who reads it finds the old one or the new one."""
    draft = directory / f".system.json.{os.getpid()}"
    # A URL of a NATS server may carry a password, with which the commands of this directory connect.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(system), indent=2) + b"\n")
    draft.replace(directory / "system.json")


def write_stopped(directory: Path, system: SystemFile, now: datetime) -> None:
    """Say that the system has ended in good order."""
    write(directory, structs.replace(system, stopped_at=now))


def read(directory: Path) -> SystemFile | None:
    """What the last system of `directory` said; None when there was none.

    Raises:
        ConfigError: The file is damaged or cannot be read.
    """
    path = directory / "system.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=SystemFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise ConfigError(f"{path} cannot be read ({exc}); remove it, or give another --directory") from exc


def is_running(directory: Path) -> bool:
    """Whether the process that claimed `directory` lives."""
    try:
        with (directory / "system.lock").open() as lock:
            return not _try(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ConfigError(f"{directory / 'system.lock'} cannot be read ({exc.strerror})") from exc


def _try(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
