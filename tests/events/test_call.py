"""A call at a worker: it begins once an attempt, and ends once."""

import pytest

from treadle.events.call import Call, CallBegun, CallEnded, Superseded, begin, end, evolve
from treadle.events.event import Event


def fold(*events: Event) -> Call:
    state = Call()
    for event in events:
        evolve(state, event)
    return state


FIRST = CallBegun(tool="charge", attempt=1, owner="a")
SECOND = CallBegun(tool="charge", attempt=2, owner="b")
DONE = CallEnded(attempt=1, state="completed", output="charged")


def test_an_attempt_begins_once() -> None:
    assert begin("c", FIRST, fold()) == [FIRST]
    assert begin("c", FIRST, fold(FIRST)) == []


def test_a_later_attempt_begins_after_one_that_has_not_ended() -> None:
    assert begin("c", SECOND, fold(FIRST)) == [SECOND]


def test_a_call_that_has_ended_does_not_begin_again() -> None:
    assert begin("c", SECOND, fold(FIRST, DONE)) == []


@pytest.mark.parametrize("late", [FIRST, CallBegun(tool="charge", attempt=2, owner="c")])
def test_an_attempt_that_comes_after_a_later_one_or_that_another_has_must_not_begin(late: CallBegun) -> None:
    with pytest.raises(Superseded, match=f"attempt {late.attempt} at call 'c' comes too late: attempt 2 has begun"):
        begin("c", late, fold(FIRST, SECOND))


def test_a_call_ends_once_and_only_by_its_last_attempt() -> None:
    assert end(DONE, fold(FIRST)) == [DONE]
    assert end(DONE, fold(FIRST, DONE)) == []
    assert end(DONE, fold(FIRST, SECOND)) == []


def test_an_attempt_that_does_not_know_its_outcome_leaves_the_call_open() -> None:
    assert end(CallEnded(attempt=1, state="unknown", error="timed out"), fold(FIRST)) == []
