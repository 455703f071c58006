"""`treadle up` as a process: ready, found, stopped, killed, started again."""

import json
import os
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import DEADLINE_S, Shell
from typer.testing import Result

from treadle.events.journal import FORMAT
from treadle.gateways.cli.system_file import SystemFile, is_running, read


def system_of(shell: Shell) -> SystemFile:
    found = read(shell.directory / ".treadle")
    assert found is not None
    return found


def test_one_line_says_that_it_is_ready_and_the_same_is_found_by_others(shell: Shell) -> None:
    up = shell.up()
    system = system_of(shell)
    assert up.ready["nats"] == system.nats
    assert up.ready["pid"] == system.pid == up.process.pid
    assert up.ready["journal"] == system.journal == f"sqlite:{shell.directory}/treadle.db"
    assert system.agents == ("desk", "ops")
    assert is_running(shell.directory / ".treadle")
    [status] = shell.lines("status")
    assert (status["running"], status["nats_connected"], status["relay_lag"]) == (True, True, 0)
    assert "ready" not in shell.run("status").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_good_order(shell: Shell, number: signal.Signals) -> None:
    up = shell.up()
    shell.run("signal", "ops", "look never", "--session", "s")
    [run] = shell.waits("runs", "--state", "running")
    up.process.send_signal(number)
    out, err = up.process.communicate(timeout=DEADLINE_S)
    assert (up.process.returncode, out) == (0, ""), err
    assert system_of(shell).stopped_at is not None
    [suspended] = shell.lines("runs")
    assert (suspended["run_id"], suspended["state"]) == (run["run_id"], "interrupted")
    [status] = shell.lines("status", code=1)
    assert (status["running"], status["open_runs"]) == (False, 1)


def test_a_killed_system_goes_on_where_it_was_on_the_same_port(shell: Shell) -> None:
    up = shell.up()
    port = up.ready["nats"].rpartition(":")[2]
    shell.run("signal", "ops", "look gate", "--user", "alice", "--session", "night")
    [run] = shell.waits("runs", "--state", "running")
    watching = shell.start("watch", run["run_id"], "--json")
    up.kill()
    dead = shell.run("cancel", run["run_id"], code=1)
    assert f"(process {up.process.pid}) is dead; going on without it" in dead.stderr
    assert "error: no system runs in" in dead.stderr
    again = shell.up("--nats-port", port)
    assert again.ready["nats"] == up.ready["nats"]
    shell.open("gate")
    out, err = watching.communicate(timeout=DEADLINE_S)
    assert watching.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["version"] for event in events if event["version"]] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.completed"
    assert "run.taken_over" in [event["type"] for event in events]
    stored = [json.loads(line) for line in shell.run("replay", run["run_id"], "--json").stdout.splitlines()]
    assert [event["version"] for event in stored] == [event["version"] for event in events]
    shell.run("replay", run["run_id"], "--verify")
    shell.run("audit", "verify")


def test_a_second_system_in_the_directory_is_refused(shell: Shell) -> None:
    up = shell.up()
    refused = shell.run("up", "--nats-port", "0", code=1)
    assert f"is the directory of a system that runs (process {up.process.pid})" in refused.stderr
    assert refused.stderr.count("error:") == 1
    shell.run("status")


def test_a_busy_port_is_named(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = shell.run("up", "--nats-port", str(port), code=1)
    assert f"error: port {port} of 127.0.0.1 cannot be used for nats-server" in refused.stderr


def test_a_server_that_does_not_answer_is_named(shell: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
    where = ("--nats", url)
    for said in shell.all_refused(("up", *where), ("signal", "desk", "hi", *where), ("watch", "x", *where)):
        assert said.startswith(f"error: NATS at {url} is unavailable"), said
        assert said.count("\n") == 1


def journal_in(directory: Path) -> Path:
    """A journal with a run in it."""
    shell = Shell(directory)
    up = shell.up()
    shell.run("signal", "desk", "hello", "--wait")
    assert up.stop()[0] == 0
    return directory / "treadle.db"


def test_a_journal_of_a_newer_treadle_is_read_and_not_hosted_on(shell: Shell) -> None:
    path = journal_in(shell.directory)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    connection.close()
    refused = shell.run("up", "--nats-port", "0", code=1)
    assert refused.stderr.startswith("error: journal ")
    assert f"has format 99, this Treadle knows up to {FORMAT}" in refused.stderr
    read = shell.run("runs", "--json")
    assert len(read.stdout.splitlines()) == 1
    assert "has format 99" in read.stderr


def test_a_locked_journal_is_named(shell: Shell) -> None:
    path = journal_in(shell.directory)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("INSERT INTO meta VALUES ('held', '1')")
    for said in shell.all_refused(("up", "--nats-port", "0"), ("runs",)):
        assert "another process holds the write lock" in said
        assert said.count("\n") == 1
    connection.close()


def test_a_journal_that_may_not_be_written_is_read_and_not_hosted_on(invoke: Callable[..., Result]) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as own:
        directory = Path(name)
        journal = f"sqlite:{journal_in(directory)}"
        up = ("up", str(directory / "agents.toml"), "--journal", journal, "--directory", own, "--nats-port", "0")
        # Once before, so that everything is imported.
        assert invoke("runs", "--journal", journal).exit_code == 0
        assert invoke("up", str(directory / "nothing.toml")).exit_code == 1
        directory.chmod(0o555)
        Path(own).chmod(0o777)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)  # permissions mean nothing to root
            rows = invoke("runs", "--journal", journal, "--json")
            refused = invoke(*up)
        finally:
            if root:
                os.seteuid(0)
            directory.chmod(0o755)
    assert rows.exit_code == 0, rows.stderr
    assert json.loads(rows.stdout)["state"] == "completed"
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: journal '{journal}' is read-only: this process may not write"), refused


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nothing.toml", "nothing.toml: No such file"),
        ("desk_tools:nothing", "has no 'nothing'"),
        ("nowhere:agents", "cannot be imported"),
        ("desk_tools:restart", "an Agent or a Workflow is wanted"),
        ("desk_tools:rules", "raised TypeError"),
    ],
)
def test_what_cannot_be_hosted_is_named(shell: Shell, reference: str, said: str) -> None:
    refused = shell.run("up", reference, code=1)
    assert refused.stderr.startswith("error: ")
    assert said in refused.stderr


def test_agents_and_workflows_are_found_as_objects_lists_and_functions_of_modules_here(shell: Shell) -> None:
    (shell.directory / "mine.py").write_text(
        "from treadle import Agent, Workflow\n"
        "one = Agent(model='echo', name='one')\n"
        "several = [Agent(model='echo', name='two')]\n"
        "def made():\n    return {'three': Agent(model='echo')}\n"
        "flow = Workflow.chain([str.upper, 'on {}'.format], name='four')\n"
    )
    up = shell.up("mine:one", "mine:several", "mine:made", "mine:flow")
    assert up.ready["agents"] == ["one", "two", "three", "four"]
    [outcome] = shell.lines("signal", "three", "hello", "--wait")
    assert outcome["output"] == "Echo: hello"
    [outcome] = shell.lines("signal", "four", "hello", "--wait")
    assert outcome["output"] == "on HELLO"


def test_a_worker_takes_delegated_prompts_and_no_signals(shell: Shell) -> None:
    (shell.directory / "both.toml").write_text('[agents.lead]\nmodel = "lead:model"\ndelegates = ["prober"]\n', "utf-8")
    (shell.directory / "worker.toml").write_text('[agents.prober]\nmodel = "echo"\n', "utf-8")
    (shell.directory / "lead.py").write_text(
        "from treadle import FunctionModel, ModelReply, ToolCall\n"
        "def rules(messages, tools):\n"
        "    if messages[-1].role == 'tool':\n        return messages[-1].content\n"
        "    return ModelReply(tool_calls=(ToolCall('1', 'delegate_to_prober', {'prompt': 'probe'}),))\n"
        "model = FunctionModel(rules)\n"
    )
    lead = shell.up("both.toml")
    url = lead.ready["nats"]
    worker = shell.up(
        "worker.toml", "--worker", "--nats", url, "--directory", "worker", "--journal", "sqlite:treadle.db"
    )
    assert worker.ready["worker"]
    for number in range(5):
        [outcome] = shell.lines("signal", "lead", "go", "--session", str(number), "--wait", "--timeout", "20")
        assert outcome["output"] == "Echo: probe"
    assert worker.stop()[0] == 0


def test_an_embedded_server_that_dies_is_started_again(shell: Shell) -> None:
    shell.up()
    shell.lines("signal", "desk", "one", "--wait")
    pid = int((shell.directory / ".treadle" / "nats" / "nats-server.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    while shell.run("signal", "desk", "two", "--id", "two", "--session", "s", code=None).returncode:
        pass
    [outcome] = shell.lines("signal", "desk", "two", "--id", "two", "--session", "s", "--wait", "--timeout", "20")
    assert outcome["output"] == "Echo: two"
