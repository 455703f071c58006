"""A run that fails by code of its user: the log has where that was, once, and so has the error that is raised."""

import logging
import pickle
import re
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    START,
    Agent,
    Run,
    RunError,
    Steps,
    System,
    Workflow,
    WorkflowFailed,
)
from treadle.gateways.run_error import run_error


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


def charge(order: Any) -> float:
    return 1 / 0


async def think(steps: Steps) -> str:
    return str(charge(steps.prompt))


def shop(**more: Any) -> Workflow:
    return Workflow("shop", **more).add_node("charge", charge).add_edge(START, "charge")


def files_of(text: str) -> list[str]:
    """The files and functions of a printed traceback, in their order."""
    return [f"{Path(file).name}:{name}" for file, name in re.findall(r'^  File "(.+)", line \d+, in (.+)$', text, re.M)]


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("treadle")]


async def test_a_node_that_raises_is_logged_once_with_its_own_frames(caplog: pytest.LogCaptureFixture) -> None:
    async with shop() as flow:
        with pytest.raises(WorkflowFailed) as failed:
            await flow.run("order 7")
    [record] = logged(caplog)
    assert record.getMessage().endswith("failed: NodeFailed: node 'charge' failed: ZeroDivisionError: division by zero")
    assert files_of(caplog.text) == ["test_raised_by_users.py:charge"]
    cause = failed.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert files_of("".join(traceback.format_exception(cause))) == ["test_raised_by_users.py:charge"]


@pytest.mark.parametrize("session_id", [None, "s"])
async def test_an_architecture_that_raises_is_logged_once_with_its_own_frames(
    session_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunError) as failed:
        await Agent(model="echo", architecture=think).run("Go.", session_id=session_id)
    assert len(logged(caplog)) == 1
    assert files_of(caplog.text) == ["test_raised_by_users.py:think", "test_raised_by_users.py:charge"]
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_a_hosted_agent_says_what_raised(caplog: pytest.LogCaptureFixture) -> None:
    async with System() as system:
        hosted = system.host(Agent(model="echo", name="thinker", architecture=think))
        with pytest.raises(RunError) as failed:
            await hosted.run("Go.")
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_branches_print_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def other(order: Any) -> None:
        charge(order)

    flow = Workflow.parallel([charge, charge, other])
    with pytest.raises(WorkflowFailed) as failed:
        await flow.run("order 7")
    assert len(logged(caplog)) == 1
    assert caplog.text.count("Traceback") == 1
    assert "ExceptionGroup" not in caplog.text
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_what_branches_were_raised_from_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def think(steps: Steps) -> str:
        async def branch(part: Steps) -> str:
            try:
                charge("")
            except ZeroDivisionError as exc:
                raise LookupError("no price") from exc
            return ""

        return "".join(await steps.together([branch]))

    with pytest.raises(RunError) as failed:
        await Agent(model="echo", architecture=think).run("Go.")
    cause = failed.value.__cause__
    assert isinstance(cause, LookupError)
    assert isinstance(cause.__cause__, ZeroDivisionError)
    assert "ExceptionGroup" not in caplog.text


async def test_ordinary_ends_are_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    lost = Workflow.route(lambda _: "nowhere", {"a": charge})
    with pytest.raises(WorkflowFailed) as failed:
        await lost.run("order 7")
    [record] = logged(caplog)
    assert (record.exc_info, failed.value.__cause__) == (None, None)
    assert "NoRoute: the router after" in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_the_run_that_ran_another_one_says_its_error_without_the_traceback_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def asks(steps: Steps) -> str:
        return (await Agent(model="echo", name="thinker", architecture=think).run("Go.")).output

    with pytest.raises(RunError) as failed:
        await Agent(model="echo", architecture=asks).run("Go.")
    assert [record.exc_info is not None for record in logged(caplog)] == [True, False]
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_a_tool_whose_error_its_model_was_told_is_no_cause(caplog: pytest.LogCaptureFixture) -> None:
    async def think(steps: Steps) -> str:
        step = await steps.call("charge", {"order": "7"})
        raise LookupError(f"it is {step.outcome}")

    agent = Agent(model="echo", tools=[charge], architecture=think)
    with pytest.raises(RunError) as failed:
        await agent.run("Go.")
    assert isinstance(failed.value.__cause__, LookupError)
    assert failed.value.__cause__.__cause__ is None


async def test_what_raised_is_in_no_history_and_no_pickle(tmp_path: Path) -> None:
    async with Agent(model="echo", name="desk", runtime=f"sqlite:{tmp_path}/runs.db", architecture=think) as agent:
        run = await agent.session("conv-1").start("Go.")
        result = await run.wait()
        assert isinstance(run_error(result).__cause__, ZeroDivisionError)
        assert pickle.loads(pickle.dumps(result)) == result
        assert pickle.loads(pickle.dumps(result)).cause is None
    async with Agent(model="echo", name="desk", runtime=f"sqlite:{tmp_path}/./runs.db") as agent:
        found = await Run(await agent.node(), run.id).result()
        assert found == result
        assert run_error(found).__cause__ is None
