"""Which steps a strategy may leave out when it goes through what is recorded, and when it is told."""

import pytest

from treadle.actors.replay import MODEL, VALUE, Replay
from treadle.events.errors import ReplayDivergence
from treadle.events.model_step import ModelRequested
from treadle.events.run import Run, ValueRecorded, evolve
from treadle.events.tool_step import ApprovalRequested


def replay(*steps: str) -> Replay:
    """Of a run that has made a model call at each of these steps."""
    state = Run()
    for step in steps:
        evolve(state, ModelRequested(step=step, call_id=f"r_{step}", digest=""))
    return Replay("r", state)


def begin(replay: Replay, step: str) -> None:
    replay.begin([ValueRecorded(step=step, name="new", value=1)])


def in_no_order(_step: str, _new: str) -> bool:
    return True


@pytest.mark.parametrize(("recorded", "new"), [("3", "2"), ("1-2", "2"), ("2-1", "2"), ("2", "2-1"), ("2-2-1", "2-1")])
def test_a_new_step_cannot_come_beside_one_that_is_recorded_in_the_same_order(recorded: str, new: str) -> None:
    going = replay("1", recorded)
    going.asked("1", MODEL)
    with pytest.raises(ReplayDivergence, match=f"step '{recorded}': .* new step '{new}'"):
        begin(going, new)
    going.asked(recorded, MODEL)
    begin(going, new)


def test_of_branches_beside_one_another_either_may_be_slower() -> None:
    going = replay("1-0-1", "1-0-2")
    going.beside("1-", in_no_order)
    begin(going, "1-1-1")
    with pytest.raises(ReplayDivergence, match="step '1-0-1'"):
        begin(going, "1-0-3")
    with pytest.raises(ReplayDivergence, match="step '1-0-1'"):
        begin(going, "2")
    going.left("1-")
    begin(going, "2")
    going.end()


def test_a_question_to_somebody_is_a_new_step_and_a_further_attempt_is_none() -> None:
    going = replay("1", "2")
    going.begin([ModelRequested(step="1", call_id="r_1", digest="", attempt=2)])
    with pytest.raises(ReplayDivergence):
        going.begin([ApprovalRequested(step="3", call_id="r_3_0", tool="wipe", reason="destructive")])


def test_a_step_of_another_kind_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(ReplayDivergence, match="recorded a model call, asked for a value"):
        replay("1").asked("1", VALUE)


def test_whoever_ends_has_asked_for_everything_but_what_a_failure_has_left() -> None:
    going = replay("1", "name-1")
    with pytest.raises(ReplayDivergence, match=r"step '1': .* asked for the end of the run"):
        going.end()
    with pytest.raises(ReplayDivergence, match=r"step '1': .* asked for it broke"):
        going.end("it broke", failed=True)
    going.asked("1", MODEL)
    going.end("it broke", failed=True)
    with pytest.raises(ReplayDivergence, match="step 'name-1'"):
        going.end()
