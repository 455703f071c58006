"""What model calls cost: each attempt once, whatever happens to the run, and in all books the same."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paid_model import ANSWER_USAGE, MOST, Cut, PaidModel, Turn, for_ever
from recording import write
from waiting import until, until_asked

from treadle import Agent, Limits, ModelReply, RetryPolicy, Run, RunResult, RunState, System, Usage
from treadle.actors.budget import AskBudget
from treadle.actors.model_errors import (
    AuthenticationError,
    ConnectionFailed,
    OverloadedError,
    TruncatedAnswer,
)
from treadle.events.budget import Budget, Opened, Reserved, Settled, budget_stream
from treadle.events.event import Event
from treadle.events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested, usage_of
from treadle.events.run import RunStarted, run_stream

AT_ONCE = RetryPolicy(initial_delay_s=0, circuit_open_after=0)
PLENTY = Limits(max_tokens=1_000_000)
SCOPES = ("desk", "desk/alice")


def desk(model: PaidModel, **more: object) -> Agent:
    return Agent(model=model, retry_policy=AT_ONCE, budget=PLENTY, budget_per_user=Limits(max_tokens=500_000), **more)  # type: ignore[arg-type]


async def budget(system: System, scope: str = "desk") -> Budget:
    found: Budget = await system.node.host.budget(scope).ask(AskBudget())
    return found


async def check_books(system: System, *results: RunResult) -> None:
    """All that was charged is what the runs say, in each budget and each view, and nothing is held."""
    total = sum((charged(result) for result in results), Usage())
    for scope in SCOPES:
        found = await budget(system, scope)
        assert found.reserved == {}, scope
        same(found.used, total)
    await system.projections.catch_up()
    for result in results:
        row = await system.projections.runs.get(result.run_id)
        assert (row.tokens, row.state, row.turns) == (result.total_tokens, result.state, result.turns)
        assert row.cost_usd == pytest.approx(result.cost_usd)
        recorded = [each.event for each in await system.journal.read(run_stream(result.run_id))]
        same(
            sum(map(usage_of, [each for each in recorded if isinstance(each, ENDS)]), Usage()),
            charged(result),
        )
        assert recorded[-1].usage == charged(result)  # type: ignore[attr-defined]
    for view in await system.projections.budget.scopes():
        assert (view.used_tokens, view.reserved_tokens) == (total.total_tokens, 0)
    used = await system.projections.budget.usage(by=())
    assert sum(each.total_tokens for each in used) == total.total_tokens


ENDS = ModelCompleted | ModelAttemptFailed | ModelFailed


def charged(result: RunResult) -> Usage:
    return Usage(result.tokens_in, result.tokens_out, result.cached_tokens_in, cost_usd=result.cost_usd)


def same(one: Usage, other: Usage) -> None:
    assert (one.input_tokens, one.output_tokens) == (other.input_tokens, other.output_tokens)
    assert one.cost_usd == pytest.approx(other.cost_usd)


# --- whatever happens ------------------------------------------------------------------------------------------------

KNOWN = Usage(3, 1, cost_usd=0.04)
TURNS: list[Turn] = [
    "An answer.",
    OverloadedError("not sent"),
    ConnectionFailed("sent", may_be_charged=True),
    ConnectionFailed("sent, and known", usage=KNOWN),
    Cut("Half an ans", ConnectionFailed("cut")),
    TruncatedAnswer("half", may_be_charged=True),
    AuthenticationError("refused"),
    ValueError("a bug"),
    for_ever,
]


@st.composite
def models(draw: st.DrawFn) -> PaidModel:
    turns = st.lists(st.sampled_from(TURNS), min_size=1, max_size=4)
    spares = [PaidModel(*draw(turns), name=f"spare-{number}") for number in range(draw(st.integers(0, 2)))]
    return PaidModel(*draw(turns), alternatives=spares)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.booleans(), st.booleans())
def test_each_attempt_is_charged_once_or_given_back_however_the_run_ends(
    model: PaidModel, watched: bool, cancelled: bool
) -> None:
    async def live() -> None:
        async with System() as system:
            agent = system.host(desk(model, model_timeout_s=None if cancelled else 0.005), name="desk")
            async with asyncio.timeout(10):
                result = await one_run(system, agent)
                await check_books(system, result)

    async def one_run(system: System, agent: Agent) -> RunResult:
        if watched:
            seen = [event async for event in agent.stream("Hello?", user_id="alice")]
            return await Run(system.node, seen[-1].run_id).result()
        run = await agent.session("conv-1", user_id="alice").start("Hello?")
        ending = asyncio.ensure_future(run.wait())
        everybody = (model, *model.alternatives)
        await until(lambda: ending.done() or (cancelled and any(each.under_way for each in everybody)))
        if not ending.done():
            await run.cancel()
        return await ending

    if watched and cancelled:
        return  # whoever only watches cancels nothing
    asyncio.run(live())


# --- too little ------------------------------------------------------------------------------------------------------


async def test_a_budget_with_too_little_for_a_second_attempt_interrupts_the_run() -> None:
    async with System() as system:
        model = PaidModel(ConnectionFailed("cut", may_be_charged=True), "Here.")
        agent = Agent(model=model, retry_policy=AT_ONCE, budget=Limits(max_tokens=MOST.total_tokens + 100))
        result = await system.host(agent, name="desk").run("Hello?", user_id="alice")
        found = await budget(system)

    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "budget:max_tokens")
    assert (model.asked, result.total_tokens, result.estimated) == (1, MOST.total_tokens, MOST)
    assert (found.used.total_tokens, found.reserved) == (MOST.total_tokens, {})


async def test_a_call_that_waits_for_its_next_attempt_holds_nothing() -> None:
    async with System() as system:
        model = PaidModel(OverloadedError("busy"))
        slow = Agent(model=model, retry_policy=RetryPolicy(initial_delay_s=60, jitter=0), budget=PLENTY)
        run = await system.host(slow, name="desk").session("conv-1").start("Hello?")
        await until(lambda: model.asked == 1)

        async def holds_nothing() -> bool:
            return not (await budget(system)).reserved

        await until_asked(holds_nothing)
        await run.cancel()


# --- what was not sent -----------------------------------------------------------------------------------------------


class Preparing(PaidModel):
    """One that is never ready to be asked, or fails to be."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__("Here.")
        self._failure = failure
        self.begun = asyncio.Event()

    async def prepare(self) -> None:
        self.begun.set()
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()


async def check_costs_nothing(system: System, result: RunResult) -> None:
    await check_books(system, result)
    ends = [each.event for each in await system.journal.read(run_stream(result.run_id)) if isinstance(each.event, ENDS)]
    assert [(end.usage, end.estimated) for end in ends if not isinstance(end, ModelCompleted)] == [(Usage(), False)]


async def test_a_run_that_is_cancelled_while_its_model_prepares_itself_is_charged_nothing() -> None:
    async with System() as system:
        model = Preparing()
        run = await system.host(desk(model), name="desk").session("conv-1", user_id="alice").start("Hello?")
        await model.begun.wait()
        await run.cancel()
        await check_costs_nothing(system, await run.wait())
        assert model.asked == 0


async def test_a_model_that_fails_while_it_prepares_itself_is_charged_nothing() -> None:
    async with System() as system:
        run = (
            await system.host(desk(Preparing(ImportError("gone"))), name="desk")
            .session("c", user_id="alice")
            .start("?")
        )
        await check_costs_nothing(system, await run.wait())


async def test_a_run_that_is_cancelled_while_it_waits_for_the_try_of_another_is_charged_nothing() -> None:
    async with System() as system:
        model = PaidModel(OverloadedError("down"), for_ever)
        at_once = RetryPolicy(max_attempts=1, circuit_open_after=1, circuit_reset_after_s=0)
        agent = Agent(model=model, retry_policy=at_once, budget=PLENTY, budget_per_user=PLENTY)
        hosted = system.host(agent, name="desk")
        first = await hosted.session("conv-1", user_id="alice").start("Hello?")
        down = await first.wait()
        tries = await hosted.session("conv-2", user_id="alice").start("Hello?")
        await until(lambda: model.under_way == 1)
        waits = await hosted.session("conv-3", user_id="alice").start("Hello?")

        async def intends() -> bool:
            return (await system.journal.head(run_stream(waits.id))).version >= 2

        await until_asked(intends)
        await waits.cancel()
        await tries.cancel()
        assert model.asked == 2
        waited = await waits.wait()
        assert charged(waited) == Usage()
        await check_books(system, down, await tries.wait(), waited)


# --- whoever recorded it died ----------------------------------------------------------------------------------------


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with System(journal=f"sqlite:{tmp_path}/events.db") as opened:
        yield opened


def reserved(attempt: str) -> Reserved:
    return Reserved(
        call_id=attempt,
        run_id="r1",
        input_tokens=MOST.input_tokens,
        output_tokens=MOST.output_tokens,
        cost_usd=MOST.cost_usd,
    )


def settled(usage: Usage) -> Settled:
    return Settled(call_id="r1_1", usage=usage)


async def left_behind(system: System, run: list[Event], budget: list[Event]) -> None:
    """A run of a process that died after these events."""
    started = RunStarted(agent="desk", prompt="Hello?", owner="1:gone", model="paid")
    await write(system.journal, run_stream("r1"), started, *run, session_id="r1")
    for scope, limits in zip(SCOPES, (PLENTY, Limits(max_tokens=500_000)), strict=True):
        await write(system.journal, budget_stream(scope), Opened(limits=limits), *budget, run_id="r1", session_id="r1")


ASKED = ModelRequested(step="1", call_id="r1_1", digest="?", most=MOST)
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ModelReply("Here.", usage=ANSWER_USAGE))
FAILED = ModelAttemptFailed(step="1", call_id="r1_1", attempt=1, error="cut", kind="connection", usage=KNOWN)


@pytest.mark.parametrize(
    ("run", "held", "total"),
    [
        ([], [reserved("r1_1")], Usage()),
        ([ASKED], [reserved("r1_1")], MOST),
        ([ASKED, ANSWERED], [reserved("r1_1")], ANSWER_USAGE),
        ([ASKED, ANSWERED], [reserved("r1_1"), Settled(call_id="r1_1", usage=ANSWER_USAGE)], ANSWER_USAGE),
        (
            [ASKED, ANSWERED],
            [reserved("r1_1"), Settled(call_id="r1_1", usage=ANSWER_USAGE), reserved("r1_2")],
            ANSWER_USAGE,
        ),
        ([ASKED, FAILED], [reserved("r1_1")], KNOWN),
        ([ASKED, FAILED], [reserved("r1_1"), Settled(call_id="r1_1", usage=KNOWN), reserved("r1_1.2")], KNOWN),
        (
            [ASKED, ModelFailed(step="1", call_id="r1_1", error="", kind="connection")],
            [reserved("r1_1")],
            Usage(),
        ),
    ],
    ids=[
        "before its intent",
        "while it was under way",
        "between answer and settlement",
        "after the settlement",
        "before the next intent",
        "between failure and settlement",
        "before the intent of a second attempt",
        "between failure and release",
    ],
)
async def test_a_run_that_nobody_goes_on_with_is_squared_when_it_is_closed(
    system: System, run: list[Event], held: list[Event], total: Usage
) -> None:
    await left_behind(system, run, held)
    system.host(desk(PaidModel("Here.")), name="desk")
    result = await Run(system.node, "r1").cancel()
    assert result.state == RunState.CANCELLED
    assert charged(result) == total
    await check_books(system, result)
