"""Agents that a run asks: children with a stream, a user, a depth and budgets that come from whoever asks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from msgspec import structs
from waiting import until

from treadle import (
    Agent,
    FallbackModel,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    RetryPolicy,
    Run,
    RunState,
    ServerError,
    Steps,
    System,
    Team,
    ToolCall,
    ToolSpec,
    Usage,
    Workflow,
    current_call,
    get_run_context,
    tool,
)
from treadle.actors import child_runs
from treadle.actors.children import MAX_DEPTH
from treadle.actors.run_history import RunHistory, RunRequest, history_of
from treadle.architecture import RouterRoute
from treadle.events.child_step import ChildEnded, ChildRequested
from treadle.events.journal import Journal
from treadle.events.run import Run as RunFold
from treadle.events.run import RunStarted, run_stream

WITHIN_S = 20


LITTLE = Usage(10, 5)


def says(text: str, usage: Usage = LITTLE) -> FunctionModel:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        return ModelReply(text or messages[-1].content, usage=usage)

    return FunctionModel(answer)


async def asks(agent: Agent, steps: Steps) -> str:
    ended = await steps.agent(agent, steps.prompt, role="helper")
    return f"{ended.state}: {ended.output or ended.error}"


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with System(journal="memory") as opened:
        yield opened


async def children_of(system: System, run_id: str) -> list[str]:
    """The ids of the runs that a run asked."""
    events = [recorded.event for recorded in await system.journal.read(run_stream(run_id))]
    return [event.run_id for event in events if isinstance(event, ChildRequested)]


async def test_a_child_has_the_user_the_metadata_and_the_conversation_of_its_call(system: System) -> None:
    seen: list[object] = []

    @tool(read_only=True)
    async def look() -> str:
        """Look."""
        context = get_run_context()
        seen.append((context.user_id, dict(context.metadata), current_call().depth))
        return "seen"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply("Done.")
        seen.append([message.content for message in messages])
        return ModelReply(tool_calls=(ToolCall("1", "look", {}),))

    helper = Agent("You help.", model=FunctionModel(rules), tools=[look])

    async def think(steps: Steps) -> str:
        before = [Message("user", "Before?"), Message("assistant", "Before.")]
        return (await steps.agent(helper, "And now?", history=before)).output

    desk = system.host(Agent(model="echo", architecture=think), name="desk")
    result = await desk.run("Go.", user_id="alice", metadata={"tenant": "acme"})
    assert result.output == "Done."
    assert seen == [["You help.", "Before?", "Before.", "And now?"], ("alice", {"tenant": "acme"}, 1)]
    (child,) = await children_of(system, result.run_id)
    started = (await system.journal.read(run_stream(child)))[0].event
    assert isinstance(started, RunStarted)
    assert (started.parent_run_id, started.depth, len(started.conversation)) == (result.run_id, 1, 2)


async def test_what_children_use_is_a_part_of_what_the_run_used(system: System) -> None:
    helper = Agent(model=says("Helped.", Usage(100, 50, cost_usd=0.25)))
    desk = system.host(Agent(model=says(""), architecture=partial(asks, helper)), name="desk")
    result = await desk.run("Go.")
    assert (result.output, result.turns) == ("completed: Helped.", 0)
    assert (result.tokens_in, result.tokens_out, result.cost_usd) == (100, 50, 0.25)


async def test_a_cap_of_the_one_who_asks_holds_for_what_the_others_spend(system: System) -> None:
    helper = Agent(model=says("Helped."), options={"max_tokens": 20})

    async def think(steps: Steps) -> str:
        async def ask(steps: Steps) -> str:
            return (await steps.agent(helper, "Help.")).state

        return " ".join(await steps.together([ask] * 10))

    desk = system.host(Agent(model="echo", architecture=think, budget=Limits(max_tokens=60)), name="desk")
    result = await desk.run("Go.")
    states = result.output.split()
    assert states.count("completed") == result.total_tokens // 15 >= 1
    assert states.count("interrupted") == 10 - states.count("completed") >= 6


async def test_a_child_that_fails_is_a_result(system: System) -> None:
    def breaks(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        raise ValueError("no idea")

    desk = system.host(Agent(model="echo", architecture=partial(asks, Agent(model=FunctionModel(breaks)))), name="desk")
    assert "failed: " in (await desk.run("Go.")).output


async def test_an_answer_of_another_model_degrades_the_runs_that_asked_for_it(system: System) -> None:
    def down(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise ServerError("the data centre is under water")

    row = FallbackModel([FunctionModel(down, name="first"), says("here")])
    expert = Agent(model=row, name="expert", retry_policy=RetryPolicy.disabled())
    desk = Team.router([RouterRoute("a", expert)], decider=lambda prompt, routes: "a", model="echo", name="desk")
    flow = system.host(Workflow.chain([desk], name="flow"))
    result = await flow.run("Go")
    assert (result.output, result.state) == ("here", RunState.DEGRADED)
    assert result.error.startswith("desk: a: function answered in the place of first")


async def test_a_circle_of_agents_ends_at_the_deepest_run_that_may_be(system: System) -> None:
    async def think(steps: Steps) -> str:
        ended = await steps.agent("desk", steps.prompt)
        return ended.output or ended.error

    desk = system.host(Agent(model="echo", architecture=think), name="desk")
    assert f"a run {MAX_DEPTH} delegations deep may not delegate further" in (await desk.run("Go.")).output


async def test_cancelling_a_run_cancels_all_that_it_asked(system: System) -> None:
    begun = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        return ModelReply(tool_calls=(ToolCall("1", "wait", {}),))

    inner = Agent(model=FunctionModel(rules), tools=[wait])
    outer = Agent(model="echo", architecture=partial(asks, inner))
    desk = system.host(Agent(model="echo", architecture=partial(asks, outer)), name="desk")
    run = await desk.session("conv-1").start("Go.")
    await asyncio.wait_for(begun.wait(), WITHIN_S)
    assert (await run.cancel()).state == RunState.CANCELLED
    node = await desk.node()
    (child,) = await children_of(system, run.id)
    (grandchild,) = await children_of(system, child)
    assert [(await Run(node, each).result()).state for each in (child, grandchild)] == [RunState.CANCELLED] * 2
    events = [recorded.event for recorded in await system.journal.read(run_stream(run.id))]
    assert [event.state for event in events if isinstance(event, ChildEnded)] == ["cancelled"]


async def test_a_run_that_is_left_leaves_its_children_and_finds_them_again(system: System) -> None:
    gate, begun = asyncio.Event(), list[int]()

    @tool(idempotent=True)
    async def wait() -> str:
        """Wait."""
        begun.append(current_call().attempt)
        await gate.wait()
        return "waited"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", "wait", {}),))

    helper = Agent(model=FunctionModel(rules), tools=[wait])
    desk = system.host(Agent(model="echo", architecture=partial(asks, helper)), name="desk")
    running = asyncio.create_task(desk.run("Go.", session_id="conv-1"))
    await until(lambda: begun == [1], WITHIN_S)
    running.cancel()
    await asyncio.wait((running,))
    gate.set()
    result = await desk.resume("conv-1")
    assert (result.output, begun) == ("completed: waited", [1, 2])
    assert len(await children_of(system, result.run_id)) == 1


async def test_a_child_may_wait_for_somebodys_approval(system: System) -> None:
    @tool(destructive=True)
    async def wipe() -> str:
        """Wipe."""
        return "wiped"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", "wipe", {}),))

    helper = Agent(model=FunctionModel(rules), tools=[wipe], approval_handler="wait")
    desk = system.host(Agent(model="echo", architecture=partial(asks, helper)), name="desk")
    run = await desk.session("conv-1").start("Go.")
    node = await desk.node()

    async with asyncio.timeout(WITHIN_S):
        async for event in run.events():
            if event.type == "child.requested":
                child = Run(node, event.payload["run_id"])
                async for inner in child.events():
                    if inner.type == "approval.requested":
                        await child.approve(inner.payload["call_id"])
        assert (await run.wait()).output == "completed: wiped"


async def test_an_agent_that_a_tool_runs_is_a_child_of_the_call(system: System) -> None:
    @tool
    async def consult(question: str) -> str:
        """Ask somebody."""
        advisor = Agent("You advise.", model=says(""))
        asked = await asyncio.gather(advisor.run(question), advisor.run(question), advisor.run("Else?"))
        return " ".join(each.output for each in asked)

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", "consult", {"question": "Well?"}),))

    desk = system.host(Agent(model=FunctionModel(rules), tools=[consult]), name="desk")
    result = await desk.run("Go.", user_id="alice")
    assert result.output == "Well? Well? Else?"
    asked = await children_of(system, result.run_id)
    assert len(set(asked)) == 3
    assert {recorded.user_id for each in asked for recorded in await system.journal.read(run_stream(each))} == {"alice"}


async def test_an_agent_with_a_journal_of_its_own_is_nobodys_child(system: System) -> None:
    @tool
    async def consult() -> str:
        """Ask somebody."""
        advisor = Agent("You advise.", model=says("Yes."), runtime="memory")
        return (await advisor.run("Well?")).output

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", "consult", {}),))

    desk = system.host(Agent(model=FunctionModel(rules), tools=[consult]), name="desk")
    result = await desk.run("Go.")
    assert (result.output, await children_of(system, result.run_id)) == ("Yes.", [])


async def test_branches_beside_one_another_cannot_pass_the_limit_of_turns_together(system: System) -> None:
    async def think(steps: Steps) -> str:
        async def one(steps: Steps) -> str:
            return (await steps.model(steps.messages())).text

        return " ".join(await steps.together([one] * 5))

    desk = system.host(Agent(model=says("Yes."), architecture=think, max_turns=3), name="desk")
    result = await desk.run("Go.")
    assert (result.interruption_reason, result.turns) == ("max_turns", 3)


async def test_a_fork_asks_none_of_the_children_again_that_were_asked_by_then(system: System) -> None:
    asked: list[str] = []

    def helps(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        asked.append(messages[-1].content)
        return ModelReply(f"Helped with {messages[-1].content}", usage=LITTLE)

    helper = Agent(model=FunctionModel(helps))

    @tool
    async def consult(question: str) -> str:
        """Ask somebody."""
        return (await Agent(model=FunctionModel(helps)).run(question)).output

    async def think(steps: Steps) -> str:
        first = await steps.agent(helper, "one")
        (second,) = await steps.tools([ToolCall("1", "consult", {"question": "two"})])
        reply = await steps.model([Message("user", f"{first.output}, {second.text}")], tools=False)
        return reply.text

    desk = system.host(Agent(model=says(""), tools=[consult], architecture=think), name="desk")
    run = await desk.session("conv-1").start("Go.")
    assert (await run.wait()).output == "Helped with one, Helped with two"
    forked = await (await run.fork("2", model=says("Otherwise."))).wait()
    assert (forked.output, asked) == ("Otherwise.", ["one", "two"])
    assert forked.total_tokens == LITTLE.total_tokens  # what the children used is the first run's
    (begun, *_) = [event.version async for event in run.events() if event.type == "child.requested"]
    again = await (await run.fork(begun)).wait()  # the first child had been asked, and had not begun
    assert (again.output, asked[2:]) == ("Helped with one, Helped with two", ["one", "two"])


async def test_a_child_that_goes_on_with_a_conversation_of_its_own_belongs_to_the_leads_all_the_same(
    system: System,
) -> None:
    helper = system.host(Agent(model=says("Helped.")), name="helper")

    async def think(steps: Steps) -> str:
        return " ".join([(await steps.agent(each, "Help.", session_id="own")).output for each in ("helper", helper)])

    desk = system.host(Agent(model="echo", architecture=think), name="desk")
    result = await desk.run("Go.", session_id="conv-1")
    for child in await children_of(system, result.run_id):
        recorded = await system.journal.read(run_stream(child))
        assert {(each.session_id, each.correlation_id) for each in recorded} == {("own", "conv-1")}


async def test_a_child_that_ends_while_it_is_looked_for_is_read_and_not_taken_for_another(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, asked = asyncio.Event(), list[str]()

    async def answers(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        asked.append(messages[-1].content)
        if len(asked) == 2:
            await gate.wait()
        return ModelReply(f"Done: {messages[-1].content}", usage=LITTLE)

    helper = system.host(Agent(model=FunctionModel(answers)), name="helper")
    children = (node := system.node).services.children
    assert children is not None
    first = await helper.session("own").start("one")
    assert (await first.wait()).output == "Done: one"
    second = await helper.session("own").start("two")
    await until(lambda: len(asked) == 2, WITHIN_S)

    late = [await history_of(node.journal, first.id)]

    async def looks_too_early(journal: Journal, run_id: str) -> RunHistory:
        return structs.replace(late.pop(), state=RunFold()) if late else await history_of(journal, run_id)

    monkeypatch.setattr(child_runs, "history_of", looks_too_early)
    request = RunRequest(run_id=first.id, prompt="one", session_id="own")
    asking = asyncio.create_task(children.run(node.host.agent("helper"), request))
    await until(lambda: not late, WITHIN_S)
    gate.set()
    assert (await asking).output == "Done: one"
    assert (await second.wait()).output == "Done: two"
    assert asked == ["one", "two"]
