"""What a run is told while it goes on: taken by its next model call, once, and at the same place after a crash."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from cuts import RUN_ID, Noting, ending, fresh_node, opened, run
from members import Member
from msgspec import Struct
from paid_model import MOST, PaidModel
from thinking import Parts, asks_for
from turns import delegates
from waiting import until

from treadle import (
    Agent,
    FunctionModel,
    Message,
    QualityGate,
    RunContext,
    RunState,
    Steps,
    StopContext,
    System,
    Team,
    Tuning,
    tool,
)
from treadle.actors.result import RunResult
from treadle.actors.run_actor import SteerRun
from treadle.actors.strategies.plan_and_execute import PLANNER
from treadle.actors.strategies.react import react
from treadle.events.child_step import ChildRequested
from treadle.events.envelope import Recorded
from treadle.events.errors import ConfigError, NotFound
from treadle.events.model_step import ModelFailed, ModelRequested
from treadle.events.run import RunClosed
from treadle.events.steering import LONGEST_STEERING, OtherSteering, RunSteered
from treadle.gateways.node import Node
from treadle.gateways.run_handle import Run
from treadle.gateways.steering import NothingToSteer


class Desk:
    """Steers the run of this test, wherever it runs by now; as somebody who says it again when in doubt."""

    def __init__(self) -> None:
        self.node: Node | None = None

    async def steer(self, text: str, **how: Any) -> None:
        assert self.node is not None
        await self.node.host.run(RUN_ID).ask(SteerRun(text, f"id of {text}", "ann", **how))

    @property
    def look(self) -> Any:
        @tool(idempotent=True)
        async def look() -> str:
            """Look, while somebody steers."""
            await self.steer("Use euros.")
            return "100 dollars"

        return look


class Story:
    """A model that says one thing after the other, by how often it has spoken; what it is told does not count."""

    def __init__(self, *turns: Any) -> None:
        self.asked: list[Sequence[Message]] = []
        self._turns = turns
        self.model = FunctionModel(self._answer)

    def _answer(self, messages: Sequence[Message], _: object) -> Any:
        self.asked.append(list(messages))
        return self._turns[sum(message.role == "assistant" for message in messages)]


class Life(Struct):
    """What came of a run that was cut after some event, and of its journal."""

    result: RunResult
    events: Sequence[Recorded]

    def all_of(self, kind: type[Any]) -> list[Any]:
        return [recorded.event for recorded in self.events if isinstance(recorded.event, kind)]


async def lives(make: Callable[[Desk], Agent]) -> AsyncGenerator[Life]:
    """The whole life of a run, then one for each append of it: cut after that, gone on with by another process."""
    journal, desk = Noting(), Desk()
    async with opened(journal) as desk.node:
        result = await run(desk.node, make(desk).spec, "what is it?")
        whole = await journal.read_all(limit=10_000)
    yield Life(result, whole)
    for cut in journal.cuts:
        async with fresh_node(whole[:cut]) as desk.node:
            result = await run(desk.node, make(desk).spec, "what is it?")
            yield Life(result, await desk.node.journal.read_all(limit=10_000))


async def told_the_same_in_all(make: Callable[[Desk], Agent]) -> Life:
    """The whole life, when each cut one was told the same, once, at the same steps, and ended so too."""
    whole: Life | None = None
    async for life in lives(make):
        whole = whole or life
        assert ending(life.result) == ending(whole.result)
        assert life.all_of(RunSteered) == whole.all_of(RunSteered)
        assert _asked(life) == _asked(whole)
    assert whole is not None
    return whole


def _asked(life: Life) -> dict[str, tuple[str, int]]:
    return {asked.step: (asked.digest, asked.steered) for asked in life.all_of(ModelRequested)}


def said(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages if message.role != "system"]


# --- where it is taken ---


async def test_a_steering_is_a_message_before_the_next_model_call_and_stays_there_after_each_crash() -> None:
    story = Story(asks_for("look"), asks_for("other"), "92 euros")

    @tool
    async def other() -> str:
        """Another one."""
        return "92"

    def make(desk: Desk) -> Agent:
        return Agent("Work.", model=story.model, tools=[desk.look, other])

    whole = await told_the_same_in_all(make)
    assert (whole.result.output, whole.result.unheard) == ("92 euros", [])
    assert [event.by for event in whole.all_of(RunSteered)] == ["ann"]
    assert said(story.asked[1]) == [
        ("user", "what is it?"), ("assistant", ""), ("tool", "100 dollars"), ("user", "Use euros."),
    ]  # fmt: skip
    assert said(story.asked[2])[:4] == said(story.asked[1])
    assert [asked.steered for asked in whole.all_of(ModelRequested)] == [0, 1, 1]


async def test_an_answer_that_was_given_without_a_steering_is_gone_on_from() -> None:
    def make(desk: Desk) -> Agent:
        async def late(steps: Steps) -> str:
            answer = await react(steps)
            await steps.value("told", lambda: desk.steer("Use euros."))
            return answer

        def answer(messages: Sequence[Message], _: object) -> str:
            return "in euros" if messages[-1].content == "Use euros." else "in dollars"

        return Agent(model=FunctionModel(answer), architecture=late)

    whole = await told_the_same_in_all(make)
    assert (whole.result.output, whole.result.turns, whole.result.unheard) == ("in euros", 2, [])


async def test_gates_look_at_the_answer_to_a_late_steering_from_the_beginning() -> None:
    seen: list[tuple[str, int]] = []

    def make(desk: Desk) -> Agent:
        def hook(context: StopContext) -> str | None:
            seen.append((context.output, context.iteration))
            return "Longer." if context.iteration == 0 else None

        async def judge(context: StopContext) -> bool:
            if context.output == "2":  # the hook is content: it is the last that is asked
                await desk.steer("Use euros.")
            return True

        story = Story("1", "2", "3", "4")
        tuning = Tuning(max_stop_hook_iterations=1)
        return Agent(model=story.model, stop_hooks=[hook], quality=QualityGate(evaluator=judge), tuning=tuning)

    whole = await told_the_same_in_all(make)
    assert (whole.result.output, whole.result.turns) == ("4", 4)
    assert seen[:4] == [("1", 0), ("2", 1), ("3", 0), ("4", 1)]


async def test_a_call_that_is_cut_short_is_asked_anew_after_each_crash_too() -> None:
    def make(desk: Desk) -> Agent:
        async def answer(messages: Sequence[Message], _: object) -> str:
            if messages[-1].content != "Hurry.":
                await desk.steer("Hurry.", now=True)
                await asyncio.Event().wait()
            return "done"

        return Agent(model=FunctionModel(answer))

    whole = await told_the_same_in_all(make)
    assert whole.result.output == "done"
    assert [failed.kind for failed in whole.all_of(ModelFailed)] == ["steered"]


async def test_what_was_told_before_is_told_at_once_when_somebody_says_so() -> None:
    async def answer(messages: Sequence[Message], _: object) -> str:
        if messages[-1].content == "go":
            for now in (False, True):
                await desk.steer("Hurry.", now=now)
            await asyncio.Event().wait()
        await desk.steer("Hurry.", now=True)  # it is shown it: nothing is cut short
        return "done"

    desk = Desk()
    async with System(journal="memory") as system:
        desk.node = system.node
        agent = system.host(Agent(model=FunctionModel(answer)), "desk")
        result = await agent.run("go", RunContext(run_id=RUN_ID))
        events = [recorded.event for recorded in await system.journal.read(f"run-{RUN_ID}")]
    assert (result.output, result.turns) == ("done", 2)
    assert [event.kind for event in events if isinstance(event, ModelFailed)] == ["steered"]


async def test_a_planner_s_next_step_has_the_steering_before_what_it_is_asked() -> None:
    desk, model = Desk(), Parts({PLANNER[:20]: '["first", "second", "third"]', "": "done"})
    async with System(journal="memory") as system:
        desk.node = system.node

        async def plays(messages: Sequence[Message], tools: Any) -> Any:
            if model.total == 1:
                await desk.steer("Use euros.")
            return await FunctionModel(model._play).complete(messages, tools=tools)  # pyright: ignore[reportPrivateUsage]

        agent = system.host(Agent(model=FunctionModel(plays), architecture="plan-and-execute"), "desk")
        result = await agent.run("what is it?", RunContext(run_id=RUN_ID))
    assert (result.turns, result.unheard) == (5, [])
    for _, messages in model.seen[2:]:
        assert said(messages)[-2] == ("user", "Use euros.")
        assert [message.content for message in messages].count("Use euros.") == 1


# --- teams ---


async def test_a_lead_hears_it_at_its_next_turn_and_a_worker_that_it_is_for_hears_it_alone() -> None:
    desk, lead = Desk(), Story(delegates(writer="write"), "done")

    @tool
    async def look() -> str:
        """Somebody steers meanwhile."""
        await desk.steer("For the lead.")
        await desk.steer("For the writer.", to="writer")
        with pytest.raises(NotFound, match=f"waits for writer .{RUN_ID}"):
            await desk.steer("For nobody.", to="poet")
        return "seen"

    worker = Story(asks_for("look"), "written")
    async with System(journal="memory") as system:
        desk.node = system.node
        writer = Agent(model=worker.model, tools=[look])
        team = system.host(Team.supervisor({"writer": writer}, model=lead.model), "lead")
        result = await team.run("write", RunContext(run_id=RUN_ID))
    assert result.output == "done"
    assert said(lead.asked[-1])[-1] == ("user", "For the lead.")
    assert said(worker.asked[-1])[-1] == ("user", "For the writer.")
    assert "For the writer." not in str(lead.asked)
    assert "For the lead." not in str(worker.asked)


async def test_a_team_without_a_lead_puts_it_into_its_next_question() -> None:
    desk, second = Desk(), Member("second")

    async def tells(messages: Sequence[Message], _: object) -> str:
        await desk.steer("Use euros.")
        return "first"

    async def relay(steps: Steps) -> str:
        await steps.agent(Agent(model=FunctionModel(tells)), steps.prompt, role="one")
        return (await steps.agent(second.agent, "Go on.", role="two")).output

    async with System(journal="memory") as system:
        desk.node = system.node
        agent = system.host(Agent(model="echo", architecture=relay), "relay")
        result = await agent.run("what?", RunContext(run_id=RUN_ID))
        asked = [event.event for event in await system.journal.read(f"run-{RUN_ID}")]
    assert second.prompts == ["Go on.\n\nUse euros."]
    assert [event.steered for event in asked if isinstance(event, ChildRequested)] == [0, 1]
    assert result.unheard == []


async def test_what_nobody_could_take_up_any_more_is_in_the_result() -> None:
    desk = Desk()

    async def tells(messages: Sequence[Message], _: object) -> str:
        await desk.steer("Use euros.")
        return "first"

    async def relay(steps: Steps) -> str:
        return (await steps.agent(Agent(model=FunctionModel(tells)), steps.prompt, role="one")).output

    async with System(journal="memory") as system:
        desk.node = system.node
        agent = system.host(Agent(model="echo", architecture=relay), "relay")
        result = await agent.run("what?", RunContext(run_id=RUN_ID))
    assert (result.output, [each.text for each in result.unheard]) == ("first", ["Use euros."])


# --- at once ---


async def test_a_model_call_that_is_cut_short_is_charged_and_a_tool_comes_to_its_end() -> None:
    desk, waits, ended = Desk(), asyncio.Event(), list[str]()

    async def long() -> str:
        waits.set()
        await asyncio.Event().wait()
        raise AssertionError

    model = PaidModel(long, "done")
    async with System(journal="memory") as system:
        desk.node = system.node
        agent = system.host(Agent(model=model), "desk")
        running = asyncio.create_task(agent.run("what?", RunContext(run_id=RUN_ID)))
        await waits.wait()
        await desk.steer("Hurry.", now=True)
        result = await running
        assert (result.output, result.turns) == ("done", 2)
        assert result.estimated == MOST
        assert (model.asked, model.under_way) == (2, 0)

        @tool
        async def look() -> str:
            """Look, while somebody steers."""
            await system.node.host.run("tools").ask(SteerRun("Hurry.", "1", now=True))
            ended.append("look")
            return "seen"

        steered = system.host(Agent(model=Story(asks_for("look"), "done").model, tools=[look]), "looks")
        assert (await steered.run("what?", RunContext(run_id="tools"))).output == "done"
    assert ended == ["look"]


# --- runs that do not go on just now ---


async def test_a_run_that_waits_for_an_approval_takes_it_up_when_it_goes_on() -> None:
    wiped: list[str] = []

    @tool(destructive=True)
    async def wipe() -> str:
        """Wipe."""
        wiped.append("x")
        return "wiped"

    def answer(messages: Sequence[Message], _: object) -> Any:
        return messages[-1].content if messages[-1].role == "user" and len(messages) > 1 else asks_for("wipe")

    async with System(journal="memory") as system:
        agent = system.host(Agent(model=FunctionModel(answer), tools=[wipe], approval_handler="wait"), "desk")
        session = agent.session("s", user_id="ann")
        waiting = await session.run("go")
        assert waiting.state == RunState.WAITING
        assert await session.steer("Only once.", id="1") == "1"
        assert await agent.steer(waiting.run_id, "Only once.", id="1") == "1"
        run = Run(system.node, waiting.run_id)
        assert [each.text for each in (await run.result()).unheard] == ["Only once."]
        await session.approve(waiting.waiting_for[0].call_id)
        assert (await run.wait()).output == "Only once."
        steered = [event for event in await run.transcript() if event.type == "run.steered"]
        assert [(event.payload["by"], event.payload["steering_id"]) for event in steered] == [("ann", "1")]
        with pytest.raises(NothingToSteer, match="no run going on"):
            await agent.steer(text="more", session_id="s", user_id="ann")
    assert wiped == ["x"]


async def test_a_run_that_was_left_stays_so_and_takes_it_up_when_it_is_resumed() -> None:
    begun, shown = asyncio.Event(), list[Sequence[Message]]()

    async def answer(messages: Sequence[Message], _: object) -> str:
        shown.append(list(messages))
        if len(shown) == 1:
            begun.set()
            await asyncio.Event().wait()
        return "done"

    async with System(journal="memory") as system:
        agent = system.host(Agent(model=FunctionModel(answer)), "desk")
        running = asyncio.create_task(agent.run("go", session_id="s"))
        await begun.wait()
        running.cancel()
        await asyncio.wait((running,))
        for _ in range(2):
            await agent.steer(text="Use euros.", session_id="s", id="1")
        [row] = [recorded async for recorded in open_runs(system)]
        left = await Run(system.node, row).result()
        assert (left.state, [each.text for each in left.unheard]) == (RunState.INTERRUPTED, ["Use euros."])
        assert len(shown) == 1
        result = await agent.resume("s")
    # The call that was going on is repeated as it was, and its answer is not the last word.
    assert (result.output, result.turns, result.unheard) == ("done", 2, [])
    assert said(shown[1]) == [("user", "go")]
    assert said(shown[2]) == [("user", "go"), ("assistant", "done"), ("user", "Use euros.")]


async def open_runs(system: System) -> AsyncGenerator[str]:
    await system.projections.catch_up()
    for row in await system.projections.runs.open_runs():
        yield row.run_id


async def test_a_run_that_has_not_begun_is_waited_for() -> None:
    gates, shown = {"Use pounds.": asyncio.Event(), "second": asyncio.Event()}, list[str]()

    async def answer(messages: Sequence[Message], _: object) -> str:
        shown.append(messages[-1].content)
        await gates.get(shown[-1], asyncio.Event() if shown[-1] == "first" else gates["second"]).wait()
        return "done"

    async with System(journal="memory") as system:
        session = system.host(Agent(model=FunctionModel(answer)), "desk").session("s")
        first, second = await session.start("first"), await session.start("second")
        await until(lambda: shown == ["first"])
        steering = asyncio.create_task(second.steer("Use euros."))
        await first.steer("Use pounds.", now=True)
        await until(lambda: shown == ["first", "Use pounds."])
        gates["Use pounds."].set()
        await steering
        gates["second"].set()
        await second.wait()
        assert (await second.result()).unheard == []
    assert shown[-1] == "Use euros."


# --- what is refused ---


async def test_what_cannot_be_told_is_refused_and_says_why() -> None:
    async with System(journal="memory") as system:
        agent = system.host(Agent(model="echo"), "desk")
        run = Run(system.node, (await agent.run("go", session_id="s")).run_id)
        for text in ("", " \n", 7, "x" * (LONGEST_STEERING + 1)):
            with pytest.raises(ConfigError, match="text"):
                await run.steer(text)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="now"):
            await run.steer("Use euros.", now="yes")  # type: ignore[arg-type]
        with pytest.raises(RunClosed, match=r"has ended .completed."):
            await run.steer("Use euros.")
        with pytest.raises(RunClosed, match=r"has ended .completed."):
            await run.steer("Use euros.", to="writer")
        with pytest.raises(NotFound, match="nowhere"):
            await agent.steer("nowhere", "Use euros.")
        with pytest.raises(ConfigError, match="run_id or a session_id"):
            await agent.steer(text="Use euros.")
        version = len(await run.transcript())
        assert version == len([event async for event in run.events()])


async def test_nobody_steers_the_run_of_another_user_by_its_id() -> None:
    begun = asyncio.Event()

    async def answer(messages: Sequence[Message], _: object) -> str:
        begun.set()
        if messages[-1].content == "go":
            await asyncio.Event().wait()
        return "done"

    async with System(journal="memory") as system:
        agent = system.host(Agent(model=FunctionModel(answer)), "desk")
        run = await agent.session("s", user_id="ann").start("go")
        await begun.wait()
        for user_id in ("mallory", ""):
            with pytest.raises(NotFound, match=f"no run {run.id!r}; user {user_id!r} has none of this id"):
                await agent.steer(run.id, "Spend more.", user_id=user_id, now=True)
        await agent.steer(run.id, "Use euros.", user_id="ann", now=True)
        await run.wait()
        steered = [event.payload for event in await run.transcript() if event.type == "run.steered"]
    assert [(each["text"], each["by"]) for each in steered] == [("Use euros.", "ann")]


async def test_one_id_is_one_steering() -> None:
    desk, told = Desk(), list[str]()

    async def answer(messages: Sequence[Message], _: object) -> str:
        handle = Run(system.node, RUN_ID)
        if not told:
            told.append(await handle.steer("Use euros.", id="1"))
            told.append(await handle.steer("Use euros.", id="1"))
            with pytest.raises(OtherSteering, match="something else as '1'"):
                await handle.steer("Use pounds.", id="1")
        return "done"

    async with System(journal="memory") as system:
        desk.node = system.node
        agent = system.host(Agent(model=FunctionModel(answer)), "desk")
        result = await agent.run("go", RunContext(run_id=RUN_ID))
        events = [recorded.event for recorded in await system.journal.read(f"run-{RUN_ID}")]
    assert told == ["1", "1"]
    assert result.turns == 2
    assert sum(isinstance(event, RunSteered) for event in events) == 1
