"""The command line as a person or a script uses it: real processes in a directory of their own."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from strict import STRICT

DEADLINE_S = 30.0

AGENTS = """
[agents.desk]
model = "echo"

[agents.ops]
model = "desk_tools:model"
tools = ["desk_tools:restart", "desk_tools:look"]
approvals = "wait"
"""

TOOLS = '''
"""Tools that leave a line in a ledger; `look` waits at a gate, a file that the test makes."""

import asyncio
from pathlib import Path

from treadle import FunctionModel, ModelReply, ToolCall, tool


def note(line: str) -> None:
    with open("ledger", "a", encoding="utf-8") as ledger:
        ledger.write(line + "\\n")


@tool(destructive=True)
async def restart(service: str) -> str:
    """Restart a service."""
    note("restart " + service)
    return "restarted " + service


@tool(read_only=True)
async def look(gate: str) -> str:
    """Look when the gate is open."""
    note("look " + gate)
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    return "seen " + gate


def rules(messages, tools):
    last = messages[-1]
    if last.role == "tool":
        return "The tool said: " + str(last.content)
    tool, _, rest = last.content.partition(" ")
    return ModelReply(tool_calls=(ToolCall("1", tool, {"service" if tool == "restart" else "gate": rest}),))


model = FunctionModel(rules)
'''


class Shell:
    """Runs `treadle` in `directory`, where `agents.toml` declares `desk`, an echo, and `ops`, with tools."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ups: list[Up] = []
        (directory / "agents.toml").write_text(AGENTS, "utf-8")
        (directory / "desk_tools.py").write_text(TOOLS, "utf-8")

    def run(
        self, *args: str, code: int | None = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and expect this exit code; None takes any."""
        done = subprocess.run(
            self._command(args), cwd=self.directory, env=_environment(env), capture_output=True, text=True,
            timeout=DEADLINE_S,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def lines(self, *args: str, code: int | None = 0) -> list[dict[str, Any]]:
        """What a command says with `--json`."""
        return [json.loads(line) for line in self.run(*args, "--json", code=code).stdout.splitlines()]

    def all_refused(self, *commands: Sequence[str]) -> list[str]:
        """What commands that must fail say on standard error. They run side by side, for those that wait long first."""
        said: list[str] = []
        for args, process in [(args, self.start(*args)) for args in commands]:
            out, err = process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 1, f"{args}: {process.returncode}\n{out}\n{err}"
            said.append(err)
        return said

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._command(args), cwd=self.directory, env=_environment(), stdout=pipe, stderr=pipe, text=True
        )

    def up(self, *args: str) -> "Up":
        """A system that is ready."""
        up = Up(self.start("up", "--nats-port", "0", *args, "--json"))
        self.ups.append(up)
        return up

    def waits(self, *args: str) -> list[dict[str, Any]]:
        """Ask until there is an answer."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := self.lines(*args)):
            assert time.monotonic() < deadline, args
        return found

    def ledger(self) -> list[str]:
        """What the tools did."""
        path = self.directory / "ledger"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def open(self, gate: str) -> None:
        (self.directory / gate).touch()

    def close(self) -> None:
        for up in self.ups:
            up.kill()

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, args: Sequence[str]) -> list[str]:
        return [sys.executable, *STRICT, "-m", "treadle", *args]


class Up:
    """A running `treadle up`. `ready` is its first line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None and process.stderr is not None
        readable, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
        line = process.stdout.readline() if readable else ""
        if not line:
            process.kill()
            raise AssertionError(f"up said nothing: {process.stderr.read()}")
        self.ready: dict[str, Any] = json.loads(line)
        assert self.ready.get("ready"), self.ready

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was said on standard error."""
        self.process.terminate()
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err

    def kill(self) -> None:
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=DEADLINE_S)


def _environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TREADLE_")}
    return {**inherited, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **(more or {})}
