"""Where a run can be forked, and what its fork takes over: decisions over histories that are written here."""

from collections.abc import Sequence

import pytest
from recording import NOON

from treadle.events.envelope import EMPTY, Meta, Recorded, StreamName, envelopes, read_stored
from treadle.events.errors import NotFound
from treadle.events.event import Event
from treadle.events.fork import NotAForkPoint, fork_point, fork_points
from treadle.events.fork_copy import copied
from treadle.events.message import ModelReply, ToolCall, Usage
from treadle.events.model_step import ModelAttemptFailed, ModelCompleted, ModelRequested
from treadle.events.run import MemoryRecalled, Run, RunCompleted, RunStarted, RunSuspended, RunTakenOver, evolve
from treadle.events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolOutcomeUnknown,
    ToolRequested,
)

STARTED = RunStarted(agent="desk", prompt="Settle.", owner="host:1", model="echo")
ASKED = ModelRequested(step="1", call_id="r1_1", digest="d")
ANSWER = ModelReply("", (ToolCall("a", "post"), ToolCall("b", "wipe")), Usage(10, 5, cost_usd=0.5))
ANSWERED = ModelCompleted(step="1", call_id="r1_1", reply=ANSWER)
POST = ToolRequested(step="2", call_id="r1_2_0", tool="post")
POSTED = ToolCompleted(call_id="r1_2_0", output="ok")
MAY_WIPE = ApprovalRequested(step="2", call_id="r1_2_1", tool="wipe", reason="destructive")
ALLOWED = ApprovalDecided(call_id="r1_2_1", allowed=True)
WIPE = ToolRequested(step="2", call_id="r1_2_1", tool="wipe")
WIPED = ToolCompleted(call_id="r1_2_1", output="gone")
ENDED = RunCompleted(output="Settled.")
WHOLE: list[Event] = [STARTED, ASKED, ANSWERED, POST, POSTED, MAY_WIPE, ALLOWED, WIPE, WIPED, ENDED]


def history(events: Sequence[Event], run_id: str = "r1") -> list[Recorded]:
    ids = [f"e{number}" for number in range(1, len(events) + 1)]
    stream = StreamName(f"run-{run_id}")
    rows, _, _ = envelopes(stream, EMPTY, events, Meta(run_id=run_id), ids, NOON, 1 << 20)
    return [read_stored(stored, version) for _, version, _, stored in rows]


def fold(events: Sequence[Event]) -> Run:
    state = Run()
    for event in events:
        evolve(state, event)
    return state


def test_fork_points_lie_between_steps_and_parallel_calls_are_one_step() -> None:
    assert fork_points(history(WHOLE)) == [1, 3, 9, 10]


def test_attempts_and_take_overs_belong_to_the_step_that_they_are_within() -> None:
    failed = ModelAttemptFailed(step="1", call_id="r1_1", attempt=1, error="busy", kind="overloaded")
    again = ModelRequested(step="1", call_id="r1_1", digest="d", attempt=2)
    given: list[Event] = [
        STARTED,
        MemoryRecalled(step="memory"),
        ASKED,
        failed,
        RunTakenOver(owner="o"),
        again,
        ANSWERED,
    ]
    assert fork_points(history(given)) == [1, 2, 7]


@pytest.mark.parametrize("end", range(2, 9))
def test_a_step_without_an_end_cannot_be_shared(end: int) -> None:
    assert fork_points(history(WHOLE[:end])) == [point for point in (1, 3) if point <= end]


def test_the_error_names_the_step_and_the_nearest_versions() -> None:
    with pytest.raises(
        NotAForkPoint, match=r"step '2' \(a call of post\) goes on .* version 4 until version 9"
    ) as caught:
        fork_point("r1", 6, history(WHOLE))
    assert (caught.value.before, caught.value.after) == (3, 9)
    with pytest.raises(NotAForkPoint, match=r"and has no end; fork it at version 3$"):
        fork_point("r1", 5, history(WHOLE[:5]))


def test_a_step_is_shared_up_to_its_end() -> None:
    assert [fork_point("r1", step, history(WHOLE)) for step in ("1", "2")] == [3, 9]
    with pytest.raises(NotFound, match="has the steps: 1, 2"):
        fork_point("r1", "3", history(WHOLE))
    for version in (0, 11, -1):
        with pytest.raises(NotFound, match="10 events"):
            fork_point("r1", version, history(WHOLE))


def test_a_fork_knows_what_was_done_and_is_charged_nothing() -> None:
    copies = copied("r1", {"r1": "r2"}, "", history(WHOLE))
    state = fold([STARTED, *copies])
    assert set(state.tools) == {"r2_2_0", "r2_2_1"}
    assert [step.outcome for step in state.tools.values()] == [
        ToolCompleted(call_id="r2_2_0", output="ok"),
        ToolCompleted(call_id="r2_2_1", output="gone"),
    ]
    assert state.models["1"].copied
    assert (state.turns, state.usage, state.closed) == (1, Usage(), None)
    assert state.models["1"].outcome == ModelCompleted(step="1", call_id="r2_1", reply=ANSWER)


def test_who_worked_on_it_and_how_it_ended_is_not_taken_over() -> None:
    unknown = ToolOutcomeUnknown(call_id="r1_2_0", reason="it ended")
    given = [STARTED, ASKED, ANSWERED, POST, RunSuspended(reason="left"), RunTakenOver(owner="o"), unknown, ENDED]
    types = [copy.type for copy in copied("r1", {"r1": "r2"}, "", history(given))]
    assert types == ["run.model_requested", "run.model_completed", "run.tool_requested", "run.tool_outcome_unknown"]


def test_answers_of_another_model_keep_its_name() -> None:
    [asked, answered] = [copy.record for copy in copied("r1", {"r1": "r2"}, "echo", history(WHOLE[:3]))]
    assert isinstance(asked, ModelRequested) and isinstance(answered, ModelCompleted)
    assert (asked.model, answered.model) == ("echo", "echo")


def test_a_fork_of_a_fork_takes_over_the_records_and_not_their_copies() -> None:
    first = copied("r1", {"r1": "r2"}, "", history(WHOLE))
    fork: list[Event] = [STARTED, *first, ENDED]
    assert fork_points(history(fork, "r2")) == [1, 3, 9, 10]
    second = copied("r2", {"r2": "r3"}, "", history(fork, "r2"))
    assert [copy.type for copy in second] == [copy.type for copy in first]
    assert fold([STARTED, *second]).tools.keys() == {"r3_2_0", "r3_2_1"}
