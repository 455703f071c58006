"""Children of one run that share a conversation have their turns one after the other, also after a crash."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from cuts import holds_at_every_cut

from treadle import Agent, FunctionModel, Message, Steps, ToolSpec


@pytest.mark.parametrize("prompts", [("count", "weigh"), ("count", "count")])
async def test_a_child_that_is_open_is_not_ended_by_one_that_is_asked_for_sooner_after_a_crash(
    prompts: tuple[str, str],
) -> None:
    asked = 0

    async def works(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        nonlocal asked
        asked += 1
        for _ in range(30):  # so long that the other one is asked for meanwhile
            await asyncio.sleep(0)
        return f"{messages[-1].content} as number {len(messages) // 2}"

    async def looks(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return "seen"

    worker = Agent("You work.", model=FunctionModel(works), name="worker")

    async def ask(part: Steps, prompt: str, looks_first: bool) -> str:
        if looks_first:  # which takes no time when it is recorded
            await part.model([Message("user", "Look.")], tools=False)
        return (await part.agent(worker, prompt, session_id="work")).output

    async def think(steps: Steps) -> str:
        first = partial(ask, prompt=prompts[0], looks_first=True)
        second = partial(ask, prompt=prompts[1], looks_first=False)
        return " | ".join(await steps.together([first, second]))

    team = Agent(model=FunctionModel(looks), name="team", architecture=think)
    result = await holds_at_every_cut(team.spec, "Go.", lambda: asked)

    assert result.output == f"{prompts[0]} as number 2 | {prompts[1]} as number 1"
