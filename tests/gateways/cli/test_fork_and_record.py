"""`treadle fork`, `record` and `replay --agents`, on a journal whose system has ended and on one that runs."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shell import Shell
from typer.testing import Result

from treadle.gateways.cassettes.file import read

Invoke = Callable[..., Result]

HOUSE = '''
from treadle import Agent, FunctionModel, ModelReply, ToolCall, tool

@tool(read_only=True)
def look(place: str) -> str:
    """Look somewhere."""
    return place + " is empty"

def rules(messages, tools):
    if messages[-1].role == "tool":
        return "I looked: " + messages[-1].content
    return ModelReply("", (ToolCall("1", "look", {"place": "tray"}),))

desk = Agent("You keep a desk.", model=FunctionModel(rules), tools=[look], runtime="sqlite:treadle.db", name="desk")
'''


def recorded(tmp_path: Path, invoke: Invoke) -> str:
    """A run of the desk, in a journal that nobody has open."""
    (tmp_path / "house.py").write_text(HOUSE)
    house: dict[str, Any] = {"__name__": "house"}
    exec(HOUSE, house)

    async def run() -> None:
        async with house["desk"] as desk:
            await desk.run("Look.")

    asyncio.run(run())
    [row] = lines(invoke("runs", "--json"))
    return str(row["run_id"])


def lines(done: Result, code: int = 0) -> list[dict[str, Any]]:
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_is_forked_where_no_system_runs(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    said, *events = lines(
        invoke("fork", run_id, "--at", "step:2", "--model", "echo", "--agents", "house.py", "--id", "again", "--json")
    )
    assert said == {"run_id": "again", "session_id": "again", "forked_from": run_id}
    assert events[-1]["payload"]["output"] == "Echo: Look."
    [shown] = lines(invoke("show", "again", "--json"))
    assert [step["outcome"] for step in shown["steps"]] == ["completed"] * 3
    assert (shown["run"]["turns"], shown["run"]["model"]) == (2, "echo")
    for args in (("show",), ("replay",), ("replay", "--verify"), ("replay", "--at", "3")):
        assert invoke(args[0], "again", *args[1:]).exit_code == 0
    assert "tool.completed" in invoke("replay", "again").stdout


def test_a_fork_says_something_further_and_is_compared_with_its_run(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    words = ("--model", "echo", "--prompt", "And now?", "--instructions", "You hurry.")
    invoke("fork", run_id, "--at", "step:2", *words, "--agents", "house.py", "--id", "again")
    [found] = lines(invoke("diff", run_id, "again", "--json"))
    assert found["second"]["output"] == "Echo: And now?"
    assert (found["first_difference"], found["shared_versions"]) == ("3", 5)
    told = invoke("diff", run_id, "again").stdout
    assert "first difference: step 3, model call" in told
    assert "    +Echo: And now?" in told
    assert invoke("diff", run_id, "no-such-run").exit_code == 1
    at_the_top = ("--prompt", "Who?", "--model", "echo", "--of", run_id, "--agents", "house.py", "--id", "top")
    assert lines(invoke("fork", run_id, *at_the_top, "--json"))[-1]["payload"]["output"] == "Echo: Who?"
    assert invoke("fork", run_id, "--model-of", "writer", "--agents", "house.py").exit_code == 2


def test_where_a_run_cannot_be_forked_the_command_says_so(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    done = invoke("fork", run_id, "--at", "2", "--agents", "house.py", "--json")
    assert done.exit_code == 1
    assert "fork it at version 1 or 3" in done.stderr
    assert invoke("fork", run_id, "--at", "soon", "--agents", "house.py").exit_code == 2


def test_the_answers_of_a_run_are_recorded(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    [said] = lines(invoke("record", run_id, "-o", "cassettes/x.json", "--json"))
    assert said == {"cassette": "cassettes/x.json", "calls": 2, "runs": [run_id]}
    run, entries = read(tmp_path / "cassettes" / "x.json")
    assert run is not None and (run.agent, run.prompt) == ("desk", "Look.")
    assert all(entry.messages for entry in entries)
    assert invoke("record", run_id, "-o", "cassettes/x.json").exit_code == 1
    assert invoke("record", run_id, "-o", "cassettes/x.json", "--force").exit_code == 0
    assert invoke("record", "no-such-run", "-o", "y.json").exit_code == 1
    assert not (tmp_path / "y.json").exists()


def test_a_system_that_runs_forks_for_whoever_asks(shell: Shell) -> None:
    shell.up()
    shell.run("signal", "desk", "hello", "--session", "s", "--wait")
    [row] = shell.lines("runs")
    said, *events = shell.lines("fork", row["run_id"], "--model", "echo")
    assert said["forked_from"] == row["run_id"]
    assert events[-1]["type"] == "run.completed"
    assert events[-1]["payload"]["output"].endswith("hello")
    _, *events = shell.lines("fork", row["run_id"], "--prompt", "bye")
    assert events[-1]["payload"]["output"].endswith("bye")
    done = shell.run("fork", row["run_id"], "--at", "99", code=1)
    assert "no version '99'" in done.stderr


def test_a_run_is_replayed_by_the_code_of_today(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    for tools in ("frozen", "call"):
        *events, said = lines(invoke("replay", run_id, "--agents", "house.py", "--tools", tools, "--json"))
        assert said == {"run_id": run_id, "state": "completed", "differences": []}
        assert events[-1]["type"] == "run.completed"
    (tmp_path / "house.py").write_text(HOUSE.replace("keep a desk", "keep a tidy desk"))
    done = invoke("replay", run_id, "--agents", "house.py")
    assert done.exit_code == 1
    assert "+ system: You keep a tidy desk." in done.stdout
    [row] = lines(invoke("runs", "--json"))
    assert (row["run_id"], row["state"]) == (run_id, "completed")


def test_replay_and_show_name_the_steps_to_fork_at(tmp_path: Path, invoke: Invoke) -> None:
    run_id = recorded(tmp_path, invoke)
    shown = invoke("replay", run_id).stdout
    named = re.findall(r"(model|tool)\.(\w+) +step (\w+)", shown)
    assert named == [
        ("model", "requested", "1"), ("model", "completed", "1"), ("tool", "requested", "2"),
        ("tool", "completed", "2"), ("model", "requested", "3"), ("model", "completed", "3"),
    ]  # fmt: skip
    [seen] = lines(invoke("show", run_id, "--json"))
    assert [step["step"] for step in seen["steps"]] == ["1", "2", "3"]
    assert re.search(r"^2 +look", invoke("show", run_id).stdout, re.MULTILINE)
    invoke("fork", run_id, "--at", "step:2", "--model", "echo", "--agents", "house.py", "--id", "again")
    assert "run.copied            tool.completed  step 2" in invoke("replay", "again").stdout
