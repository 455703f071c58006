"""Recorded steps: what a strategy was told once it is told again, and a strategy that asks otherwise is named."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from waiting import until

from treadle import Agent, Message, ReplayDivergence, RunError, Steps

Strategy: TypeAlias = Callable[[Steps], Awaitable[str]]


class Interrupted:
    """A strategy that hangs after some steps until it is let go, and what its steps said each time."""

    def __init__(self) -> None:
        self.said: list[list[object]] = []
        self.hang = True
        self.waits = asyncio.Event()

    async def __call__(self, steps: Steps) -> str:
        said: list[object] = []
        self.said.append(said)
        said += [await steps.now(), await steps.new_id(), await steps.value("choice", lambda: len(self.said))]
        reply = await steps.model([Message("user", steps.prompt)])
        said.append(reply.text)
        if self.hang:
            self.waits.set()
            await asyncio.Event().wait()
        return reply.text


async def suspended(agent: Agent, strategy: Interrupted) -> None:
    running = asyncio.create_task(agent.run("Go", session_id="s"))
    async with asyncio.timeout(20):
        await strategy.waits.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    strategy.hang = False


def agent(strategy: Strategy, path: Path) -> Agent:
    return Agent(model="echo", name="desk", architecture=strategy, runtime=f"sqlite:{path}/runs.db")


async def test_times_ids_choices_and_answers_are_the_same_when_a_run_goes_on(tmp_path: Path) -> None:
    strategy = Interrupted()
    async with agent(strategy, tmp_path) as desk:
        await suspended(desk, strategy)
        assert (await desk.resume("s")).output == "Echo: Go"
    first, second = strategy.said
    assert first == second
    assert isinstance(first[0], datetime)
    assert first[2] == 1


async def value_first(steps: Steps) -> str:
    return str(await steps.value("choice", lambda: 1))


async def model_first(steps: Steps) -> str:
    return (await steps.model([Message("user", "Go")])).text


async def other_value(steps: Steps) -> str:
    await steps.now()
    return str(await steps.value("another", lambda: 1))


async def other_words(steps: Steps) -> str:
    await steps.now()
    await steps.new_id()
    await steps.value("choice", lambda: 1)
    return (await steps.model([Message("user", "Something else")])).text


@pytest.mark.parametrize("changed", [value_first, model_first, other_value, other_words])
async def test_a_strategy_that_asks_otherwise_than_it_did_is_stopped_and_named(
    tmp_path: Path, changed: Strategy
) -> None:
    strategy = Interrupted()
    async with agent(strategy, tmp_path) as desk:
        await suspended(desk, strategy)
    async with agent(changed, tmp_path) as desk:
        with pytest.raises(ReplayDivergence, match="step"):
            await desk.resume("s")


async def test_a_value_without_a_json_form_fails_the_run(tmp_path: Path) -> None:
    async def odd(steps: Steps) -> str:
        return str(await steps.value("odd", object))

    async with agent(odd, tmp_path) as desk:
        with pytest.raises(RunError, match="has no JSON form"):
            await desk.run("Go")


async def test_a_strategy_may_leave_the_tools_out_and_ask_many_things_at_a_time(tmp_path: Path) -> None:
    async def busy(steps: Steps) -> str:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(steps.value(f"v{number}", partial(int, number))) for number in range(9)]
        await until(lambda: all(task.done() for task in asked))
        return str([task.result() for task in asked])

    async with agent(busy, tmp_path) as desk:
        assert (await desk.run("Go")).output == str(list(range(9)))
