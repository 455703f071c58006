"""Consistent cuts through trees of runs that are written here, with what one node would hardly let happen."""

from collections.abc import Mapping, Sequence

import pytest
from recording import NOON

from treadle.events.blackboard import Posted
from treadle.events.child_step import ChildEnded, ChildRequested
from treadle.events.cut import cut
from treadle.events.envelope import EMPTY, Meta, Recorded, StreamName, envelopes, read_stored
from treadle.events.event import Event
from treadle.events.fork import NotAForkPoint, cut_at
from treadle.events.message import ModelReply
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import RunCompleted, RunState, ValueRecorded
from treadle.events.run_tree import Branch, RunTree
from treadle.events.session import RunEnded, RunOpened
from treadle.events.tool_step import ToolCompleted, ToolRequested

from .test_fork import STARTED

Placed = tuple[int, Event]
END = RunCompleted(output="done")


def stream(name: str, placed: Sequence[Placed], session_id: str = "") -> list[Recorded]:
    """Events at these positions of the journal."""
    ids = [f"{name} {position}" for position, _ in placed]
    meta = Meta(run_id=name, session_id=session_id or name)
    rows, _, _ = envelopes(StreamName(name), EMPTY, [event for _, event in placed], meta, ids, NOON, 1 << 20)
    return [read_stored(row[3], position) for row, (position, _) in zip(rows, placed, strict=True)]


def asks(step: str, role: str, run_id: str = "r") -> ChildRequested:
    call_id = f"{run_id}_{step}_0"
    return ChildRequested(step=step, call_id=call_id, run_id=f"{call_id}_{role}", agent=role, digest="d", role=role)


def answers(step: str, run_id: str = "r") -> ChildEnded:
    return ChildEnded(call_id=f"{run_id}_{step}_0", state="completed", output="done")


def model(step: str, run_id: str) -> list[Event]:
    call_id = f"{run_id}_{step}"
    asked = ModelRequested(step=step, call_id=call_id, digest="d")
    return [asked, ModelCompleted(step=step, call_id=call_id, reply=ModelReply("hm"))]


def tree(
    root: Sequence[Placed],
    children: Mapping[str, Sequence[Placed]] | None = None,
    board: Sequence[Placed] = (),
    sessions: Mapping[str, Sequence[Placed]] | None = None,
) -> RunTree:
    asked = {event.run_id: event for _, event in root if isinstance(event, ChildRequested)}
    branches = {"r": Branch("r", None, "", stream("r", root), stream("b", board))}
    for run_id, placed in (children or {}).items():
        branches[run_id] = Branch(run_id, asked[run_id], "r", stream(run_id, placed))
    return RunTree("r", branches, {name: stream(name, placed) for name, placed in (sessions or {}).items()})


def kept(found: RunTree, position: int) -> dict[str, list[int]]:
    return {run_id: [each.position for each in events] for run_id, events in cut(found, position).runs.items()}


CHILD = "r_1_0_a"


def test_a_question_that_is_open_is_kept_with_all_that_the_asked_one_has_done() -> None:
    asked, answered = model("1", CHILD)
    found = tree(
        [(1, STARTED), (2, asks("1", "a")), (7, answers("1"))],
        {CHILD: [(3, STARTED), (4, asked), (5, answered), (6, END)]},
    )
    assert kept(found, 3) == {"r": [1, 2], CHILD: [3]}
    assert kept(found, 4) == {"r": [1, 2], CHILD: [3]}  # the model has not answered
    assert kept(found, 5) == {"r": [1, 2], CHILD: [3, 4, 5]}
    assert cut(found, 6).ended(CHILD) and not cut(found, 5).ended(CHILD)
    assert kept(found, 7) == {"r": [1, 2, 7], CHILD: [3, 4, 5, 6]}


def test_what_goes_on_beside_what_has_ended_is_left_out_and_the_rest_stays() -> None:
    slow = ToolRequested(step="1", call_id="r_1_0", tool="slow")
    quick, done = ToolRequested(step="1", call_id="r_1_1", tool="quick"), ToolCompleted(call_id="r_1_1")
    found = tree([(1, STARTED), (2, slow), (3, quick), (4, done)])
    assert kept(found, 4) == {"r": [1, 3, 4]}


def test_a_run_whose_question_is_not_in_the_cut_is_not_in_it_either() -> None:
    """Another node may begin it before the question is on disk."""
    found = tree([(1, STARTED), (5, asks("1", "a"))], {CHILD: [(3, STARTED), (4, END)]})
    assert kept(found, 4) == {"r": [1], CHILD: []}


def test_an_answer_before_the_end_of_the_run_that_gave_it_is_not_received() -> None:
    after = ValueRecorded(step="2", name="now", value=1)
    found = tree([(1, STARTED), (2, asks("1", "a")), (4, answers("1")), (5, after)], {CHILD: [(3, STARTED), (6, END)]})
    assert kept(found, 5) == {"r": [1, 2], CHILD: [3]}
    assert cut(found, 5).lines["r"] == 2


def test_whoever_has_read_what_a_call_that_goes_on_has_posted_is_moved_back() -> None:
    """A tool that posts and then goes on has sent nothing, when it is cut; the domino falls as far as it was read."""
    post, posted = ToolRequested(step="1", call_id=f"{CHILD}_1_0", tool="post"), ToolCompleted(call_id=f"{CHILD}_1_0")
    read = ValueRecorded(step="2", name="blackboard.read", value=[{"entry_id": f"{CHILD}_1_0"}, {"entry_id": "e"}])
    found = tree(
        [(1, STARTED), (2, asks("1", "a")), (7, read), (8, asks("3", "b"))],
        {CHILD: [(3, STARTED), (4, post), (10, posted)], "r_3_0_b": [(9, STARTED)]},
        [
            (5, Posted(entry_id=f"{CHILD}_1_0", author="a", content="half")),
            (6, Posted(entry_id="e", author="somebody", content="whole")),
        ],
    )
    assert kept(found, 9) == {"r": [1, 2], CHILD: [3], "r_3_0_b": []}
    assert [each.position for each in cut(found, 9).boards["r"]] == [6]
    assert kept(found, 10)["r"] == [1, 2, 7, 8]
    assert [each.position for each in cut(found, 10).boards["r"]] == [5, 6]


def test_a_run_that_knows_an_answer_of_its_conversation_is_not_in_a_cut_without_it() -> None:
    found = tree(
        [(1, STARTED), (2, asks("1", "a")), (3, asks("2", "a"))],
        {CHILD: [(4, STARTED), (8, END)], "r_2_0_a": [(6, STARTED)]},
        sessions={
            "s": [
                (4, RunOpened(run_id=CHILD, prompt="1")),
                (5, RunEnded(run_id=CHILD, state=RunState.COMPLETED, output="done")),
                (6, RunOpened(run_id="r_2_0_a", prompt="2")),
            ]
        },
    )
    assert kept(found, 7) == {"r": [1, 2, 3], CHILD: [4], "r_2_0_a": []}
    assert kept(found, 8) == {"r": [1, 2, 3], CHILD: [4, 8], "r_2_0_a": [6]}


def test_a_version_at_which_the_run_knows_what_is_not_sent_is_refused_and_the_nearest_are_named() -> None:
    """Rather than cut earlier than was asked for, which would do again what had been done by then."""
    post, posted = ToolRequested(step="1", call_id=f"{CHILD}_1_0", tool="post"), ToolCompleted(call_id=f"{CHILD}_1_0")
    read = ValueRecorded(step="2", name="blackboard.read", value=[{"entry_id": f"{CHILD}_1_0"}])
    found = tree(
        [(1, STARTED), (2, asks("1", "a")), (6, read), (9, answers("1"))],
        {CHILD: [(3, STARTED), (4, post), (7, posted), (8, END)]},
        [(5, Posted(entry_id=f"{CHILD}_1_0", author="a", content="half"))],
    )
    with pytest.raises(NotAForkPoint, match="fork it at version 2 or 4") as refused:
        cut_at(found, "r", 3)
    assert (refused.value.before, refused.value.after) == (2, 4)
    assert cut_at(found, "r", 2).lines["r"] == 2
