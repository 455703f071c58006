from collections.abc import Iterable
from functools import reduce

import pytest

from treadle.events.event import Event
from treadle.events.message import ModelReply, Usage
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import (
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
    close,
    decide_approval,
    evolve,
    take_over,
)
from treadle.events.tool_step import ApprovalDecided, ApprovalRequested, ToolFailed, ToolOutcomeUnknown, ToolRequested

STARTED = RunStarted(agent="support", prompt="Where is my parcel?", owner="host:1", model="echo")
MODEL = ModelRequested(step="1", call_id="r1_1", digest="d1")
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ModelReply(text="near", usage=Usage(input_tokens=7)))
TRACK = ToolRequested(step="1.0", call_id="c1", tool="track", args={"parcel": 7}, model_call_id="m1")
REFUND = ApprovalRequested(step="1.1", call_id="c2", tool="refund", reason="destructive", args={"usd": 9})


def fold(events: Iterable[Event]) -> Run:
    return reduce(evolve, events, Run())


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
