from collections.abc import AsyncIterator

import pytest
from recording import NOON, after_noon, answered, asked, called, started, whole_run, write

from treadle.events.errors import NotFound
from treadle.events.event import Event
from treadle.events.run import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunState,
    RunSuspended,
    RunTakenOver,
)
from treadle.events.tool_step import ApprovalDecided, ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown
from treadle.gateways.journals.memory import MemoryJournal
from treadle.projections import Projections, RunRow, Runs, Views

DEADLINE_S = 20.0


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    journal = MemoryJournal()
    yield journal
    await journal.close()


@pytest.fixture
async def projections(journal: MemoryJournal, views: Views) -> AsyncIterator[Projections]:
    async with Projections(journal, views, [Runs()]) as projections:
        yield projections


@pytest.fixture
def runs(projections: Projections) -> Runs:
    return projections.runs


async def row(projections: Projections, journal: MemoryJournal, *events: Event) -> RunRow:
    await write(journal, "run-r1", *events)
    await projections.catch_up(DEADLINE_S)
    return await projections.runs.get("r1")


def approval(call_id: str = "call-1") -> ApprovalRequested:
    return ApprovalRequested(step=f"tool:{call_id}", call_id=call_id, tool="refund", reason="destructive")


async def test_a_row_shows_a_run_from_start_to_end(projections: Projections, journal: MemoryJournal) -> None:
    await write(journal, "run-r1", *whole_run()[:-1], epoch=3)
    await write(journal, "run-r1", RunCompleted(output="It is in Bern.", turns=2), epoch=3, at=after_noon(5))
    await projections.catch_up(DEADLINE_S)
    assert await projections.runs.get("r1") == RunRow(
        run_id="r1",
        session_id="conv-1",
        user_id="alice",
        agent="support",
        model="echo",
        state=RunState.COMPLETED,
        prompt="Where is my parcel?",
        output="It is in Bern.",
        error="",
        turns=2,
        input_tokens=20,
        output_tokens=40,
        cost_usd=0.5,
        started_at=NOON,
        finished_at=after_noon(5),
        parent_run_id="",
        depth=0,
        owner="host:1",
        epoch=3,
        version=8,
        open_calls=0,
        position=1,
    )


@pytest.mark.parametrize(
    ("end", "state", "output", "error"),
    [
        (RunCompleted(output="done"), RunState.COMPLETED, "done", ""),
        (RunFailed(error="no model"), RunState.FAILED, "", "no model"),
        (RunCancelled(reason="not needed"), RunState.CANCELLED, "", "not needed"),
        (RunInterrupted(reason="max_turns", output="so far"), RunState.INTERRUPTED, "so far", "max_turns"),
    ],
)
async def test_each_end_has_its_state(
    projections: Projections, journal: MemoryJournal, end: Event, state: RunState, output: str, error: str
) -> None:
    found = await row(projections, journal, started(), called(), end)
    assert (found.state, found.output, found.error, found.open, found.open_calls) == (state, output, error, False, 0)


async def test_a_second_attempt_at_a_model_call_is_no_second_turn(
    projections: Projections, journal: MemoryJournal
) -> None:
    again = asked()
    again = type(again)(step=again.step, call_id=again.call_id, digest=again.digest, attempt=2)
    assert (await row(projections, journal, started(), asked(), again, answered())).turns == 1


async def test_a_run_waits_as_long_as_one_of_its_calls_does(projections: Projections, journal: MemoryJournal) -> None:
    found = await row(projections, journal, started(), approval("call-1"), approval("call-2"))
    assert (found.state, found.open_calls) == (RunState.WAITING, 2)
    found = await row(projections, journal, ApprovalDecided(call_id="call-1", allowed=True), called("call-1"))
    assert (found.state, found.open_calls) == (RunState.WAITING, 2)
    waiting = await projections.runs.open_calls("r1", waiting=True)
    assert [(call.call_id, call.attempt, call.reason) for call in waiting] == [("call-2", 0, "destructive")]
    found = await row(projections, journal, ApprovalDecided(call_id="call-2", allowed=False))
    assert found.state == RunState.RUNNING
    found = await row(projections, journal, ToolFailed(call_id="call-2", error="denied", kind="denied"))
    assert found.open_calls == 1


@pytest.mark.parametrize(
    "outcome",
    [
        ToolCompleted(call_id="call-1"),
        ToolFailed(call_id="call-1", error="raised"),
        ToolOutcomeUnknown(call_id="call-1", reason="timed out"),
    ],
)
async def test_a_call_is_open_until_its_outcome(
    projections: Projections, journal: MemoryJournal, outcome: Event
) -> None:
    assert (await row(projections, journal, started(), called())).open_calls == 1
    assert (await row(projections, journal, called(attempt=2))).open_calls == 1
    (call,) = await projections.runs.open_calls()
    assert (call.run_id, call.tool, call.attempt, call.waiting) == ("r1", "track", 2, False)
    assert (await row(projections, journal, outcome)).open_calls == 0


async def test_a_suspended_run_is_open_until_somebody_takes_it_over(
    projections: Projections, journal: MemoryJournal
) -> None:
    found = await row(projections, journal, started(), called(), RunSuspended(reason="the caller went away"))
    assert (found.state, found.error, found.open) == (RunState.INTERRUPTED, "the caller went away", True)
    found = await row(projections, journal, ToolCompleted(call_id="call-1"))
    assert found.state == RunState.INTERRUPTED
    found = await row(projections, journal, RunTakenOver(owner="host:2"))
    assert (found.state, found.error, found.owner) == (RunState.RUNNING, "", "host:2")


async def test_a_run_that_is_taken_over_while_it_waits_goes_on_waiting(
    projections: Projections, journal: MemoryJournal
) -> None:
    found = await row(projections, journal, started(), approval(), RunTakenOver(owner="host:2"))
    assert found.state == RunState.WAITING


async def test_long_texts_are_cut(projections: Projections, journal: MemoryJournal) -> None:
    found = await row(projections, journal, started(prompt="p" * 10_000), RunCompleted(output="o" * 10_000))
    assert (len(found.prompt), len(found.output)) == (500, 500)
    assert found.prompt.endswith("p…")


async def test_runs_are_listed_newest_first_and_by_what_was_asked_for(
    projections: Projections, journal: MemoryJournal, runs: Runs
) -> None:
    await write(journal, "run-r1", *whole_run(agent="support"), user_id="alice", session_id="conv-1")
    await write(journal, "run-r2", started("billing"), user_id="bob", session_id="conv-2")
    await write(journal, "run-r3", started("support", parent_run_id="r2"), user_id="bob", session_id="conv-2")
    await projections.catch_up(DEADLINE_S)

    def ids(rows: list[RunRow]) -> list[str]:
        return [run.run_id for run in rows]

    assert ids(await runs.list()) == ["r3", "r2", "r1"]
    assert ids(await runs.list(state=RunState.COMPLETED)) == ["r1"]
    assert ids(await runs.list(user_id="bob", agent="support")) == ["r3"]
    assert ids(await runs.list(session_id="conv-2", limit=1)) == ["r3"]
    assert ids(await runs.list(parent_run_id="r2")) == ["r3"]
    assert ids(await runs.list(before=(await runs.get("r3")).position)) == ["r2", "r1"]
    assert ids(await runs.open_runs()) == ["r2", "r3"]
    assert ids(await runs.open_runs("billing")) == ["r2"]
    (owner,) = await runs.open_owners()
    assert ids(await runs.open_runs(owners=[owner, "somebody"])) == ["r2", "r3"]
    assert ids(await runs.open_runs(owners=["somebody"])) == ids(await runs.open_runs(owners=[])) == []


async def test_a_run_that_is_not_there_is_named(runs: Runs) -> None:
    with pytest.raises(NotFound, match="no run 'r9'"):
        await runs.get("r9")
