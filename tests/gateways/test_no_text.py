"""An architecture that comes to no text: its run fails, and says which architecture it was."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from treadle import Agent, ConfigError, RunError, RunState, Steps, System
from treadle.architecture import Reflexion, Router, RouterRoute


async def think(steps: Steps) -> str:
    """Forgets to return what the model said, the second time too."""
    said = await steps.model(steps.messages())
    return said.text if "aloud" in steps.prompt else cast("str", None)


def forgetful(**more: Any) -> Agent:
    return Agent(model="echo", name="thinker", architecture=think, **more)


WHY = r"architecture 'think' returned None; run\(steps\) returns the answer's text"


async def test_a_run_whose_answer_is_no_text_is_closed_as_failed() -> None:
    async with forgetful() as agent:
        with pytest.raises(RunError, match=WHY) as failed:
            await agent.run("Go.", session_id="s")
        assert (failed.value.result.state, failed.value.result.error_kind) == (RunState.FAILED, "NoText")
        assert (await agent.run("Think aloud.", session_id="s")).output == "Echo: Think aloud."


@pytest.mark.parametrize(("answer", "why"), [(42, "of type int"), (b"no", "of type bytes"), ("\ud800", "no JSON form")])
async def test_whatever_cannot_be_recorded_as_an_answer_fails_the_run(answer: Any, why: str) -> None:
    async def think(steps: Steps) -> str:
        return cast("str", answer)

    async with Agent(model="echo", architecture=think) as agent:
        with pytest.raises(RunError, match=f"architecture 'think'.*{why}"):
            await agent.run("Go.")


async def test_a_kind_of_str_is_a_text() -> None:
    class Told(str):
        __slots__ = ()

    async def think(steps: Steps) -> str:
        return Told("told")

    async with Agent(model="echo", architecture=think) as agent:
        assert (await agent.run("Go.")).output == "told"


async def test_a_base_and_a_worker_without_a_text_are_named() -> None:
    with pytest.raises(RunError, match=WHY):
        await Agent(model="echo", architecture=Reflexion(think)).run("Go.")
    desk = Agent(
        model="echo", architecture=Router([RouterRoute("thinker", forgetful())], decider=lambda prompt, _: "thinker")
    )
    with pytest.raises(RunError, match=f"specialist_failed.*{WHY}"):
        await desk.run("Go.")


async def test_a_hosted_agent_without_a_text_takes_the_next_prompt() -> None:
    async with System() as system:
        hosted = system.host(forgetful())
        with pytest.raises(RunError, match=WHY):
            await hosted.run("Go.", session_id="s")
        assert (await hosted.run("Think aloud.", session_id="s")).output == "Echo: Think aloud."


class Sync:
    name = "sync"

    def run(self, steps: Steps) -> str:
        return "no"

    def declared_workers(self) -> Mapping[str, Any]:
        return {}


def plain(steps: Steps) -> str:
    return "no"


SYNC: list[Any] = [plain, lambda: "no", Sync(), Sync().run, len, functools.partial(max, "no")]


@pytest.mark.parametrize("given", SYNC)
def test_code_that_nobody_can_await_is_refused_where_it_is_given(given: Any) -> None:
    with pytest.raises(ConfigError, match="must be async code"):
        Agent(model="echo", architecture=given)
    with pytest.raises(ConfigError, match="must be async code"):
        Reflexion(given)


async def test_async_code_in_other_clothes_is_taken() -> None:
    def traced(code: Callable[[Steps], Awaitable[str]]) -> Callable[[Steps], Awaitable[str]]:
        @functools.wraps(code)
        def wrapper(steps: Steps) -> Awaitable[str]:
            return code(steps)

        return wrapper

    class Thinker:
        async def __call__(self, steps: Steps, more: str = "") -> str:
            return f"thought{more}"

    for given in (traced(think), Thinker(), functools.partial(Thinker(), more="!"), functools.partial(think)):
        async with Agent(model="echo", architecture=given) as agent:
            assert (await agent.run("Think aloud.")).output in ("Echo: Think aloud.", "thought", "thought!")
