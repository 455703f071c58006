"""A run is asked, stopped, left and continued at awkward moments."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from recording import write

from treadle import (
    Agent,
    ApprovalQuestion,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    Owned,
    Run,
    RunContext,
    RunState,
    ToolCall,
    ToolSpec,
    Usage,
    tool,
)
from treadle.actors.budget import AskBudget
from treadle.actors.run_actor import ContinueRun
from treadle.actors.steps import digest_of
from treadle.events.budget import Budget, Opened, Reserved, budget_stream
from treadle.events.model_step import ModelFailed, ModelRequested
from treadle.events.run import RunStarted, run_stream
from treadle.events.tool_step import ApprovalRequested


def calling(*names: str) -> FunctionModel:
    """A model that calls these tools in one turn, then says what came of them."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        if messages[-1].role == "tool":
            return " | ".join(message.content for message in messages if message.role == "tool")
        return ModelReply("", tuple(ToolCall(f"m{slot}", name) for slot, name in enumerate(names)))

    return FunctionModel(answer)


class Slow:
    """A model that says when it was asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        self.asked.set()
        await self.go_on.wait()
        return ModelReply("At last.", usage=Usage(10, 5))


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def wiped() -> list[str]:
    return []


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes agents on one journal file; `where` spells the file, and each spelling is a system of its own."""
    agents: list[Agent] = []

    def make(model: FunctionModel, where: str = "runs.db", **more: Any) -> Agent:
        agents.append(Agent(model=model, name="desk", runtime=f"sqlite:{tmp_path}/{where}", **more))
        return agents[-1]

    yield make
    for agent in agents:
        await agent.aclose()


def wiping(wiped: list[str]) -> Any:
    @tool(destructive=True)
    def wipe() -> str:
        """Delete it all."""
        wiped.append("wiped")
        return "wiped"

    return wipe


# --- who is asked ---


async def test_a_destructive_tool_does_not_run_when_nobody_is_there_to_approve_it(wiped: list[str]) -> None:
    result = await Agent(model=calling("wipe"), tools=[wiping(wiped)]).run("Clean up.")

    assert wiped == []
    assert result.output.startswith("DENIED")


async def test_a_destructive_tool_runs_when_the_handler_says_yes_and_only_then(wiped: list[str]) -> None:
    asked: list[str] = []

    def handler(question: ApprovalQuestion) -> bool:
        asked.append(question.reason)
        return len(asked) == 2

    agent = Agent(model=calling("wipe"), tools=[wiping(wiped)], approval_handler=handler)
    refused = await agent.run("Clean up.")
    assert (wiped, refused.output) == ([], "DENIED: the approval handler said no")
    allowed = await agent.run("Clean up.")

    assert (wiped, allowed.output) == (["wiped"], "wiped")
    assert asked == ["destructive", "destructive"]


async def test_an_answer_that_comes_while_somebody_goes_on_with_the_run_is_heard(wiped: list[str], opened: Any) -> None:
    """The session goes on with its run, and would have its turn for the answer when the run has ended."""
    first: Agent = opened(calling("wipe"), tools=[wiping(wiped)], approval_handler="wait")
    (question,) = (await first.run("Clean up.", session_id="conv-1")).waiting_for
    await first.aclose()
    session = opened(calling("wipe"), tools=[wiping(wiped)], approval_handler="wait").session("conv-1")
    async with asyncio.timeout(20):
        resuming = asyncio.ensure_future(session.resume())
        await session.approve(question.call_id)
        await resuming
        assert (await Run(await session.agent.node(), question.call_id.rsplit("_", 2)[0]).wait()).output == "wiped"
    assert wiped == ["wiped"]


async def test_an_answer_that_comes_as_soon_as_the_question_is_on_disk_is_heard(wiped: list[str], opened: Any) -> None:
    agent: Agent = opened(calling("wipe"), tools=[wiping(wiped)], approval_handler="wait")
    session = agent.session("conv-1")
    node = await agent.node()
    submit = node.journal.submit
    answering: list[asyncio.Task[None]] = []

    def submit_and_answer(*appends: Any) -> Any:
        pending = submit(*appends)
        for append in appends:
            for event in append.events:
                if isinstance(event, ApprovalRequested):
                    answering.append(asyncio.ensure_future(session.approve(event.call_id)))
        return pending

    node.journal.submit = submit_and_answer  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        result = await (await session.start("Clean up.")).wait()

    assert len(answering) == 1
    await answering[0]
    assert result.output == "wiped"


async def test_a_destructive_call_behind_another_has_no_intent_before_its_turn(wiped: list[str], opened: Any) -> None:
    intents: list[int] = []

    @tool(destructive=True)
    async def first() -> str:
        """Look what is recorded while the first one runs."""
        events = await run.transcript()
        intents.append(sum(event.type == "tool.requested" for event in events))
        return "done"

    agent: Agent = opened(calling("first", "wipe"), tools=[first, wiping(wiped)], approval_handler="allow")
    run = await agent.session("conv-1").start("Clean up.")
    await run.wait()

    assert (intents, wiped) == ([1], ["wiped"])


# --- stopping and leaving ---


async def test_a_run_that_is_cancelled_as_soon_as_it_was_started_ends_as_cancelled(opened: Any, slow: Slow) -> None:
    agent: Agent = opened(FunctionModel(slow))
    run = await agent.session("conv-1").start("Wait.")

    async with asyncio.timeout(5):
        result = await run.cancel("not needed")
        types = [event.type async for event in run.events()]

    assert (result.state, result.error) == (RunState.CANCELLED, "cancelled: not needed")
    assert (types[0], types[-1]) == ("run.started", "run.cancelled")


async def test_a_run_that_is_cancelled_before_its_turn_has_an_end_and_no_part_in_the_conversation(
    opened: Any, slow: Slow
) -> None:
    agent: Agent = opened(FunctionModel(slow))
    session = agent.session("conv-1")
    first = await session.start("Wait.")
    await slow.asked.wait()
    second = await session.start("Never mind.")

    async with asyncio.timeout(5):
        cancelled = await second.cancel()
        types = [event.type async for event in second.events()]
        slow.go_on.set()
        assert (await first.wait()).output == "At last."

    assert cancelled.state == (await second.wait()).state == RunState.CANCELLED
    assert types == ["run.started", "run.cancelled"]
    assert [message.content for message in await session.history()] == ["Wait.", "At last."]


async def test_a_run_that_its_caller_left_can_be_resumed_at_once(opened: Any, slow: Slow) -> None:
    agent: Agent = opened(FunctionModel(slow))
    calling_it = asyncio.create_task(agent.run("Wait.", session_id="conv-1"))
    await slow.asked.wait()
    calling_it.cancel()
    await asyncio.wait((calling_it,))
    slow.go_on.set()

    async with asyncio.timeout(5):
        result = await agent.resume("conv-1")

    assert (result.state, result.output) == (RunState.COMPLETED, "At last.")


async def test_a_prompt_follows_a_run_that_its_caller_left(opened: Any, slow: Slow) -> None:
    agent: Agent = opened(FunctionModel(slow))
    calling_it = asyncio.create_task(agent.run("Wait.", session_id="conv-1"))
    await slow.asked.wait()
    calling_it.cancel()
    await asyncio.wait((calling_it,))
    slow.go_on.set()

    async with asyncio.timeout(5):
        result = await agent.run("Something else.", session_id="conv-1")
    history = await agent.session("conv-1").history()

    assert result.output == "At last."
    assert [message.content for message in history] == ["Something else.", "At last."]


async def test_a_run_that_its_caller_left_may_be_resumed_by_another_process(opened: Any, slow: Slow) -> None:
    here: Agent = opened(FunctionModel(slow))
    there: Agent = opened(FunctionModel(slow), where="./runs.db")
    calling_it = asyncio.create_task(here.run("Wait.", session_id="conv-1"))
    await slow.asked.wait()
    journal = (await here.node()).journal
    await journal.wait(0, timeout_s=5)
    with pytest.raises(Owned):
        await there.resume("conv-1")
    calling_it.cancel()
    await asyncio.wait((calling_it,))
    slow.go_on.set()
    async with asyncio.timeout(5):
        while all(event.type != "run.suspended" for event in await journal.read_all()):
            await journal.wait(await journal.last_position(), 0.05)

        assert (await there.resume("conv-1")).output == "At last."


async def test_two_wishes_to_continue_a_run_lead_to_one_activation(opened: Any, slow: Slow) -> None:
    agent: Agent = opened(FunctionModel(slow))
    node = await agent.node()
    started = RunStarted(agent="desk", prompt="Wait.", owner="gone:1:aa", model="function")
    await write(node.journal, run_stream("r1"), started, session_id="r1")
    slow.go_on.set()

    one, two = node.host.run("r1").ask(ContinueRun()), node.host.run("r1").ask(ContinueRun())
    async with asyncio.timeout(5):
        results = await one, await two

    assert [result.output for result in results] == ["At last.", "At last."]
    types = [event.type for event in await node.journal.read(run_stream("r1"))]
    assert types.count("run.taken_over") == 1


# --- budgets ---


async def held(agent: Agent) -> Budget:
    budget: Budget = await (await agent.node()).host.budget("desk").ask(AskBudget())
    return budget


async def test_a_cancelled_model_call_gives_its_reservation_back(opened: Any, slow: Slow) -> None:
    agent: Agent = opened(FunctionModel(slow), budget=Limits(max_tokens=10_000))
    run = await agent.session("conv-1").start("Wait.")
    await slow.asked.wait()
    assert len((await held(agent)).reserved) == 1

    await run.cancel()

    assert (await held(agent)).reserved == {}


async def test_a_crash_between_a_failed_call_and_its_release_keeps_nothing_reserved(opened: Any) -> None:
    agent: Agent = opened(calling(), budget=Limits(max_tokens=10_000))
    node = await agent.node()
    await write(
        node.journal,
        budget_stream("desk"),
        Opened(limits=Limits(max_tokens=10_000)),
        Reserved(call_id="r1_1", run_id="r1", input_tokens=10, output_tokens=1024),
    )
    await write(
        node.journal,
        run_stream("r1"),
        RunStarted(agent="desk", prompt="Wait.", owner="gone:1:aa", model="function"),
        ModelRequested(step="1", call_id="r1_1", digest=digest_of([Message("user", "Wait.")])),
        ModelFailed(step="1", call_id="r1_1", error="no answer"),
        session_id="r1",
    )

    result = await node.host.run("r1").ask(ContinueRun())

    assert (result.state, result.error) == (RunState.FAILED, "no answer")
    assert (await held(agent)).reserved == {}


async def test_the_model_sees_what_the_caller_gave_beside_the_prompt_and_never_the_metadata() -> None:
    seen: list[str] = []

    def look(messages: Sequence[Message], tools: object) -> str:
        seen.extend(message.content for message in messages)
        return "seen"

    agent = Agent("You look.", model=FunctionModel(look))
    context = RunContext(inputs={"host": "db-1"}, knowledge=["it runs PostgreSQL"], metadata={"token": "secret"})
    await agent.run("What about it?", context)
    assert seen == ["You look.", 'What about it?\n\ninputs:\n{"host":"db-1"}\n\nknowledge:\n["it runs PostgreSQL"]']
    await agent.aclose()
