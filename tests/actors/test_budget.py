"""Budgets hold across concurrent runs, are charged once, and give back what was not used."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hosting import WITHIN_S, Gate
from recording import write
from waiting import until

from treadle import (
    Agent,
    EchoModel,
    Fenced,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    RunState,
    System,
    ToolCall,
    ToolSpec,
    Unavailable,
    Usage,
    current_call,
)
from treadle.actors.budget import AskBudget, Budgets, Release
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.services import Scopes
from treadle.events.budget import Budget, Reserved, budget_stream
from treadle.events.envelope import Meta
from treadle.events.journal import Append
from treadle.events.run import RunTakenOver
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Submission, prepare

CAUSE = Meta(user_id="alice", run_id="run-1", causation_id="call-1")


async def spent(system: System, scope: str) -> Budget:
    found: Budget = await system.node.host.budget(scope).ask(AskBudget())
    return found


async def kinds(system: System, scope: str) -> list[str]:
    return [event.type.partition(".")[2] for event in await system.journal.read(f"budget-{scope}")]


async def test_a_cap_holds_for_twenty_runs_at_once() -> None:
    """Five tokens a run (L12)."""
    async with System() as system:
        desk = system.host(Agent(model="echo", budget=Limits(max_tokens=60)), name="desk")
        results = await asyncio.gather(*(desk.run("one two", user_id=f"user-{number}") for number in range(20)))
        states = [str(result.state) for result in results]
        assert (states.count("completed"), states.count("interrupted")) == (12, 8)
        assert {result.interruption_reason for result in results if result.interrupted} == {"budget:max_tokens"}
        budget = await spent(system, "desk")
        assert (budget.used.total_tokens, budget.reserved) == (60, {})
        assert budget.used.total_tokens == sum(result.total_tokens for result in results)


async def test_two_systems_share_one_cap(tmp_path: Path) -> None:
    journal = f"sqlite:{tmp_path}/events.db"
    async with System(journal=journal) as one, System(journal=journal) as two:
        desks = [system.host(Agent(model="echo", budget=Limits(max_tokens=60)), name="desk") for system in (one, two)]
        async with asyncio.timeout(WITHIN_S):
            results = await asyncio.gather(*(desks[number % 2].run("one two") for number in range(20)))
        assert sum(result.state == "completed" for result in results) == 12
        stored = await kinds(one, "desk")
        assert (stored.count("reserved"), stored.count("settled"), stored.count("opened")) == (12, 12, 1)


async def test_each_user_has_a_cap_of_their_own_beside_the_agents() -> None:
    async with System() as system:
        agent = Agent(model="echo", budget=Limits(max_tokens=15), budget_per_user=Limits(max_tokens=12))
        desk = system.host(agent, name="desk")
        ran = [(await desk.run("one two", user_id=user)).state for user in ("alice", "alice", "alice", "bob", "bob")]
        assert ran == ["completed", "completed", "interrupted", "completed", "interrupted"]
        assert (await spent(system, "desk")).used.total_tokens == 15
        assert (await spent(system, "desk")).reserved == {}


async def test_for_a_model_that_cannot_estimate_the_output_is_bounded_by_its_options_or_guessed() -> None:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        return ModelReply("yes", usage=Usage(5, 5))

    async with System() as system:
        for name, options, reserved in (
            ("guessed", {}, 1024),
            ("bounded", {"max_tokens": 50}, 50),
            ("unbounded", {"max_tokens": None}, 1024),
        ):
            caps = Limits(max_output_tokens=2000)
            agent = system.host(Agent(model=FunctionModel(answer), budget=caps, options=options), name=name)
            await agent.run("Go")
            events = [recorded.event for recorded in await system.journal.read(budget_stream(name))]
            assert [event.output_tokens for event in events if isinstance(event, Reserved)] == [reserved]
        caps = Limits(max_tokens=1000)
        refused = system.host(Agent(model=FunctionModel(answer), budget=caps), name="refused")
        assert (await refused.run("Go")).interruption_reason == "budget:max_tokens"
        allowed = Agent(model=FunctionModel(answer), budget=caps, options={"max_tokens": 200})
        assert (await system.host(allowed, name="allowed").run("Go")).output == "yes"


async def test_a_call_that_fails_gives_back_what_was_reserved() -> None:
    failing = True

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if failing:
            raise OSError("no model")
        return ModelReply("yes", usage=Usage(5, 5))

    async with System() as system:
        agent = Agent(model=FunctionModel(answer), budget=Limits(max_tokens=1100), options={"max_tokens": 1000})
        desk = system.host(agent, name="desk")
        for _ in range(5):
            with pytest.raises(Exception, match="no model"):
                await desk.run("Go")
        failing = False
        assert (await desk.run("Go")).output == "yes"
        budget = await spent(system, "desk")
        assert (budget.used.total_tokens, budget.reserved) == (10, {})


async def test_a_cancelled_run_gives_back_what_was_reserved() -> None:
    gate = Gate()
    async with System() as system:
        desk = system.host(Agent(model=gate.model, budget=Limits(max_tokens=5000)), name="desk")
        run = await desk.session("s").start("Go")
        await until(lambda: gate.waiting == 1)
        assert len((await spent(system, "desk")).reserved) == 1
        await run.cancel()
        assert (await spent(system, "desk")).reserved == {}


async def test_money_is_capped_too_and_a_warning_is_given_once() -> None:
    async with System() as system:
        model = EchoModel(cost_per_token=0.01)
        desk = system.host(Agent(model=model, budget=Limits(max_cost_usd=0.5)), name="desk")
        states = [str((await desk.run("one two three four")).state) for _ in range(10)]
        used = (await spent(system, "desk")).used
        assert "interrupted" in states
        assert used.cost_usd == pytest.approx(0.09 * states.count("completed"))
        assert (await kinds(system, "desk")).count("warned") <= 1


async def test_time_is_capped() -> None:
    async with System() as system:
        desk = system.host(Agent(model="echo", budget=Limits(max_wall_clock_s=0.000001)), name="desk")
        assert (await desk.run("one")).state == "completed"
        second = await desk.run("two")
        assert (second.state, second.interruption_reason) == ("interrupted", "budget:max_wall_clock_s")


class _Failing:
    """A host whose second scope cannot be reached."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.services = system.node.services

    def budget(self, scope: str) -> object:
        if scope == "broken":
            raise Unavailable("budget 'broken'", "on purpose")
        return self._system.node.host.budget(scope)


async def test_a_reservation_that_fails_half_way_holds_nothing() -> None:
    async with System() as system:
        scopes: Scopes = (("desk", Limits(max_tokens=100)), ("broken", Limits(max_tokens=100)))
        budgets = Budgets(_Failing(system))  # type: ignore[arg-type]  # pyright: ignore
        with pytest.raises(Unavailable):
            await budgets.reserve(scopes, "call-1", Usage(5, 5), CAUSE)
        assert (await spent(system, "desk")).reserved == {}
        assert await kinds(system, "desk") == ["opened", "reserved", "released"]


async def test_what_was_given_back_can_be_given_back_again_and_settled_never() -> None:
    async with System() as system:
        budgets = Budgets(system.node.host)
        scopes: Scopes = (("desk", Limits(max_tokens=100)),)
        await budgets.reserve(scopes, "call-1", Usage(5, 5), CAUSE)
        await budgets.reserve(scopes, "call-1", Usage(5, 5), CAUSE)
        assert list((await spent(system, "desk")).reserved.values()) == [
            Reserved(call_id="call-1", run_id="run-1", input_tokens=5, output_tokens=5)
        ]
        await budgets.settle(scopes, "call-1", Usage(3, 3), CAUSE)
        await budgets.settle(scopes, "call-1", Usage(3, 3), CAUSE)
        await system.node.host.budget("desk").ask(Release("call-1", "late", CAUSE))
        assert await kinds(system, "desk") == ["opened", "reserved", "settled"]
        assert (await spent(system, "desk")).used.total_tokens == 6


async def test_who_waited_for_room_holds_the_reservation_and_not_who_made_the_room() -> None:
    async with System() as system:
        budgets = Budgets(system.node.host)
        scopes: Scopes = (("desk", Limits(max_tokens=10)),)
        bob = Meta(user_id="bob", session_id="s", run_id="run-2", correlation_id="s", causation_id="call-2")
        await budgets.reserve(scopes, "call-1", Usage(5, 5), CAUSE)
        waiting = asyncio.create_task(budgets.reserve(scopes, "call-2", Usage(1, 1), bob))
        await system.node.host.budget("desk").ask(AskBudget())
        assert not waiting.done()
        await budgets.settle(scopes, "call-1", Usage(1, 1), CAUSE)
        await waiting
        await budgets.release(scopes, "call-2", "not needed", bob)
        told = [
            (event.type.partition(".")[2], event.user_id, event.session_id, event.run_id, event.causation_id)
            for event in await system.journal.read(budget_stream("desk"))
        ]
        alice_is, bob_is = ("alice", "", "run-1", "call-1"), ("bob", "s", "run-2", "call-2")
        assert told == [
            ("opened", *alice_is),
            ("reserved", *alice_is),
            ("warned", *alice_is),
            ("settled", *alice_is),
            ("reserved", *bob_is),
            ("released", *bob_is),
        ]


async def test_a_cap_on_money_holds_for_calls_that_go_on_at_once_and_cannot_say_what_they_cost() -> None:
    calls = 0

    async def dear(messages: object, tools: object) -> ModelReply:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return ModelReply("done", usage=Usage(1, 1, cost_usd=0.01))

    async with Agent("You cost.", model=FunctionModel(dear), budget=Limits(max_cost_usd=0.03)) as agent:
        results = await asyncio.gather(*(agent.run(f"call {number}") for number in range(30)))
    assert calls == sum(result.state == RunState.COMPLETED for result in results) == 3
    assert {result.interruption_reason for result in results if result.interrupted} == {"budget:max_cost_usd"}


async def test_calls_wait_for_what_others_have_set_aside_and_do_not_use() -> None:
    async def brief(messages: object, tools: object) -> ModelReply:
        await asyncio.sleep(0)
        return ModelReply("done", usage=Usage(1, 1))

    # Each sets aside more than a thousand tokens, as a model that cannot estimate does, and uses two.
    async with Agent("You are brief.", model=FunctionModel(brief), budget=Limits(max_tokens=2000)) as agent:
        results = await asyncio.gather(*(agent.run(f"call {number}") for number in range(10)))
    assert {result.state for result in results} == {RunState.COMPLETED}


class _LosesTheFirstRun(MemoryJournal):
    """Is not there when the first run begins, and comes back at once."""

    lost = False

    def submit(self, *appends: Append) -> Submission:
        if not self.lost and any(append.stream.startswith("run-") for append in appends):
            self.lost = True
            submission = prepare(appends, SYSTEM_CLOCK.new_ids)
            submission.fail(Unavailable("the journal", "on purpose"))
            return submission
        return super().submit(*appends)


async def test_a_run_that_was_never_stored_holds_nothing() -> None:
    async with System(journal=_LosesTheFirstRun()) as system:
        desk = system.host(Agent(model="echo", budget=Limits(max_tokens=1000)), name="desk")
        with pytest.raises(Unavailable):
            await desk.run("one two")
        await desk.run("one two")
        assert (await spent(system, "desk")).reserved == {}
        assert await kinds(system, "desk") == ["opened", "reserved", "settled", "time_spent"]


class _Pausing(MemoryJournal):
    """A journal whose owner was paused for so long that it may have been taken for dead."""

    paused_at = 0.0

    def holds(self, since: float) -> bool:
        return since >= self.paused_at


async def test_who_was_taken_over_while_it_slept_reserves_nothing_when_it_wakes() -> None:
    journal, turns = _Pausing(), list[str]()

    async def sleep() -> str:
        """Sleep, while somebody else takes the run over."""
        journal.paused_at = SYSTEM_CLOCK.monotonic()
        await write(journal, f"run-{current_call().run_id}", RunTakenOver(owner="somebody:2:else"))
        return "slept well"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        turns.append(messages[-1].role)
        return ModelReply("", (ToolCall("m1", "sleep", {}),)) if messages[-1].role == "user" else ModelReply("done")

    async with System(journal=journal) as system:
        agent = Agent(model=FunctionModel(answer), tools=[sleep], budget=Limits(max_tokens=5000))
        with pytest.raises(Fenced):
            await system.host(agent, name="desk").run("Sleep.")
        assert turns == ["user"]
        assert await kinds(system, "desk") == ["opened", "reserved", "settled"]
