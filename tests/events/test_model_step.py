from collections.abc import Iterable
from functools import reduce

import pytest

from treadle.events.errors import ReplayDivergence
from treadle.events.event import Event
from treadle.events.message import ModelReply, Usage
from treadle.events.model_step import ModelCompleted, ModelFailed, ModelRequested, request_model
from treadle.events.run import Run, RunStarted, ValueRecorded, evolve

STARTED = RunStarted(agent="support", prompt="Where is my parcel?", owner="host:1", model="echo")
MODEL = ModelRequested(step="1", call_id="r1_1", digest="d1")
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ModelReply(text="near", usage=Usage(input_tokens=7)))


def fold(events: Iterable[Event]) -> Run:
    return reduce(evolve, events, Run())


def test_a_model_call_that_was_never_asked_for_is_requested() -> None:
    given = fold([STARTED])
    events = request_model("r1", "1", "d1", given)
    assert events == [MODEL]


def test_a_model_call_that_has_its_answer_is_not_requested_again() -> None:
    given = fold([STARTED, MODEL, ANSWERED])
    events = request_model("r1", "1", "d1", given)
    assert events == []


def test_a_model_call_that_failed_for_good_is_not_requested_again() -> None:
    given = fold([STARTED, MODEL, ModelFailed(step="1", call_id="r1_1", error="no credit")])
    events = request_model("r1", "1", "d1", given)
    assert events == []


def test_a_model_call_without_an_outcome_is_attempted_again_under_its_id() -> None:
    given = fold([STARTED, MODEL])
    events = request_model("r1", "1", "d1", given)
    assert events == [ModelRequested(step="1", call_id="r1_1", digest="d1", attempt=2)]


def test_a_model_call_that_would_send_something_else_diverges() -> None:
    given = fold([STARTED, MODEL, ANSWERED])
    with pytest.raises(ReplayDivergence, match="recorded a model call with digest d1, asked for one with digest d2"):
        request_model("r1", "1", "d2", given)


def test_a_model_call_where_a_value_was_recorded_diverges() -> None:
    given = fold([STARTED, ValueRecorded(step="1", name="now", value=0)])
    with pytest.raises(ReplayDivergence, match=r"at step '1': recorded run\.value_recorded, asked for a model call"):
        request_model("r1", "1", "d1", given)


def test_attempts_at_one_call_are_one_turn() -> None:
    given = fold([STARTED, MODEL, *request_model("r1", "1", "d1", fold([STARTED, MODEL])), ANSWERED])
    assert (given.turns, given.usage.total_tokens) == (1, 7)
