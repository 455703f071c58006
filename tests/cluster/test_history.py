"""What the examination of a storm finds in journals and ledgers that somebody has spoilt."""

import pytest
from cluster.agents import DESTRUCTIVE, IDEMPOTENT, PLAIN
from cluster.examination import read
from cluster.history import (
    Charges,
    History,
    effects_that_should_not_be,
    runs_that_did_not_end,
    signals_that_did_not_lead_to_one_run,
)
from cluster.ledger import Effect
from recording import NOON, after_noon, answered, asked, called, write

from treadle.events.budget import Reserved, Settled
from treadle.events.event import Event
from treadle.events.message import Usage
from treadle.events.run import RunCompleted, RunFailed, RunStarted, RunTakenOver
from treadle.events.tool_step import ToolCompleted
from treadle.gateways.journals.memory import MemoryJournal

FIRST, SECOND = "vm:11:aa", "vm:22:bb"
ENDED = RunCompleted(output="settled")


def began(signal_id: str = "signal-1") -> RunStarted:
    return RunStarted(agent="desk", prompt="Settle.", owner=FIRST, model="rule", signal_id=signal_id)


async def history(*events: Event, stream: str = "run-1") -> History:
    """One event a second from noon on."""
    journal = MemoryJournal()
    for seconds, event in enumerate(events):
        await write(journal, stream, event, at=after_noon(seconds))
    return await read(journal)


def effect(tool: str, seconds: float, *, attempt: int = 1, owner: str = FIRST) -> Effect:
    return Effect(tool, "call-1", attempt, int(owner.split(":")[1]), NOON.timestamp() + seconds)


async def test_a_run_that_ended_well_is_all_right() -> None:
    told = await history(began(), called(tool=PLAIN), ToolCompleted(call_id="call-1"), ENDED)
    assert list(runs_that_did_not_end(told)) == []
    assert list(signals_that_did_not_lead_to_one_run(told, {"signal-1"})) == []
    assert list(effects_that_should_not_be(told, [effect(PLAIN, 1.5)])) == []


async def test_a_run_that_is_open_or_failed_is_found() -> None:
    [still_open] = runs_that_did_not_end(await history(began()))
    [failed] = runs_that_did_not_end(await history(began(), RunFailed(error="no")))
    assert "has its end at []" in still_open
    assert "ended otherwise" in failed


async def test_a_signal_without_a_run_and_one_with_two_are_found() -> None:
    journal = MemoryJournal()
    for run in ("run-1", "run-2"):
        await write(journal, run, began(), ENDED)
    found = sorted(signals_that_did_not_lead_to_one_run(await read(journal), {"signal-1", "signal-2"}))
    assert found == ["signal-1 led to 2 runs", "signal-2 led to 0 runs"]


@pytest.mark.parametrize(
    ("tool", "effects", "found"),
    [
        (PLAIN, [], "has an outcome and no effect"),
        (PLAIN, [effect(PLAIN, 1.2), effect(PLAIN, 1.4)], "more than once in attempts [1]"),
        (PLAIN, [effect(PLAIN, 1.2), effect(PLAIN, 3.5, attempt=2, owner=SECOND), effect(PLAIN, 2.5)], "former owner"),
        (PLAIN, [effect(PLAIN, 3.5, attempt=2)], "somebody else did it"),
        (PLAIN, [effect(PLAIN, 1.2), effect(PLAIN, 3.5, attempt=3, owner=SECOND)], "without an intent"),
        (PLAIN, [effect(PLAIN, 4.5, attempt=2, owner=SECOND)], "after its outcome"),
        (IDEMPOTENT, [effect(IDEMPOTENT, 1.2), effect(IDEMPOTENT, 3.5, attempt=2, owner=SECOND)], "2 times"),
        (DESTRUCTIVE, [effect(DESTRUCTIVE, 1.2), effect(DESTRUCTIVE, 3.5, attempt=2, owner=SECOND)], "2 times"),
    ],
)
async def test_an_effect_that_should_not_be_is_found(tool: str, effects: list[Effect], found: str) -> None:
    told = await history(
        began(),
        called(tool=tool),
        RunTakenOver(owner=SECOND),
        called(tool=tool, attempt=2),
        ToolCompleted(call_id="call-1"),
        ENDED,
    )
    assert any(found in complaint for complaint in effects_that_should_not_be(told, effects))


async def test_an_effect_that_no_journal_knows_is_found() -> None:
    [found] = effects_that_should_not_be(await history(began(), ENDED), [effect(PLAIN, 1)])
    assert "no intent" in found


async def test_a_second_attempt_at_a_plain_call_by_its_new_owner_is_all_right() -> None:
    told = await history(
        began(),
        called(tool=PLAIN),
        RunTakenOver(owner=SECOND),
        called(tool=PLAIN, attempt=2),
        ToolCompleted(call_id="call-1"),
        ENDED,
    )
    effects = [effect(PLAIN, 1.5), effect(PLAIN, 3.5, attempt=2, owner=SECOND)]
    assert list(effects_that_should_not_be(told, effects)) == []


@pytest.mark.parametrize(
    ("charges", "found"),
    [
        ([], "charged 0 times"),
        ([Usage(10, 20, cost_usd=0.25)] * 2, "charged 2 times"),
        ([Usage(1, 1)], "was charged Usage(input_tokens=1"),
    ],
)
async def test_a_budget_that_is_not_the_sum_of_its_calls_is_found(charges: list[Usage], found: str) -> None:
    journal = MemoryJournal()
    await write(journal, "run-1", began(), asked(), answered(tokens=10), ENDED)
    await write(journal, "budget-desk", *[Settled(call_id="model-1", usage=usage) for usage in charges])
    [complaint] = Charges(await read(journal)).wrong
    assert found in complaint


async def test_a_reservation_that_nobody_gave_back_is_found() -> None:
    held = Reserved(call_id="model-1", run_id="1", input_tokens=10, output_tokens=10)
    [complaint] = Charges(await history(held, stream="budget-desk")).wrong
    assert complaint == "call model-1 still holds a reservation"
