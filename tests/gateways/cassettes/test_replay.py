"""A run is replayed with today's agent: answered as then, and told where it goes another way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts import Script, turn, writes

from treadle import (
    Agent,
    FunctionModel,
    Message,
    ModelReply,
    NotFound,
    StopContext,
    System,
    ToolCall,
    ToolSpec,
    current_call,
    tool,
)
from treadle.events.envelope import Recorded
from treadle.events.run import run_stream
from treadle.events.tool_step import ToolRequested
from treadle.gateways.cassettes.replay import Replayed, replay

posted: list[str] = []


@tool(idempotent=True)
def post(text: str) -> str:
    """Post a text."""
    posted.append(text)
    return f"posted {text}"


@tool(destructive=True)
def wipe() -> str:
    """Wipe it all."""
    raise OSError("it is stuck")


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
    if messages[-1].role == "tool":
        return "Done: " + messages[-1].content
    return ModelReply("", (ToolCall("1", "post", {"text": "hello"}), ToolCall("2", "wipe"), ToolCall("3", "nonsense")))


def never(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    raise AssertionError("a replay asked a model")


def desk(instructions: str = "You post.", model: Any = None, tools: Sequence[Any] = (post, wipe)) -> Agent:
    return Agent(
        instructions, model=model or FunctionModel(never), tools=tools, memory=True, name="desk",
        approval_handler=lambda question: True,
    )  # fmt: skip


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[tuple[System, str]]:
    posted.clear()
    async with System(journal=f"sqlite:{tmp_path}/runs.db", projections=False) as system:
        agent = system.host(desk(model=FunctionModel(rules)), name="desk")
        await agent.run("First.", session_id="s")
        yield system, (await agent.run("Second.", session_id="s")).run_id


async def again(recorded: tuple[System, str], agent: Agent, *, call_tools: bool = False) -> Replayed:
    async with System(projections=False) as system:
        system.host(agent, name="desk")
        return await replay(recorded[0].journal, recorded[1], system.node, agent.spec, call_tools=call_tools)


def called(events: Sequence[Recorded]) -> set[str]:
    return {recorded.event.call_id for recorded in events if isinstance(recorded.event, ToolRequested)}


async def test_with_the_same_agent_it_goes_as_it_went_and_nothing_is_done(recorded: tuple[System, str]) -> None:
    assert len(posted) == 2
    replayed = await again(recorded, desk())
    assert replayed.differences == []
    assert replayed.result.output.startswith("Done:")
    assert len(posted) == 2


async def test_tools_are_called_under_the_ids_of_then_when_that_is_wanted(recorded: tuple[System, str]) -> None:
    replayed = await again(recorded, desk(), call_tools=True)
    assert replayed.differences == []
    assert len(posted) == 3
    then = await recorded[0].journal.read(run_stream(recorded[1]))
    assert called(replayed.events) == called(then) != set()


async def test_other_instructions_are_shown_where_they_change_what_is_sent(recorded: tuple[System, str]) -> None:
    [difference] = (await again(recorded, desk("You post politely."))).differences
    assert "the nearest is call 1, which differs from message 1 on" in difference
    assert "- system: You post." in difference
    assert "+ system: You post politely." in difference


async def test_a_tool_that_says_something_else_is_shown_in_what_follows(recorded: tuple[System, str]) -> None:
    @tool(name="post", idempotent=True)
    def louder(text: str) -> str:
        """Post a text."""
        return f"POSTED {text}"

    [difference] = (await again(recorded, desk(tools=(louder, wipe)), call_tools=True)).differences
    assert "- tool post: posted hello" in difference
    assert "+ tool post: POSTED hello" in difference


async def test_a_tool_that_takes_something_else_is_shown_where_it_is_called(recorded: tuple[System, str]) -> None:
    async def twice(steps: Any) -> str:
        reply = await steps.model(steps.messages())
        await steps.tools([ToolCall("1", "post", {"text": "good bye"})])
        return str(reply.text)

    agent = Agent(
        "You post.", model=FunctionModel(never), tools=[post, wipe], memory=True, name="desk", architecture=twice
    )
    differences = (await again(recorded, agent)).differences
    assert "tool post is called with {'text': 'good bye'}, where then it was post({'text': 'hello'})" in differences[0]


async def test_an_end_that_differs_is_told(recorded: tuple[System, str]) -> None:
    async def short(steps: Any) -> str:
        await steps.model(steps.messages())
        return "Enough."

    agent = Agent(
        "You post.", model=FunctionModel(never), tools=[post, wipe], memory=True, name="desk", architecture=short
    )
    differences = (await again(recorded, agent)).differences
    assert differences[0] == "1 model calls of then were not made any more"
    assert "and is 'Enough.'" in differences[1]


async def test_a_run_that_is_not_there_is_not_replayed(recorded: tuple[System, str]) -> None:
    with pytest.raises(NotFound):
        await again((recorded[0], "no-such-run"), desk())


@pytest.mark.parametrize("call_tools", [True, False])
async def test_a_replay_has_the_plan_and_asks_no_hook(call_tools: bool, tmp_path: Path) -> None:
    asked: list[str] = []

    def hook(context: StopContext) -> str | None:
        asked.append(context.output)
        return "Well?" if context.iteration == 0 else None

    def planner(model: Any) -> Agent:
        return Agent(model=model, tools=[post], living_plan=["post it"], stop_hooks=[hook], name="desk")

    done = {"description": "post it", "status": "done", "verified_by": ["post"]}
    script = Script(turn("post", text="hello"), writes(done), "Posted.", "Really.")
    async with System(journal=f"sqlite:{tmp_path}/runs.db", projections=False) as system:
        result = await system.host(planner(script.model), name="desk").run("Go.")
        assert asked == ["Posted.", "Really."]
        replayed = await again((system, result.run_id), planner(FunctionModel(never)), call_tools=call_tools)
    assert replayed.differences == []
    assert replayed.result.plan == result.plan
    assert result.plan is not None
    assert result.plan.finished
    assert len(asked) == 2


async def test_a_replay_is_told_what_the_run_was_told_where_it_was_told(tmp_path: Path) -> None:
    """In the middle, in the middle of a model call, after the answer, and by the further question of a fork."""

    @tool(read_only=True)
    async def look() -> str:
        """Look."""
        await agent.steer(current_call().run_id, "Be brief.")
        return "seen"

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        said = [message.content for message in messages if message.role == "user"]
        if len(messages) == 2:
            return ModelReply("", (ToolCall("1", "look"),))
        if said == ["Go.", "Be brief."]:
            await run.steer("Be quick.", now=True)
            await asyncio.Event().wait()
        if said == ["Go.", "Be brief.", "Be quick."] and messages[-1].role != "assistant":
            await run.steer("Be polite.", id="polite")
        return " | ".join(said)

    def desk(model: Any) -> Agent:
        return Agent("You look.", model=FunctionModel(model), tools=[look], name="desk")

    agent = desk(answer)
    async with System(journal=f"sqlite:{tmp_path}/runs.db", projections=False) as system:
        run = await system.host(agent, name="desk").session("s").start("Go.")
        assert (await run.wait()).output == "Go. | Be brief. | Be quick. | Be polite."
        fork = await run.fork("3", prompt="In German.")
        assert (await fork.wait()).output.endswith("In German.")
        for run_id in (run.id, fork.id):
            replayed = await again((system, run_id), desk(never))
            assert replayed.differences == []
            assert replayed.result.output.startswith("Go. | Be brief. | ")
