from collections.abc import Iterable
from functools import reduce

import pytest

from treadle.events.errors import ReplayDivergence
from treadle.events.event import Event
from treadle.events.message import ModelReply, Usage
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import Run, RunStarted, evolve
from treadle.events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
    ToolStep,
    check_tool,
    request_tool,
)

STARTED = RunStarted(agent="support", prompt="Where is my parcel?", owner="host:1", model="echo")
MODEL = ModelRequested(step="1", call_id="r1_1", digest="d1")
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ModelReply(text="near", usage=Usage(input_tokens=7)))
TRACK = ToolRequested(step="1.0", call_id="c1", tool="track", args={"parcel": 7}, model_call_id="m1")
REFUND = ApprovalRequested(step="1.1", call_id="c2", tool="refund", reason="destructive", args={"usd": 9})


def fold(events: Iterable[Event]) -> Run:
    return reduce(evolve, events, Run())


def test_a_tool_call_that_was_never_asked_for_is_requested() -> None:
    given = fold([STARTED])
    events = request_tool("1.0", "c1", "track", {"parcel": 7}, "m1", given)
    assert events == [TRACK]


@pytest.mark.parametrize(
    "outcome",
    [
        ToolCompleted(call_id="c1"),
        ToolFailed(call_id="c1", error="raised"),
        ToolOutcomeUnknown(call_id="c1", reason="timed out"),
    ],
)
def test_a_tool_call_that_has_an_outcome_is_not_requested_again(outcome: Event) -> None:
    given = fold([STARTED, TRACK, outcome])
    events = request_tool("1.0", "c1", "track", {"parcel": 7}, "m1", given)
    assert events == []


def test_a_further_attempt_at_a_tool_call_keeps_the_call_id_and_counts() -> None:
    given = fold([STARTED, TRACK])
    (event,) = request_tool("1.0", "c1", "track", {"parcel": 7}, "m1", given)
    assert (event.call_id, event.attempt) == ("c1", 2)


def test_history_has_nothing_of_a_new_call() -> None:
    given = fold([STARTED, MODEL, ANSWERED])
    step = check_tool("r1", "1.0", "c1", "track", {"parcel": 7}, given)
    assert step == ToolStep()


def test_history_gives_back_the_outcome_of_a_call_however_often_it_is_asked() -> None:
    given = fold([STARTED, TRACK, ToolCompleted(call_id="c1", output="in Bern")])
    for _ in range(2):
        assert check_tool("r1", "1.0", "c1", "track", {"parcel": 7}, given).outcome == ToolCompleted("c1", "in Bern")


@pytest.mark.parametrize(("tool", "args"), [("track", {"parcel": 8}), ("refund", {"parcel": 7})])
def test_a_call_of_another_tool_or_with_other_arguments_diverges(tool: str, args: dict[str, int]) -> None:
    given = fold([STARTED, TRACK])
    with pytest.raises(ReplayDivergence, match=r"track\(\{'parcel': 7\}\)"):
        check_tool("r1", "1.0", "c1", tool, args, given)


def test_a_call_that_differs_from_its_approval_diverges() -> None:
    given = fold([STARTED, REFUND])
    with pytest.raises(ReplayDivergence, match="refund"):
        check_tool("r1", "1.1", "c2", "refund", {"usd": 900}, given)


def test_a_tool_call_where_the_model_was_called_diverges() -> None:
    given = fold([STARTED, MODEL])
    with pytest.raises(ReplayDivergence, match="another kind of step"):
        check_tool("r1", "1", "c9", "track", {}, given)


def test_an_approval_is_used_up_by_one_attempt() -> None:
    given = fold([STARTED, REFUND, ApprovalDecided(call_id="c2", allowed=True)])
    assert not given.tools["c2"].used
    given = evolve(given, ToolRequested(step="1.1", call_id="c2", tool="refund", args={"usd": 9}))
    assert given.tools["c2"].used
    given = evolve(given, ApprovalRequested(step="1.1", call_id="c2", tool="refund", reason="unknown_outcome"))
    assert not given.tools["c2"].used
    assert given.tools["c2"].waiting
