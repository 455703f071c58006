"""A provider that is down is left alone, and one that only refuses is not."""

import asyncio

import pytest
from hand_clock import HandClock

from treadle import RetryPolicy
from treadle.actors.circuit import Circuits
from treadle.actors.model_errors import (
    AuthenticationError,
    BadReply,
    CircuitOpen,
    ConnectionFailed,
    ModelError,
    ModelTimeout,
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


def call(
    circuits: Circuits, *errors: BaseException | None, endpoint: str = "here", policy: RetryPolicy = POLICY
) -> None:
    """One call after the other, each with this end."""
    for error in errors:
        try:
            with circuits.passing("here", policy):
                if error is not None:
                    raise error
        except BaseException as exc:
            if exc is not error:
                raise


def refused(circuits: Circuits, endpoint: str = "here", policy: RetryPolicy = POLICY) -> CircuitOpen | None:
    """Why nothing is sent there, if that is so. Asking is no call that tells anything."""
    try:
        with circuits.passing(endpoint, policy):
            raise asyncio.CancelledError
    except CircuitOpen as exc:
        return exc
    except asyncio.CancelledError:
        return None


@pytest.mark.parametrize("error", [DOWN, OverloadedError(""), ConnectionFailed(""), ModelTimeout("")])
def test_so_many_failures_one_after_the_other_open_it(circuits: Circuits, error: ModelError) -> None:
    call(circuits, error, error)
    assert refused(circuits) is None
    call(circuits, error)
    assert refused(circuits) is not None


def test_an_answer_between_them_begins_the_count_anew(circuits: Circuits) -> None:
    call(circuits, DOWN, DOWN, None, DOWN, DOWN)
    assert refused(circuits) is None


@pytest.mark.parametrize("error", [RateLimitError(""), AuthenticationError(""), BadReply("")])
def test_a_refusal_tells_that_the_provider_is_up(circuits: Circuits, error: ModelError) -> None:
    call(circuits, DOWN, DOWN, error, DOWN, DOWN)
    assert refused(circuits) is None


@pytest.mark.parametrize("error", [ModelError("?"), asyncio.CancelledError(), ValueError("a bug")])
def test_what_tells_nothing_of_the_provider_is_not_counted(circuits: Circuits, error: BaseException) -> None:
    call(circuits, *[error] * 5)
    assert refused(circuits) is None
    call(circuits, DOWN, DOWN, error, DOWN)
    assert refused(circuits) is not None


def test_it_says_when_the_next_call_may_try(circuits: Circuits, clock: HandClock) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    clock.move(20)
    found = refused(circuits)
    assert found is not None
    assert found.retry_after_s == 40
    assert "failed 3 times" in str(found)


def test_then_one_call_tries_and_the_others_still_wait(circuits: Circuits, clock: HandClock) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    with circuits.passing("here", POLICY):
        assert refused(circuits) is not None
    assert refused(circuits) is None


def test_a_try_that_fails_leaves_it_open_for_as_long_again(circuits: Circuits, clock: HandClock) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    call(circuits, DOWN)
    clock.move(59)
    assert refused(circuits) is not None
    clock.move(1)
    call(circuits, None)
    assert refused(circuits) is None


def test_a_try_that_is_given_up_lets_the_next_one_try(circuits: Circuits, clock: HandClock) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    call(circuits, asyncio.CancelledError())
    call(circuits, None)
    assert refused(circuits) is None


def test_a_call_from_before_does_not_end_the_try_of_another(circuits: Circuits, clock: HandClock) -> None:
    """It comes back while the one that tries is still on its way: nobody else may try beside that."""
    before = circuits.passing("here", POLICY)
    before.__enter__()
    call(circuits, DOWN, DOWN, DOWN)
    clock.move(60)
    with circuits.passing("here", POLICY):
        assert before.__exit__(ValueError, ValueError("a bug"), None) is False
        assert refused(circuits) is not None


def test_each_endpoint_has_its_own(circuits: Circuits) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    assert refused(circuits, "there") is None


def test_a_policy_without_one_is_never_refused(circuits: Circuits) -> None:
    call(circuits, DOWN, DOWN, DOWN)
    assert refused(circuits, policy=RetryPolicy.disabled()) is None
    call(circuits, *[DOWN] * 9, policy=RetryPolicy.disabled())
