"""How often a call is tried, and how long it waits in between, whatever the numbers are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import ConfigError, RetryPolicy

SECONDS = st.floats(0, 1e6)
CHANCE = st.floats(0, 1)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 5000)),
        initial_delay_s=draw(SECONDS),
        multiplier=draw(st.floats(0, 100)),
        max_delay_s=draw(SECONDS),
        jitter=draw(CHANCE),
        max_retry_after_s=draw(SECONDS),
    )


def failures(policy: RetryPolicy) -> st.SearchStrategy[int]:
    """How often a call has failed that is tried again."""
    return st.integers(1, max(policy.max_attempts - 1, 1))


@given(policies(), st.integers(0, 100), st.none() | SECONDS, CHANCE)
def test_after_the_last_attempt_there_is_none(
    policy: RetryPolicy, more: int, retry_after_s: float | None, chance: float
) -> None:
    assert policy.delay_s(policy.max_attempts + more, retry_after_s, chance) is None


@given(st.data(), policies(), SECONDS, CHANCE)
def test_nobody_comes_back_before_the_time_that_the_provider_said(
    data: st.DataObject, policy: RetryPolicy, retry_after_s: float, chance: float
) -> None:
    delay_s = policy.delay_s(data.draw(failures(policy)), retry_after_s, chance)
    if retry_after_s > policy.max_retry_after_s:
        assert delay_s is None
    elif delay_s is not None:
        assert delay_s >= retry_after_s


@given(st.data(), policies(), CHANCE)
def test_without_such_a_time_the_wait_is_between_the_part_that_is_certain_and_the_whole(
    data: st.DataObject, policy: RetryPolicy, chance: float
) -> None:
    failed = data.draw(failures(policy))
    delay_s, longest_s = policy.delay_s(failed, None, chance), policy.delay_s(failed, None, 0.0)
    if delay_s is None or longest_s is None:
        assert policy.max_attempts == 1
        return
    assert longest_s <= policy.max_delay_s
    assert longest_s * (1 - policy.jitter) * 0.999999 <= delay_s <= longest_s


@given(policies(), st.floats(1, 100), CHANCE)
def test_waits_never_get_shorter_from_one_attempt_to_the_next(
    policy: RetryPolicy, multiplier: float, chance: float
) -> None:
    growing = RetryPolicy(
        max_attempts=40, initial_delay_s=policy.initial_delay_s, multiplier=multiplier, max_delay_s=policy.max_delay_s
    )
    waits = [growing.delay_s(failed, None, chance) for failed in range(1, 40)]
    assert waits == sorted(wait for wait in waits if wait is not None)


def test_full_jitter_reaches_down_to_nothing_and_up_to_the_whole() -> None:
    policy = RetryPolicy(max_attempts=4, initial_delay_s=1, multiplier=2, max_delay_s=30)
    assert [policy.delay_s(failed, None, 1.0) for failed in (1, 2, 3)] == [0, 0, 0]
    assert [policy.delay_s(failed, None, 0.0) for failed in (1, 2, 3)] == [1, 2, 4]


@pytest.mark.parametrize("said", [-5.0, math.nan])
def test_a_time_that_makes_no_sense_is_no_time(said: float) -> None:
    policy = RetryPolicy(jitter=0)
    assert policy.delay_s(1, said, 0.0) == policy.initial_delay_s


def test_a_time_without_an_end_ends_the_call() -> None:
    assert RetryPolicy().delay_s(1, math.inf, 0.0) is None


def test_a_policy_without_retries_makes_one_attempt_and_opens_no_circuit() -> None:
    policy = RetryPolicy.disabled()
    assert policy.delay_s(1, 0.0, 0.0) is None
    assert policy.circuit_open_after == 0


@pytest.mark.parametrize(
    "field",
    [
        "initial_delay_s",
        "multiplier",
        "max_delay_s",
        "max_retry_after_s",
        "circuit_open_after",
        "circuit_reset_after_s",
    ],
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_policy_says_which_of_its_numbers_makes_no_sense(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("max_attempts", 0), ("jitter", 1.5), ("jitter", math.nan)])
def test_a_policy_that_makes_no_call_or_leaves_more_than_all_to_chance_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]
