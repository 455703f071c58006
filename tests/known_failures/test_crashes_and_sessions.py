"""What other systems lose or do twice when a run fails or its process dies (L1 to L8, L10, L13, A14)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from crash.afterwards import afterwards, read
from crash.children import Children, Life
from crash.ledger import Ledger
from crash.programs import LEDGER
from known_failures.agents import Opened, Waiting, asks, once
from scripts import Script, writes

from treadle import (
    ApprovalQuestion,
    FunctionModel,
    LivingPlan,
    LivingPlanStep,
    Message,
    ModelReply,
    Run,
    RunError,
    RunState,
    ToolSpec,
    Unavailable,
    current_call,
    tool,
)
from treadle.actors.memory import Remember, UpdateBlock
from treadle.actors.session_messages import SignalSession
from treadle.events.budget import Settled
from treadle.events.envelope import Meta
from treadle.events.memory import EpisodeRemembered
from treadle.events.run import RunCompleted
from treadle.events.session import RunEnded, SignalReceived
from treadle.events.signal import RuntimeSignal
from treadle.events.tool_step import ApprovalRequested
from treadle.gateways.node import Node
from treadle.tools import get_active_plan


@pytest.mark.parametrize("end", ["failed", "timed out", "left"])
async def test_a_run_that_came_to_nothing_leaves_the_next_prompt_of_its_session_alone(end: str, opened: Opened) -> None:
    """L1"""
    booked: list[int] = []

    @tool
    def book(amount: int) -> str:
        """Book an amount."""
        booked.append(amount)
        return f"booked {amount}"

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        prompt = next(message.content for message in reversed(messages) if message.role == "user")
        if messages[-1].role != "tool":
            return asks("book", amount=int(prompt))
        if prompt == "1" and end == "failed":
            raise ConnectionError("the provider is down")
        if prompt == "1":
            await asyncio.Event().wait()
        return messages[-1].content

    agent = opened(FunctionModel(answer), tools=[book], timeout_s=0.1 if end == "timed out" else None)
    if end == "left":
        async for event in agent.stream("1", session_id="conv-1"):
            if event.type == "tool.completed":
                break
    else:
        with pytest.raises(RunError):
            await agent.run("1", session_id="conv-1")

    second = await agent.run("2", session_id="conv-1")

    assert (second.output, booked) == ("booked 2", [1, 2])


async def test_a_tool_that_failed_is_called_again_by_the_next_run(opened: Opened) -> None:
    """L2"""
    down = True

    @tool
    def fetch() -> str:
        """Fetch a figure."""
        if down:
            raise ConnectionError("the ledger is down")
        return "42"

    agent = opened(once("fetch"), tools=[fetch])
    assert (await agent.run("Fetch it.", session_id="conv-1")).output == "ERROR: ConnectionError: the ledger is down"
    down = False

    assert (await agent.run("Fetch it.", session_id="conv-1")).output == "42"


def test_a_tool_that_is_killed_after_its_effect_knows_its_call_and_does_it_once(
    children: Children, tmp_path: Path
) -> None:
    """L3"""
    life = Life(program="idempotent", directory=str(tmp_path), kill="after effect of charge 1")
    assert children.die(life)
    (before,) = Ledger(tmp_path / LEDGER).effects()

    children.live(Life(program="idempotent", directory=str(tmp_path), resume=True))

    first, second = Ledger(tmp_path / LEDGER).effects()
    assert first == before
    assert second.call_id != first.call_id


async def test_an_approval_that_was_given_before_a_crash_is_not_asked_for_again(
    children: Children, tmp_path: Path
) -> None:
    """L3"""
    program = "destructive, parked"
    (whole := tmp_path / "whole").mkdir()
    for place in children.live(Life(program=program, directory=str(whole))).places:
        (directory := tmp_path / place.replace(" ", "-")).mkdir()
        assert children.die(Life(program=program, directory=str(directory), kill=place))
        children.live(Life(program=program, directory=str(directory), resume=True))

        asked = [event.event for event in await read(directory) if isinstance(event.event, ApprovalRequested)]
        assert [question.reason for question in asked].count("destructive") == 1
        assert len({question.call_id for question in asked}) == 1


async def test_a_crash_and_two_resumes_make_one_payment(children: Children, tmp_path: Path) -> None:
    """L4"""
    directory = str(tmp_path)
    assert children.die(Life(program="plain", directory=directory, kill="before effect of post 1"))
    both = [
        Life(program="plain", directory=directory, name=name, resume=True, barrier="door", together=2) for name in "ab"
    ]
    pids = [children.start(life) for life in both]
    reports = [children.report(life, children.wait(pid)) for life, pid in zip(both, pids, strict=True)]

    assert any(report.answers for report in reports)
    payments = Ledger(tmp_path / LEDGER).effects()
    assert len(payments) == len({payment.call_id for payment in payments}) == 2


async def test_resume_goes_on_with_the_run_that_crashed_and_with_no_older_one(
    children: Children, tmp_path: Path
) -> None:
    """L5"""
    assert children.die(Life(program="prompts", directory=str(tmp_path), kill="after effect of charge 2"))
    before = Ledger(tmp_path / LEDGER).effects()

    report = children.live(Life(program="prompts", directory=str(tmp_path), resume=True))

    assert report.answers == [f"Settle {month}. 1 calls are settled." for month in ("January", "February", "March")]
    assert Ledger(tmp_path / LEDGER).effects()[:2] == before
    ended = [event.event for event in await read(tmp_path) if isinstance(event.event, RunEnded)]
    assert len(ended) == len({end.run_id for end in ended}) == 3
    assert ended[1].run_id == before[1].call_id.partition("_")[0]


async def test_a_resumed_run_has_the_state_that_it_had_and_not_only_its_return_values(opened: Opened) -> None:
    """L6"""
    attempts: list[tuple[str, int]] = []
    waiting = asyncio.Event()

    @tool(requires_permission=True)
    async def move() -> str:
        """Move the money."""
        call = current_call()
        attempts.append((call.call_id, call.attempt))
        if call.attempt == 1:
            waiting.set()
            await asyncio.Event().wait()
        return "moved"

    questions: list[ApprovalQuestion] = []

    def handler(question: ApprovalQuestion) -> bool:
        questions.append(question)
        return True

    shown: list[str] = []

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        shown.append(messages[0].content)
        return "Done." if messages[-1].role == "tool" else asks("move")

    first = opened(FunctionModel(answer), 1, tools=[move], approval_handler=handler, memory=True)
    await (await first.node()).host.memory("alice").ask(UpdateBlock("account", "A-1", Meta()))
    running = asyncio.create_task(first.run("Move it.", user_id="alice", session_id="conv-1"))
    await waiting.wait()
    await first.aclose()
    await asyncio.wait((running,))
    assert isinstance(running.exception(), Unavailable)

    second = opened(FunctionModel(answer), 2, tools=[move], approval_handler=handler, memory=True)
    await (await second.node()).host.memory("alice").ask(UpdateBlock("account", "B-2", Meta()))
    result = await second.resume("conv-1", user_id="alice")

    assert result.output == "Done."
    assert attempts == [(attempts[0][0], 1), (attempts[0][0], 2)]
    assert len(questions) == 1
    assert shown == ["<account>\nA-1\n</account>"] * 2
    assert result.turns == 2


async def test_a_resumed_run_has_its_living_plan(opened: Opened) -> None:
    """L6"""
    waiting = asyncio.Event()

    @tool(read_only=True)
    async def look() -> str:
        """Look."""
        plan = get_active_plan()
        if not waiting.is_set():
            waiting.set()
            await asyncio.Event().wait()
        return "none" if plan is None else plan.render()

    def script() -> Script:
        return Script(
            writes("a"), asks("look"), writes({"description": "a", "status": "done", "verified_by": "look"}), "ok"
        )

    first = opened(script().model, 1, tools=[look], living_plan=True)
    running = asyncio.create_task(first.run("Go.", session_id="conv-1"))
    await waiting.wait()
    await first.aclose()
    await asyncio.wait((running,))
    assert isinstance(running.exception(), Unavailable)

    resumed = script()
    result = await opened(resumed.model, 2, tools=[look], living_plan=True).resume("conv-1")
    assert resumed.asked[0][-1].content == "Plan, 0 of 1 steps done:\n1. [ ] a"
    assert result.plan == LivingPlan(steps=(LivingPlanStep("a", "done", verified_by=("look#1",)),))


async def test_an_episode_that_is_remembered_before_the_resume_changes_nothing_in_it(opened: Opened) -> None:
    """L7"""
    waiting, models, paid = asyncio.Event(), [0], [0]

    @tool(idempotent=True)
    async def pay() -> str:
        """Pay, once."""
        if current_call().attempt == 1:
            paid[0] += 1
            waiting.set()
            await asyncio.Event().wait()
        return "paid"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        models[0] += 1
        return "Paid." if messages[-1].role == "tool" else asks("pay")

    first = opened(FunctionModel(answer), 1, tools=[pay], memory=True)
    running = asyncio.create_task(first.run("Pay.", user_id="alice", session_id="conv-1"))
    await waiting.wait()
    await first.aclose()
    await asyncio.wait((running,))
    assert isinstance(running.exception(), Unavailable)

    second = opened(FunctionModel(answer), 2, tools=[pay], memory=True)
    episode = EpisodeRemembered(episode_id="r0", agent="desk", session_id="conv-0", input="Pay?", output="Yes.")
    await (await second.node()).host.memory("alice").ask(Remember(episode, Meta()))
    result = await second.resume("conv-1", user_id="alice")

    assert (result.output, models, paid) == ("Paid.", [2], [1])


async def test_a_kill_between_the_episode_and_the_end_of_the_run_stores_the_turn_once(
    children: Children, tmp_path: Path
) -> None:
    """L8"""
    (whole := tmp_path / "whole").mkdir()
    places = children.live(Life(program="memory", directory=str(whole))).places
    story = await afterwards(whole)
    assert sum("episode_remembered" in line for line in story["memory-alice"]) == 2

    for place in [place for place in places if "append" in place][-8:]:
        (directory := tmp_path / place.replace(" ", "-")).mkdir()
        assert children.die(Life(program="memory", directory=str(directory), kill=place))
        children.live(Life(program="memory", directory=str(directory), resume=True))
        assert await afterwards(directory, story) == story


async def test_a_signal_that_another_process_recorded_runs_when_its_agent_is_there(opened: Opened) -> None:
    """L10"""
    elsewhere = opened(FunctionModel(lambda messages, tools: "not here"), process=1)
    node: Node = await elsewhere.node()
    signal = RuntimeSignal(id="s1", summary="A card was charged twice.")
    # The agent `support` is hosted in another process, which is down now.
    await node.host.session("alice", "support", "conv-1").ask(SignalSession(signal, answer_when="taken"))
    assert [event.type for event in await node.journal.read_all()] == [SignalReceived.event_tag]
    await elsewhere.aclose()

    support = opened(FunctionModel(lambda messages, tools: f"Seen: {messages[-1].content}"), process=2)
    support.bind(await support.node(), "support")
    session = support.session("conv-1", user_id="alice")
    answered = await session.signal(signal, wait=True)

    assert answered is not None
    assert answered.output.startswith("Seen: A card was charged twice.")
    assert len(await session.history()) == 2


async def test_an_approval_that_waits_outlives_its_process(opened: Opened) -> None:
    """L10"""
    wiped: list[str] = []

    @tool(destructive=True)
    def wipe() -> str:
        """Delete the account."""
        wiped.append(current_call().call_id)
        return "wiped"

    asking = opened(once("wipe"), process=1, tools=[wipe], approval_handler="wait")
    result = await asking.run("Clean up.", session_id="conv-1")
    assert result.state == RunState.WAITING
    (question,) = result.waiting_for
    await asking.aclose()

    answering = opened(once("wipe"), process=2, tools=[wipe], approval_handler="wait")
    await answering.session("conv-1").approve(question.call_id, by="alice")
    ended = await Run(await answering.node(), result.run_id).wait()

    assert (ended.state, ended.output, wiped) == (RunState.COMPLETED, "wiped", [question.call_id])
    history = await answering.session("conv-1").history()
    assert [message.content for message in history] == ["Clean up.", "wiped"]


async def test_the_correction_of_an_answer_is_charged_once_whatever_becomes_of_its_process(
    children: Children, tmp_path: Path
) -> None:
    """L13"""
    report = children.live(Life(program="typed answer", directory=str(directory_in(tmp_path, "whole"))))
    correction = [place for place in report.places if place.startswith("after")][-2:]
    for number, place in enumerate(["", *correction]):
        directory = directory_in(tmp_path, f"killed-{number}")
        if place:
            assert children.die(Life(program="typed answer", directory=str(directory), kill=place))
        for name in ("resumed", "replayed"):
            children.live(Life(program="typed answer", directory=str(directory), name=name, resume=True))
        events = [recorded.event for recorded in await read(directory)]
        settled = [event.usage.total_tokens for event in events if isinstance(event, Settled)]
        (completed,) = [event for event in events if isinstance(event, RunCompleted)]
        assert settled == [15, 15]
        assert (completed.turns, completed.usage.total_tokens) == (2, 30)


def directory_in(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


async def test_four_processes_that_write_one_journal_leave_it_whole(children: Children, tmp_path: Path) -> None:
    """A14"""
    lives = [
        Life(program="prompts", directory=str(tmp_path), name=user, user=user, barrier="door", together=4)
        for user in ("alice", "bob", "carol", "dave")
    ]
    pids = [children.start(life) for life in lives]
    reports = [children.report(life, children.wait(pid)) for life, pid in zip(lives, pids, strict=True)]

    assert all(len(report.answers) == 3 for report in reports)
    story = await afterwards(tmp_path)
    assert sum(stream.startswith("run-") for stream in story) == 12
    assert sum(stream.startswith("session-") for stream in story) == 4


async def test_the_events_of_a_cancelled_run_end(opened: Opened) -> None:
    """A14"""
    model = Waiting(lambda messages, tools: "Too late.")
    agent = opened(FunctionModel(model))
    run = await agent.session("conv-1").start("Wait.")
    watched: list[str] = []

    async def watch() -> None:
        async for event in run.events():
            watched.append(event.type)

    watching = asyncio.create_task(watch())
    await model.asked.wait()
    await run.cancel("no longer needed")
    async with asyncio.timeout(20):
        await watching

    assert (watched[0], watched[-1]) == ("run.started", "run.cancelled")
    assert (await run.result()).state == RunState.CANCELLED
