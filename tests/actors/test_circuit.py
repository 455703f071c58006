"""A provider that is down is left alone, and one that only refuses is not."""

import asyncio

import pytest
from hand_clock import HandClock
from paid_model import PaidModel, for_ever
from waiting import until

from treadle import Agent, RetryPolicy, Run, RunResult, RunState, System
from treadle.actors.circuit import Circuits, is_fault
from treadle.actors.model_errors import (
    AuthenticationError,
    BadReply,
    CircuitOpen,
    ConnectionFailed,
    ModelError,
    ModelTimeout,
    OutOfTime,
    OverloadedError,
    RateLimitError,
    ServerError,
)

POLICY = RetryPolicy(circuit_open_after=3, circuit_reset_after_s=60)
DOWN = ServerError("500")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def circuits(clock: HandClock) -> Circuits:
    return Circuits(clock)


async def call(
    circuits: Circuits, *errors: BaseException | None, endpoint: str = "here", policy: RetryPolicy = POLICY
) -> None:
    """One call after the other, each of one attempt with this end."""
    for error in errors:
        try:
            async with circuits.passing("here", policy):
                if error is not None:
                    raise error
        except BaseException as exc:
            if exc is not error:
                raise
            if is_fault(exc):
                circuits.given_up("here", policy)


async def refused(circuits: Circuits, endpoint: str = "here", policy: RetryPolicy = POLICY) -> CircuitOpen | None:
    """Why nothing is sent there, if that is so. Asking is no call that tells anything."""
    try:
        async with circuits.passing(endpoint, policy):
            raise asyncio.CancelledError
    except CircuitOpen as exc:
        return exc
    except asyncio.CancelledError:
        return None


@pytest.mark.parametrize("error", [DOWN, OverloadedError(""), ConnectionFailed(""), ModelTimeout("")])
async def test_so_many_failures_one_after_the_other_open_it(circuits: Circuits, error: ModelError) -> None:
    await call(circuits, error, error)
    assert await refused(circuits) is None
    await call(circuits, error)
    assert await refused(circuits) is not None


async def test_an_answer_between_them_begins_the_count_anew(circuits: Circuits) -> None:
    await call(circuits, DOWN, DOWN, None, DOWN, DOWN)
    assert await refused(circuits) is None


@pytest.mark.parametrize("error", [RateLimitError(""), AuthenticationError(""), BadReply("")])
async def test_a_refusal_tells_that_the_provider_is_up(circuits: Circuits, error: ModelError) -> None:
    await call(circuits, DOWN, DOWN, error, DOWN, DOWN)
    assert await refused(circuits) is None


@pytest.mark.parametrize("error", [ModelError("?"), asyncio.CancelledError(), ValueError("a bug")])
async def test_what_tells_nothing_of_the_provider_is_not_counted(circuits: Circuits, error: BaseException) -> None:
    await call(circuits, *[error] * 5)
    assert await refused(circuits) is None
    await call(circuits, DOWN, DOWN, error, DOWN)
    assert await refused(circuits) is not None


async def test_it_says_when_the_next_call_may_try(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(20)
    found = await refused(circuits)
    assert found is not None
    assert found.retry_after_s == 40
    assert "failed 3 times" in str(found)


async def test_then_one_call_tries_and_the_others_wait_for_its_end(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    passed: list[int] = []

    async def ask(number: int) -> None:
        async with circuits.passing("here", POLICY):
            passed.append(number)
            await clock.sleep(1)

    async with asyncio.TaskGroup() as asking:
        for number in range(3):
            asking.create_task(ask(number))
        await until(lambda: clock.sleepers == 1)
        assert passed == [0]
        clock.move(1)
        await until(lambda: clock.sleepers == 2)
        clock.move(1)
    assert passed == [0, 1, 2]


async def test_a_try_that_fails_leaves_it_open_for_as_long_again(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    await call(circuits, DOWN)
    clock.move(59)
    assert await refused(circuits) is not None
    clock.move(1)
    await call(circuits, None)
    assert await refused(circuits) is None


async def test_a_try_that_fails_counts_as_one_failure(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    await call(circuits, DOWN)
    assert "failed 4 times" in str(await refused(circuits))


async def test_a_try_that_fails_leaves_it_open_though_its_call_goes_on(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    with pytest.raises(ServerError):
        async with circuits.passing("here", POLICY):
            raise DOWN
    assert "failed 3 times" in str(await refused(circuits))


async def test_a_try_that_is_given_up_lets_the_next_one_try(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    await call(circuits, asyncio.CancelledError())
    await call(circuits, None)
    assert await refused(circuits) is None


async def test_a_try_that_takes_all_its_time_leaves_it_open_for_as_long_again(
    circuits: Circuits, clock: HandClock
) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    async with asyncio.TaskGroup() as asking:
        waiting: list[asyncio.Task[CircuitOpen | None]] = []
        with pytest.raises(OutOfTime):
            async with circuits.passing("here", POLICY):
                waiting += [asking.create_task(refused(circuits)) for _ in range(3)]
                await asyncio.sleep(0)
                raise OutOfTime("not within 1 s")
    found = [task.result() for task in waiting]
    assert [each.retry_after_s for each in found if each is not None] == [60, 60, 60]


async def test_a_call_waits_for_the_try_of_another_no_longer_than_it_may(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    async with circuits.passing("here", POLICY):
        with pytest.raises(CircuitOpen, match="another call is just trying it"):
            async with circuits.passing("here", POLICY, wait_s=0.01):
                pytest.fail("two calls try at once")


async def test_a_call_that_can_be_made_elsewhere_does_not_wait(circuits: Circuits, clock: HandClock) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    async with circuits.passing("here", POLICY):
        waiting = circuits.passing("here", POLICY, elsewhere=lambda _: True)
        with pytest.raises(CircuitOpen):
            await waiting.__aenter__()  # a time-out of the suite ends it if it waits
    async with circuits.passing("here", POLICY, elsewhere=lambda _: True):
        pass


async def test_a_call_from_before_does_not_end_the_try_of_another(circuits: Circuits, clock: HandClock) -> None:
    """It comes back while the one that tries is still on its way: nobody else may try beside that."""
    before = circuits.passing("here", POLICY)
    await before.__aenter__()
    await call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    async with circuits.passing("here", POLICY):
        assert await before.__aexit__(ValueError, ValueError("a bug"), None) is False
        third = asyncio.create_task(call(circuits, None))
        await asyncio.sleep(0)
        assert not third.done()
    await third


async def test_a_call_that_has_waited_for_its_next_attempt_is_let_pass(circuits: Circuits) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    async with circuits.passing("here", POLICY, again=True):
        pass
    assert await refused(circuits) is None


async def test_attempts_that_are_followed_by_others_do_not_count(circuits: Circuits) -> None:
    for _ in range(9):
        with pytest.raises(ServerError):
            async with circuits.passing("here", POLICY):
                raise DOWN
    assert await refused(circuits) is None


async def test_the_impatience_of_one_agent_does_not_count(circuits: Circuits) -> None:
    await call(circuits, *[OutOfTime("not within 0.05 s")] * 9)
    assert await refused(circuits) is None


async def test_each_endpoint_has_its_own(circuits: Circuits) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    assert await refused(circuits, "there") is None


async def test_a_policy_without_one_is_never_refused(circuits: Circuits) -> None:
    await call(circuits, DOWN, DOWN, DOWN)
    assert await refused(circuits, policy=RetryPolicy.disabled()) is None
    await call(circuits, *[DOWN] * 9, policy=RetryPolicy.disabled())


# --- runs ------------------------------------------------------------------------------------------------------------

ONE_TRY = RetryPolicy(max_attempts=1, circuit_open_after=1, circuit_reset_after_s=60)


async def settled(*runs: Run) -> list[RunResult]:
    return list(await asyncio.gather(*[run.wait() for run in runs]))


async def test_runs_beside_one_that_tries_ask_their_other_model_at_once(clock: HandClock) -> None:
    model = PaidModel(DOWN, for_ever, alternatives=[PaidModel("Here.", name="spare")])
    async with System(clock=clock) as system:
        desk = system.host(Agent(model=model, retry_policy=ONE_TRY), name="desk")
        await desk.run("Hello?")
        clock.move(60)
        tries = await desk.session("tries").start("Hello?")
        await until(lambda: model.under_way == 1)
        beside = await settled(*[await desk.session(f"{number}").start("Hello?") for number in range(3)])
        assert [(result.state, result.output) for result in beside] == [(RunState.DEGRADED, "Here.")] * 3
        assert model.asked == 2
        await tries.cancel()


async def test_runs_that_wait_for_one_that_tries_end_with_it_when_it_hangs(clock: HandClock) -> None:
    model = PaidModel(DOWN, for_ever)
    async with System(clock=clock) as system:
        desk = system.host(Agent(model=model, retry_policy=ONE_TRY, model_timeout_s=0.2), name="desk")
        await (await desk.session("first").start("Hello?")).wait()
        clock.move(60)
        tried, *waited = await settled(*[await desk.session(f"{number}").start("Hello?") for number in range(4)])
        assert tried.error_kind == "model:timeout"
        assert {result.error_kind for result in waited} == {"model:circuit_open"}
        assert model.asked == 2
