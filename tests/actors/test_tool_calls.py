"""A call that may have happened is not taken for one that did not, whatever the code has become since."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    Agent,
    FunctionModel,
    Message,
    ModelReply,
    ReplayDivergence,
    RunError,
    RunState,
    ToolCall,
    ToolSpec,
    tool,
)
from treadle.actors.run import RunActivation
from treadle.actors.run_history import RunRequest
from treadle.actors.spec import AgentSpec
from treadle.actors.steps import digest_of
from treadle.actors.strategies import ReAct
from treadle.events.envelope import EMPTY, Meta
from treadle.events.journal import Append
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import RunStarted, run_stream
from treadle.events.tool_step import ToolRequested
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.node import Node

CALL = ToolCall("1", "restart", {"host": "db-1"})
RESTART = ToolSpec(name="restart", destructive=True)


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
    return messages[-1].content if messages[-1].role == "tool" else ModelReply(tool_calls=(CALL,))


async def cut_off(node: Node, recorded: ToolSpec) -> RunRequest:
    """A history that ends with the intent of a call, as after a crash inside the tool."""
    opening = digest_of([Message("user", "restart db-1")])
    events = [
        RunStarted(agent="desk", prompt="restart db-1", owner="a dead process", model="function", tools=(recorded,)),
        ModelRequested(step="1", call_id="r1_1", digest=opening),
        ModelCompleted(step="1", call_id="r1_1", reply=ModelReply(tool_calls=(CALL,))),
        ToolRequested(step="2", call_id="r1_2_0", tool=CALL.tool, args=CALL.args, model_call_id="1"),
    ]
    await node.journal.append(
        Append(run_stream("r1"), EMPTY, events, Meta(run_id="r1", session_id="r1", epoch=1), datetime.now(UTC))
    )
    return RunRequest(run_id="r1", prompt="restart db-1", session_id="r1")


def agent(*tools: Any, **options: Any) -> AgentSpec:
    named = {made.name: made for made in tools}
    return AgentSpec(name="desk", model=FunctionModel(rules), tools=named, architecture=ReAct(), **options)


async def continued(spec: AgentSpec, recorded: ToolSpec) -> RunActivation:
    node = Node(MemoryJournal())
    await node.start()
    run = RunActivation(spec, node.services, await cut_off(node, recorded))
    assert await run.continue_("its process ended")
    return run


@tool
async def restart(host: str) -> str:
    """Restart a host."""
    return f"{host} restarted"


@tool(name="restart")
async def restart_by_number(number: int) -> str:
    """Restart a host."""
    return f"{number} restarted"


async def test_an_agent_without_the_tool_does_not_say_that_the_call_did_not_happen() -> None:
    run = await continued(agent(), RESTART)
    with pytest.raises(ReplayDivergence, match="no such tool"):
        await run.drive()
    assert run.state.closed is None


async def test_a_tool_that_takes_other_arguments_now_does_not_say_that_the_call_did_not_happen() -> None:
    run = await continued(agent(restart_by_number), RESTART)
    with pytest.raises(ReplayDivergence, match="do not fit"):
        await run.drive()
    assert run.state.closed is None


async def test_a_call_that_was_destructive_when_it_began_is_not_repeated_because_its_tool_no_longer_says_so() -> None:
    questions: list[str] = []

    def ask(question: Any) -> bool:
        questions.append(question.reason)
        return False

    run = await continued(agent(restart, approvals=ask), RESTART)
    result = await run.drive()
    assert questions == ["unknown_outcome"]
    assert (result.state, result.output.partition(":")[0]) == (RunState.COMPLETED, "UNKNOWN OUTCOME")


async def test_a_plain_call_of_unknown_outcome_is_tried_again_and_sees_its_attempt() -> None:
    run = await continued(agent(restart), ToolSpec(name="restart"))
    assert (await run.drive()).output == "db-1 restarted"
    step = run.state.tools["r1_2_0"]
    assert step.requested is not None and step.requested.attempt == 2


async def test_a_tool_that_ignores_its_time_out_does_not_keep_the_run() -> None:
    ended = asyncio.Event()

    @tool(name="restart", timeout_s=0.05)
    async def stubborn(host: str) -> str:
        """Restart a host."""
        while not ended.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ended.wait()
        return host

    async with Agent("You restart.", model=FunctionModel(rules), tools=[stubborn]) as agent:
        result = await agent.run("restart db-1")
        assert (result.state, result.output.partition(":")[0]) == (RunState.COMPLETED, "UNKNOWN OUTCOME")
        ended.set()


@pytest.mark.parametrize("raised", [GeneratorExit, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_whatever_a_tool_or_a_model_raises_is_a_recorded_failure(raised: type[BaseException]) -> None:
    @tool(name="restart")
    async def odd(host: str) -> str:
        """Restart a host."""
        raise raised

    async def odd_model(messages: object, tools: object) -> str:
        raise raised

    async with Agent("You restart.", model=FunctionModel(rules), tools=[odd]) as agent:
        assert raised.__name__ in (await agent.run("restart db-1")).output
    async with Agent("You restart.", model=FunctionModel(odd_model)) as agent:
        with pytest.raises(RunError, match=raised.__name__):
            await agent.run("restart db-1", session_id="s")
        with pytest.raises(RunError, match=raised.__name__):
            await agent.run("another", session_id="s")


async def test_a_tool_whose_error_cannot_say_what_it_is_fails_alone() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @tool(name="restart")
    async def silent(host: str) -> str:
        """Restart a host."""
        raise Silent

    async with Agent("You restart.", model=FunctionModel(rules), tools=[silent]) as agent:
        assert (await agent.run("restart db-1")).output.startswith("ERROR: Silent")
