"""`treadle journal`: what is archived is shown, exported, verified and folded as before."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from treadle import Agent, System

Look = Callable[..., list[dict[str, Any]]]
BEFORE = "2100-01-01"


async def record(directory: Path) -> None:
    async with System(journal=f"sqlite:{directory / 'treadle.db'}") as system:
        echo = system.host(Agent(model="echo"), "echo")
        for prompt in ("one", "two", "three", "four"):
            await echo.run(prompt, user_id="alice", session_id="night")
        await system.projections.catch_up()


@pytest.fixture
def look(tmp_path: Path, invoke: Callable[..., Result]) -> Look:
    """What a command says with `--json` of a journal with four runs."""
    asyncio.run(record(tmp_path))

    def look(*args: str, code: int = 0) -> list[dict[str, Any]]:
        done = invoke(*args, "--json")
        assert done.exit_code == code, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    return look


def test_every_command_says_the_same_of_archived_runs(look: Look) -> None:
    runs = [run["run_id"] for run in look("runs")]
    commands = [
        ("runs",),
        ("events", "export"),
        ("events", "export", "--category", "run"),
        ("audit", "verify"),
        ("audit", "list"),
        ("budget",),
        *((command, run) for run in runs for command in ("replay", "show", "watch")),
        *(("replay", run, "--verify") for run in runs),
    ]
    before = [look(*command) for command in commands]
    states = look("projection", "rebuild")
    [archive] = look("journal", "archive", "--closed-before", BEFORE)
    assert archive["streams"] >= 3
    assert look("journal", "archives") == [archive]
    assert [look(*command) for command in commands] == before
    assert look("projection", "rebuild") == states
    assert look("audit", "verify")[0]["ok"]


def test_what_ended_later_stays(look: Look) -> None:
    assert look("journal", "archive", "--closed-before", "2020-01-01") == []
    assert look("journal", "archives") == []


def test_the_size_tells_what_a_run_costs_and_what_is_archived(look: Look) -> None:
    [before] = look("journal", "size")
    assert before["exact"]
    assert before["events"] == before["new_events"] == len(look("events", "export"))
    assert before["categories"]["run"]["streams"] == 4
    assert before["archived"]["events"] == 0
    [archive] = look("journal", "archive", "--closed-before", BEFORE)
    [after] = look("journal", "size")
    assert after["archived"]["events"] == archive["events"]
    assert after["events"] + archive["events"] == before["events"] == after["new_events"]
    assert after["categories"]["session"] == before["categories"]["session"]


@pytest.mark.parametrize("command", ["archives", "size"])
def test_people_can_read_it(command: str, look: Look, invoke: Callable[..., Result]) -> None:
    assert invoke("journal", "archive", "--closed-before", BEFORE).exit_code == 0
    done = invoke("journal", command)
    assert done.exit_code == 0
    assert "KiB" in done.stdout or "bytes" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--closed-before", "soon"), 2, "is no time"),
        (("--closed-before", BEFORE, "--journal", "memory"), 1, "has no archives"),
        (("--closed-before", BEFORE, "--journal", "sqlite:other.db"), 1, "there is no journal"),
        (("--closed-before", BEFORE, "--into", "no/such/place"), 1, "name another directory"),
    ],
)
def test_what_cannot_be_archived_is_said(
    args: tuple[str, ...], code: int, said: str, look: Look, invoke: Callable[..., Result]
) -> None:
    done = invoke("journal", "archive", *args)
    assert done.exit_code == code
    assert said in " ".join(done.output.split())
