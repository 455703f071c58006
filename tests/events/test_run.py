from collections.abc import Iterable
from functools import reduce

import pytest

from treadle.events.errors import ReplayDivergence
from treadle.events.event import Event
from treadle.events.message import ModelReply, Usage
from treadle.events.run import (
    ApprovalDecided,
    ApprovalRequested,
    ModelCompleted,
    ModelFailed,
    ModelRequested,
    NothingToApprove,
    Run,
    RunCancelled,
    RunClosed,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunStarted,
    RunState,
    RunSuspended,
    RunTakenOver,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
    ToolStep,
    ValueRecorded,
    check_tool,
    close,
    decide_approval,
    evolve,
    request_model,
    request_tool,
    take_over,
)

STARTED = RunStarted(agent="support", prompt="Where is my parcel?", owner="host:1", model="echo")
MODEL = ModelRequested(step="1", call_id="r1_1", digest="d1")
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ModelReply(text="near", usage=Usage(input_tokens=7)))
TRACK = ToolRequested(step="1.0", call_id="c1", tool="track", args={"parcel": 7}, model_call_id="m1")
REFUND = ApprovalRequested(step="1.1", call_id="c2", tool="refund", reason="destructive", args={"usd": 9})


def fold(events: Iterable[Event]) -> Run:
    return reduce(evolve, events, Run())


# --- model calls -----------------------------------------------------------------------------------------------------


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


# --- tool calls ------------------------------------------------------------------------------------------------------


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


# --- approvals -------------------------------------------------------------------------------------------------------


def test_a_waiting_call_is_decided() -> None:
    given = fold([STARTED, REFUND])
    events = decide_approval("r1", "c2", True, "user:bob", "go", given)
    assert events == [ApprovalDecided(call_id="c2", allowed=True, by="user:bob", note="go")]


def test_the_same_answer_twice_decides_once() -> None:
    given = fold([STARTED, REFUND, ApprovalDecided(call_id="c2", allowed=True, by="user:bob")])
    events = decide_approval("r1", "c2", True, "user:carol", "", given)
    assert events == []


def test_the_opposite_answer_comes_too_late() -> None:
    given = fold([STARTED, REFUND, ApprovalDecided(call_id="c2", allowed=True)])
    with pytest.raises(NothingToApprove):
        decide_approval("r1", "c2", False, "user:bob", "", given)


def test_a_call_that_does_not_wait_cannot_be_decided_and_those_that_do_are_named() -> None:
    given = fold([STARTED, TRACK, REFUND])
    with pytest.raises(NothingToApprove, match="'c1' is not waiting for an approval; waiting: c2"):
        decide_approval("r1", "c1", True, "", "", given)


def test_a_call_of_a_run_that_has_ended_cannot_be_decided() -> None:
    given = fold([STARTED, REFUND, RunCancelled(reason="not needed")])
    with pytest.raises(RunClosed, match=r"has ended \(cancelled\)"):
        decide_approval("r1", "c2", True, "", "", given)


def test_an_approval_is_used_up_by_one_attempt() -> None:
    given = fold([STARTED, REFUND, ApprovalDecided(call_id="c2", allowed=True)])
    assert not given.tools["c2"].used
    given = evolve(given, ToolRequested(step="1.1", call_id="c2", tool="refund", args={"usd": 9}))
    assert given.tools["c2"].used
    given = evolve(given, ApprovalRequested(step="1.1", call_id="c2", tool="refund", reason="unknown_outcome"))
    assert not given.tools["c2"].used
    assert given.tools["c2"].waiting


# --- taking over and ending ------------------------------------------------------------------------------------------


def test_an_open_run_is_taken_over() -> None:
    given = fold([STARTED, RunSuspended(reason="the caller went away")])
    events = take_over("host:2", "resume", given)
    assert events == [RunTakenOver(owner="host:2", reason="resume")]


def test_a_run_that_has_ended_is_not_taken_over() -> None:
    given = fold([STARTED, RunCompleted(output="done")])
    events = take_over("host:2", "resume", given)
    assert events == []


def test_a_run_ends() -> None:
    given = fold([STARTED, MODEL, ANSWERED])
    events = close(RunCompleted(output="near"), given)
    assert events == [RunCompleted(output="near")]


def test_a_run_ends_once_and_the_first_end_counts() -> None:
    given = fold([STARTED, RunCompleted(output="near")])
    events = close(RunFailed(error="too late"), given)
    assert events == []
    assert given.state == RunState.COMPLETED


def test_calls_that_were_going_on_end_as_unknown_and_those_never_started_do_not() -> None:
    given = fold([STARTED, TRACK, REFUND])
    events = close(RunCancelled(reason="not needed"), given)
    reason = "the run ended (cancelled) while it was going on"
    assert events == [ToolOutcomeUnknown(call_id="c1", reason=reason), RunCancelled(reason="not needed")]


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ([], RunState.QUEUED),
        ([STARTED], RunState.RUNNING),
        ([STARTED, REFUND], RunState.WAITING),
        ([STARTED, REFUND, ApprovalDecided(call_id="c2", allowed=False)], RunState.RUNNING),
        ([STARTED, REFUND, ToolFailed(call_id="c2", error="denied", kind="denied")], RunState.RUNNING),
        ([STARTED, RunSuspended(reason="gone")], RunState.INTERRUPTED),
        ([STARTED, RunSuspended(reason="gone"), RunTakenOver(owner="host:2")], RunState.RUNNING),
        ([STARTED, RunCompleted(output="")], RunState.COMPLETED),
        ([STARTED, RunFailed(error="")], RunState.FAILED),
        ([STARTED, RunCancelled(reason="")], RunState.CANCELLED),
        ([STARTED, RunInterrupted(reason="max_turns")], RunState.INTERRUPTED),
    ],
)
def test_the_state_of_a_run_follows_from_its_history(history: list[Event], state: RunState) -> None:
    assert fold(history).state == state
