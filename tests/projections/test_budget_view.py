from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
from recording import NOON, answered, asked, started, whole_run, write

from treadle.events.budget import Limits, Opened, Released, Reserved, Settled, TimeSpent, Warned, budget_stream
from treadle.events.errors import NotFound
from treadle.events.message import Usage
from treadle.gateways.journals.memory import MemoryJournal
from treadle.projections import BudgetRow, BudgetView, Projections, Views

DEADLINE_S = 20.0
DAY = date(2026, 1, 15)


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    journal = MemoryJournal()
    yield journal
    await journal.close()


@pytest.fixture
async def projections(journal: MemoryJournal, views: Views) -> AsyncIterator[Projections]:
    async with Projections(journal, views, [BudgetView()]) as projections:
        yield projections


def reserved(call_id: str, tokens: int = 100) -> Reserved:
    return Reserved(call_id=call_id, run_id="r1", input_tokens=tokens, output_tokens=tokens, cost_usd=0.5)


async def test_usage_is_summed_by_what_was_asked_for(journal: MemoryJournal, projections: Projections) -> None:
    await write(journal, "run-r1", *whole_run(agent="support"), user_id="alice")
    await write(journal, "run-r2", started("billing", model="gpt"), asked(), answered(tokens=5), user_id="alice")
    await write(journal, "run-r3", *whole_run(agent="support"), user_id="bob", at=NOON + timedelta(days=1))
    await projections.catch_up(DEADLINE_S)
    usage = projections.budget.usage
    assert [(u.user_id, u.agent, u.model, u.day, u.calls) for u in await usage()] == [
        ("alice", "billing", "gpt", DAY, 1),
        ("alice", "support", "echo", DAY, 2),
        ("bob", "support", "echo", DAY + timedelta(days=1), 2),
    ]
    assert [(u.user_id, u.total_tokens, u.cost_usd) for u in await usage(by=("user_id",))] == [
        ("alice", 75, 0.75),
        ("bob", 60, 0.5),
    ]
    assert [(u.agent, u.calls) for u in await usage(by=("agent",), user_id="alice")] == [("billing", 1), ("support", 2)]
    assert [u.calls for u in await usage(by=(), model="echo")] == [4]
    assert [u.calls for u in await usage(by=(), since=DAY, until=DAY + timedelta(days=1))] == [3]
    assert await usage(by=(), user_id="carol") == []


async def test_answers_of_a_resumed_run_are_charged_once(journal: MemoryJournal, projections: Projections) -> None:
    retried = asked()
    retried = type(retried)(step=retried.step, call_id=retried.call_id, digest=retried.digest, attempt=2)
    await write(journal, "run-r1", started(), asked(), retried, answered())
    await projections.catch_up(DEADLINE_S)
    assert [u.calls for u in await projections.budget.usage(by=())] == [1]


async def test_a_budget_shows_what_is_used_and_what_is_set_aside(
    journal: MemoryJournal, projections: Projections
) -> None:
    limits = Limits(max_tokens=1000, max_cost_usd=2.0)
    await write(
        journal,
        budget_stream("alice"),
        Opened(limits=limits),
        reserved("call-1"),
        reserved("call-2"),
        reserved("call-3"),
        Settled(call_id="call-1", usage=Usage(input_tokens=30, output_tokens=20, cost_usd=0.25)),
        Released(call_id="call-2", reason="the call failed"),
        Warned(limit="max_tokens", used=900, cap=1000),
        TimeSpent(run_id="r1", seconds=2.0),
        TimeSpent(run_id="r1", seconds=5.0),
        TimeSpent(run_id="r2", seconds=1.0),
    )
    await projections.catch_up(DEADLINE_S)
    expected = BudgetRow("alice", limits, 50, 0.25, 200, 0.5, 6.0, ("max_tokens",))
    assert await projections.budget.scope("alice") == expected
    assert await projections.budget.scopes() == [expected]


async def test_a_budget_that_is_not_there_is_named(projections: Projections) -> None:
    with pytest.raises(NotFound, match="no budget 'bob'"):
        await projections.budget.scope("bob")
