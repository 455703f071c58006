"""What the command line tells of a model call that failed, waited, and was answered by another model."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from paid_model import PaidModel
from typer.testing import Result

from treadle import RetryPolicy, System
from treadle.actors.model_errors import OverloadedError
from treadle.gateways.agent import Agent

Invoke = Callable[..., Result]


async def record(journal: Path) -> str:
    spare = PaidModel("Here.", name="spare")
    model = PaidModel(OverloadedError("no room"), alternatives=[spare])
    agent = Agent(model=model, retry_policy=RetryPolicy(max_attempts=2, initial_delay_s=0.001))
    async with System(journal=f"sqlite:{journal}") as system:
        return (await system.host(agent, "desk").run("Hello?")).run_id


@pytest.fixture
def run(tmp_path: Path) -> str:
    return asyncio.run(record(tmp_path / "treadle.db"))


def test_show_has_the_attempts_and_who_answered(run: str, invoke: Invoke) -> None:
    shown = json.loads(invoke("show", run, "--json").stdout)
    [step] = shown["steps"]
    assert (step["outcome"], step["attempts"], step["name"], step["result"]) == ("completed", 3, "spare", "Here.")
    assert shown["run"]["state"] == "degraded"
    text = invoke("show", run).stdout
    assert "model spare" in text
    assert "completed, attempt 3" in text


def test_replay_tells_why_each_attempt_failed_and_when_the_next_may_come(run: str, invoke: Invoke) -> None:
    lines = invoke("replay", run).stdout.splitlines()
    first, second = [line for line in lines if "model.attempt_failed" in line]
    assert "overloaded: no room, again from 20" in first
    assert second.endswith("overloaded: no room")
    (fell_back,) = [line for line in lines if "model.fell_back" in line]
    assert "spare answered in the place of paid" in fell_back
