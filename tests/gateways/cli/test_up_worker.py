"""`treadle up --worker tools.py` as a process: ready, shared, ended. Killed it is in `tests/crash/test_workers.py`."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hosting import namespace
from shell import DEADLINE_S, Shell
from typer.testing import Result

from treadle.gateways.broker.server import EmbeddedServer

FILE = '''
import os
from treadle import Agent, current_call, tool


def note(what):
    call = current_call()
    with open("ledger", "a", encoding="utf-8") as ledger:
        ledger.write(f"{what} {call.call_id} {call.attempt} {os.getpid()}\\n")


@tool(idempotent=True)
async def fetch(gate: str) -> str:
    """Fetch something when a gate is open."""
    import asyncio
    from pathlib import Path

    note("begin")
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    note("end")
    return f"fetched by {os.getpid()}"


@tool
def _hidden() -> str:
    return "nobody sees this"
'''

AGENTS = """
[agents.fetcher]
model = "rules:model"
remote = ["fetch"]
"""

RULES = """
from treadle import FunctionModel, ModelReply, ToolCall


def rules(messages, tools):
    if messages[-1].role == "tool":
        return messages[-1].content
    return ModelReply(tool_calls=(ToolCall("1", "fetch", {"gate": messages[-1].content}),))


model = FunctionModel(rules)
"""


@pytest.fixture
def desk(shell: Shell) -> Shell:
    (shell.directory / "tools.py").write_text(FILE, "utf-8")
    (shell.directory / "desk.toml").write_text(AGENTS, "utf-8")
    (shell.directory / "rules.py").write_text(RULES, "utf-8")
    return shell


def noted(shell: Shell, what: str) -> list[tuple[str, int, int]]:
    """Call, attempt and process of each line."""
    lines = [line.split() for line in shell.ledger()]
    return [(call, int(attempt), int(pid)) for kind, call, attempt, pid in lines if kind == what]


def begun(shell: Shell, count: int) -> list[tuple[str, int, int]]:
    deadline = time.monotonic() + DEADLINE_S
    while len(found := noted(shell, "begin")) < count:
        assert time.monotonic() < deadline, shell.ledger()
        time.sleep(0.01)
    return found


def test_processes_with_one_file_share_the_calls_and_one_that_ends_finishes_its_own(
    desk: Shell, nats_server: EmbeddedServer
) -> None:
    nats = ("--nats", nats_server.url, "--namespace", namespace())
    workers = {worker.ready["pid"]: worker for worker in (desk.up("--worker", "tools.py", *nats) for _ in range(2))}
    for worker in workers.values():
        assert (worker.ready["tools"], worker.ready["worker"], worker.ready["journal"]) == (["fetch"], True, "")
    desk.up("desk.toml", *nats)
    waiting = desk.start("signal", "fetcher", "gate", "--session", "s", "--wait", "--json", "--timeout", "25")
    [(_, attempt, pid)] = begun(desk, 1)
    ending = workers.pop(pid)
    ending.process.terminate()
    [other] = workers
    desk.open("open gate")
    for number in range(3):
        [outcome] = desk.lines("signal", "fetcher", "open gate", "--session", str(number), "--wait")
        assert outcome["output"] == f"fetched by {other}"
    assert ending.process.poll() is None
    desk.open("gate")
    out, err = waiting.communicate(timeout=DEADLINE_S)
    assert json.loads(out.splitlines()[-1])["output"] == f"fetched by {pid}", err
    ending.process.communicate(timeout=DEADLINE_S)
    assert (ending.process.returncode, attempt, len(noted(desk, "begin"))) == (0, 1, 4)


def test_a_worker_needs_a_server_and_something_to_offer(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("tools.py").write_text(FILE, "utf-8")
    Path("empty.py").write_text("x = 1\n", "utf-8")
    Path("broken.py").write_text("1 / 0\n", "utf-8")
    cases = {
        ("--worker", "tools.py"): "no system runs in '.treadle'",
        ("--worker", "empty.py"): "empty.py has neither tools nor agents",
        ("--worker", "broken.py"): "broken.py raised ZeroDivisionError: division by zero",
        ("--worker", "absent.py"): "absent.py: there is no such file",
        ("tools.py",): "tools.py has no agents; `treadle up --worker tools.py` offers its tools",
    }
    for arguments, message in cases.items():
        done = invoke("up", *arguments)
        assert (done.exit_code, message in done.stderr) == (1, True), done.stderr
