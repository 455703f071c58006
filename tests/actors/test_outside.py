"""Functions that an agent was given: what the run did is on disk before they are asked, and plain ones may wait."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scripts import Script, writes

from treadle import Agent, QualityGate, RunTimeout, RunUntil, StopContext, get_run_context
from treadle.actors.outside import asked, is_async
from treadle.actors.threads import ToolThreads
from treadle.tools import PlanNote


class Given:
    """A function that only comes to its end when the loop goes on meanwhile, in this thread or in another.

    Attributes:
        run_ids: The runs that it was asked in, as the context says.
        stored: The last event that was on disk when it was asked.
    """

    def __init__(self, answer: Any, journal: Path) -> None:
        self.run_ids: list[str] = []
        self.stored = ""
        self._answer = answer
        self._journal = journal
        self._loop = asyncio.get_running_loop()

    def plain(self, about: StopContext | PlanNote) -> Any:
        self._look()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(timeout=10)
        return self._answer

    async def on_the_loop(self, about: StopContext | PlanNote) -> Any:
        assert asyncio.get_running_loop() is self._loop
        self._look()
        return self._answer

    def _look(self) -> None:
        self.run_ids.append(get_run_context().run_id)
        with sqlite3.connect(self._journal) as journal:
            found = "SELECT topic FROM stored_events WHERE originator_id LIKE 'run-%' ORDER BY rowid DESC LIMIT 1"
            (self.stored,) = journal.execute(found).fetchone()


WHERE: dict[str, tuple[Any, Callable[[Any], dict[str, Any]], str]] = {
    "hook": (None, lambda function: {"stop_hooks": [function]}, "run.model_completed"),
    "decider": (1.0, lambda function: {"run_until": RunUntil("it is said", decider=function)}, "run.value_recorded"),
    "evaluator": (True, lambda function: {"quality": QualityGate(evaluator=function)}, "run.model_completed"),
    "mirror": (
        None,
        lambda function: {"living_plan": {"mirror": function, "auto_stop_hook": False}},
        "run.tool_requested",
    ),
}
"""Who is asked: what it answers, how it is given, and what the run did last before."""


@pytest.mark.parametrize("kind", ["plain", "on_the_loop"])
@pytest.mark.parametrize("where", WHERE)
async def test_whoever_is_asked_finds_on_disk_what_led_to_it_and_may_be_slow(
    where: str, kind: str, tmp_path: Path
) -> None:
    answer, how, before = WHERE[where]
    given = Given(answer, tmp_path / "events.db")
    script = Script(writes("a"), "ok") if where == "mirror" else Script("ok")
    function = getattr(given, kind)
    async with Agent(model=script.model, runtime=f"sqlite:{tmp_path}/events.db", **how(function)) as agent:
        result = await agent.run("Go.")
    assert (result.output, given.run_ids, given.stored) == ("ok", [result.run_id], before)


async def test_a_plain_function_that_does_not_end_is_given_up_when_its_run_is_late() -> None:
    release = threading.Event()

    def waits(context: StopContext) -> None:
        release.wait(10)

    try:
        with pytest.raises(RunTimeout, match=r"timeout_s=0\.05 seconds"):
            await Agent(model="echo", stop_hooks=[waits], timeout_s=0.05).run("Go.")
    finally:
        release.set()


def leaves(context: StopContext) -> None:
    raise SystemExit(3)


async def leaves_on_the_loop(context: StopContext) -> None:
    raise SystemExit(3)


class Hook:
    async def __call__(self, context: StopContext) -> None: ...


async def test_what_a_function_raises_is_its_failure_and_nothing_worse() -> None:
    threads = ToolThreads()
    for function in (leaves, leaves_on_the_loop):
        with pytest.raises(RuntimeError, match=r"raised SystemExit\(3\)"):
            await asked(threads, function, None)
    await threads.close()


async def test_a_plain_function_may_return_what_is_to_be_awaited() -> None:
    async def soon(said: str) -> str:
        await asyncio.sleep(0)
        return said

    def later(said: str) -> Awaitable[str]:
        assert threading.current_thread() is not threading.main_thread()
        return soon(said)

    threads = ToolThreads()
    assert await asked(threads, later, "said") == "said"
    await threads.close()


def test_an_object_is_a_coroutine_function_when_its_call_is_one() -> None:
    assert is_async(Hook())
    assert is_async(leaves_on_the_loop)
    assert not is_async(leaves)
