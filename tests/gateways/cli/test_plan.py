"""What the command line tells of a living plan."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts import Script, turn, writes
from typer.testing import Result

from treadle import System, tool
from treadle.gateways.agent import Agent

Invoke = Callable[..., Result]


@tool(read_only=True)
def look() -> str:
    """Look."""
    return "a cat"


async def record(journal: Path) -> str:
    done = {"description": "look for the cat", "status": "done", "verified_by": ["look"]}
    skipped = {"description": "feed it", "status": "skipped", "finding": "it is not hungry"}
    script = Script(writes("look for the cat", "feed it"), turn("look"), writes(done, skipped), "There it is.")
    agent = Agent(model=script.model, tools=[look], living_plan=True)
    async with System(journal=f"sqlite:{journal}") as system:
        return (await system.host(agent, "desk").run("Where is the cat?")).run_id


@pytest.fixture
def run(tmp_path: Path) -> str:
    return asyncio.run(record(tmp_path / "treadle.db"))


def test_show_has_the_plan_and_what_shows_its_steps(run: str, invoke: Invoke) -> None:
    shown = json.loads(invoke("show", run, "--json").stdout)
    assert [(step["description"], step["status"], step["verified_by"]) for step in shown["plan"]["steps"]] == [
        ("look for the cat", "done", ["look#1"]),
        ("feed it", "skipped", []),
    ]
    text = invoke("show", run).stdout
    assert "look for the cat" in text
    assert "it is not hungry" in text


def test_replay_tells_how_far_the_plan_is_each_time_it_is_written(run: str, invoke: Invoke) -> None:
    lines = [line for line in invoke("replay", run).stdout.splitlines() if "plan.written" in line]
    assert [line.partition("plan.written")[2].strip() for line in lines] == ["2 todo", "1 done, 1 skipped"]
