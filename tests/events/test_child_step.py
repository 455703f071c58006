"""The agents that a run asks, and those that it makes up: each once, and nothing else in its place."""

import pytest

from treadle.events.child_step import (
    CannotSpawn,
    ChildEnded,
    ChildRequested,
    WorkerSpawned,
    end_child,
    request_child,
    spawn_worker,
)
from treadle.events.errors import ReplayDivergence
from treadle.events.event import Event
from treadle.events.message import Usage
from treadle.events.run import Run, ValueRecorded, evolve

ASKED = ChildRequested(step="2", call_id="r1_2_0", run_id="r1_2_0_probe", agent="probe", digest="d" * 16, role="probe")
ENDED = ChildEnded(call_id="r1_2_0", state="completed", output="7", usage=Usage(input_tokens=10))
CHECKER = WorkerSpawned(call_id="r1_1_0", role="checker", instructions="You check.")


def fold(*events: Event) -> Run:
    state = Run()
    for event in events:
        evolve(state, event)
    return state


def test_a_child_is_requested_once() -> None:
    assert request_child("r1", ASKED, fold()) == [ASKED]
    assert request_child("r1", ASKED, fold(ASKED)) == []


def test_another_question_in_the_place_of_a_child_diverges() -> None:
    other = ChildRequested(step="2", call_id="r1_2_0", run_id="r1_2_0_probe", agent="probe", digest="e" * 16)
    with pytest.raises(ReplayDivergence, match="probe asked dddd"):
        request_child("r1", other, fold(ASKED))
    with pytest.raises(ReplayDivergence, match="another kind of step"):
        request_child("r1", ASKED, fold(ValueRecorded(step="2", name="now", value="")))


def test_a_child_ends_once_and_what_it_used_counts_with_the_children() -> None:
    state = fold(ASKED)
    assert end_child(ENDED, state) == [ENDED]
    evolve(state, ENDED)
    assert end_child(ENDED, state) == []
    assert (state.usage, state.usage_of_children) == (Usage(), Usage(input_tokens=10))


def test_a_child_that_was_not_asked_does_not_end() -> None:
    assert end_child(ENDED, fold()) == []


def test_a_worker_is_spawned_once() -> None:
    assert spawn_worker(CHECKER, (), 5, fold()) == [CHECKER]
    assert spawn_worker(CHECKER, (), 5, fold(CHECKER)) == []


@pytest.mark.parametrize(
    ("role", "most", "why"),
    [("checker", 5, "a worker 'checker' already"), ("known", 5, "a worker 'known' already"), ("other", 1, "spawned 1")],
)
def test_a_worker_whose_role_is_taken_or_that_is_one_too_many_is_refused(role: str, most: int, why: str) -> None:
    spawned = WorkerSpawned(call_id="r1_1_1", role=role, instructions="You check.")
    with pytest.raises(CannotSpawn, match=why):
        spawn_worker(spawned, {"known"}, most, fold(CHECKER))
