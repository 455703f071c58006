from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording import after_noon, write

from treadle.events.event import Event
from treadle.events.memory import FactAsserted, FactRetracted, memory_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.views import SqliteViews
from treadle.projections import Facts, Projections, Views

DEADLINE_S = 20.0
YEAR_ONE = datetime(2001, 1, 1, tzinfo=UTC)


def year(number: int) -> datetime:
    return YEAR_ONE.replace(year=2000 + number)


def lives(fact_id: str, city: str, begins: int, until: int | None = None) -> FactAsserted:
    return FactAsserted(
        fact_id=fact_id,
        subject="alice",
        predicate="lives_in",
        object=city,
        valid_from=year(begins),
        valid_until=None if until is None else year(until),
    )


@dataclass
class Memory:
    """A journal with one partition, and the facts folded from it. The n-th event is recorded n seconds after noon."""

    journal: MemoryJournal
    projections: Projections
    recorded: int = 0

    @property
    def facts(self) -> Facts:
        return self.projections.facts

    async def record(self, *events: Event, user_id: str = "alice") -> None:
        for event in events:
            self.recorded += 1
            at = after_noon(self.recorded)
            await write(self.journal, memory_stream(user_id), event, user_id=user_id, at=at)
        await self.projections.catch_up(DEADLINE_S)

    async def cities(self, valid: int | None = None, as_of_s: float | None = None, user_id: str = "alice") -> list[str]:
        found = await self.facts.query(
            user_id,
            "alice",
            "lives_in",
            valid_at=None if valid is None else year(valid) + timedelta(days=1),
            as_of=None if as_of_s is None else after_noon(as_of_s),
        )
        return [belief.object for belief in found]

    async def timeline(self, as_of_s: float | None = None) -> list[tuple[str, int, int | None]]:
        found = await self.facts.query("alice", as_of=None if as_of_s is None else after_noon(as_of_s))
        return [
            (b.object, b.valid_from.year - 2000, None if b.valid_until is None else b.valid_until.year - 2000)
            for b in found
        ]


@pytest.fixture
async def memory(views: Views) -> AsyncIterator[Memory]:
    journal = MemoryJournal()
    async with Projections(journal, views, [Facts()]) as projections:
        yield Memory(journal, projections)
    await journal.close()


async def test_a_contradicting_claim_ends_the_earlier_one_where_it_begins(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10), lives("f2", "Rome", 15))
    assert await memory.timeline() == [("Bern", 10, 15), ("Rome", 15, None)]
    assert await memory.cities(valid=12) == ["Bern"]
    assert await memory.cities(valid=16) == ["Rome"]


async def test_what_was_believed_before_is_still_on_record(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10), lives("f2", "Rome", 15))
    assert await memory.timeline(as_of_s=1.5) == [("Bern", 10, None)]
    assert await memory.cities(valid=16, as_of_s=1.5) == ["Bern"]
    assert await memory.cities(valid=16, as_of_s=2) == ["Rome"]
    assert await memory.timeline(as_of_s=0.5) == []


async def test_nothing_is_edited_but_the_end_of_a_belief(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10))
    before = await memory.facts.history("alice")
    await memory.record(lives("f2", "Rome", 15), FactRetracted(fact_id="f2"), lives("f3", "Oslo", 12))
    after = await memory.facts.history("alice")
    assert [b.recorded_until for b in before] == [None]
    assert (after[0].object, after[0].valid_until, after[0].recorded_until) == ("Bern", None, after_noon(2))
    assert [(b.object, b.recorded_from) for b in after] == [
        ("Bern", after_noon(1)),
        ("Bern", after_noon(2)),
        ("Rome", after_noon(2)),
        ("Bern", after_noon(3)),
        ("Bern", after_noon(4)),
        ("Oslo", after_noon(4)),
    ]


async def test_an_older_claim_that_comes_late_ends_where_the_newer_begins(memory: Memory) -> None:
    await memory.record(lives("f1", "Rome", 15), lives("f2", "Bern", 10))
    assert await memory.timeline() == [("Bern", 10, 15), ("Rome", 15, None)]


async def test_of_two_claims_that_begin_together_the_later_one_holds(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10), lives("f2", "Rome", 10))
    assert await memory.timeline() == [("Rome", 10, None)]
    await memory.record(FactRetracted(fact_id="f2"))
    assert await memory.timeline() == [("Bern", 10, None)]


async def test_a_retracted_claim_is_not_believed_and_gives_its_time_back(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10), lives("f2", "Rome", 15), FactRetracted(fact_id="f2", reason="a typo"))
    assert await memory.timeline() == [("Bern", 10, None)]
    assert await memory.timeline(as_of_s=2.5) == [("Bern", 10, 15), ("Rome", 15, None)]


async def test_retracting_twice_or_something_unknown_changes_nothing(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10), FactRetracted(fact_id="f1"))
    before = await memory.facts.history("alice")
    await memory.record(FactRetracted(fact_id="f1"), FactRetracted(fact_id="f9"))
    assert await memory.facts.history("alice") == before


async def test_a_claim_with_an_end_of_its_own_keeps_it(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10, 12), lives("f2", "Rome", 15))
    assert await memory.timeline() == [("Bern", 10, 12), ("Rome", 15, None)]
    assert await memory.cities(valid=13) == []


async def test_users_share_no_facts(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10))
    await memory.record(lives("f1", "Rome", 15), user_id="bob")
    await memory.record(lives("f1", "Oslo", 15), user_id="")
    assert await memory.cities(user_id="alice") == ["Bern"]
    assert await memory.cities(user_id="bob") == ["Rome"]
    assert await memory.cities(user_id="") == ["Oslo"]
    await memory.record(FactRetracted(fact_id="f1"), user_id="bob")
    assert await memory.cities(user_id="alice") == ["Bern"]


async def test_a_clock_that_was_put_back_does_not_hide_a_belief(memory: Memory) -> None:
    await memory.record(lives("f1", "Bern", 10))
    memory.recorded = -3600
    await memory.record(lives("f2", "Rome", 15))
    assert await memory.timeline(as_of_s=1) == [("Bern", 10, 15), ("Rome", 15, None)]
    assert await memory.timeline(as_of_s=-10) == []


async def test_a_belief_carries_all_that_was_claimed(memory: Memory) -> None:
    claim = FactAsserted(
        fact_id="f1", subject="parcel-7", predicate="is_in", object="Bern", valid_from=year(10), confidence=0.5,
        sources=("run-r1", "run-r2"),
    )  # fmt: skip
    await memory.record(claim)
    (belief,) = await memory.facts.query("alice", "parcel-7")
    assert (belief.fact_id, belief.confidence, belief.sources) == ("f1", 0.5, ("run-r1", "run-r2"))
    assert (belief.valid_from, belief.recorded_from) == (year(10), after_noon(1))
    assert await memory.facts.query("alice", "parcel-8") == []


# --- against a naive model -------------------------------------------------------------------------------------------

CITIES = ["Bern", "Rome", "Oslo"]


@dataclass
class Claim:
    order: int
    fact: FactAsserted
    retracted: bool = False


def naive(events: list[Event]) -> set[tuple[str, datetime, datetime | None]]:
    """What the claims say, worked out from scratch: no belief is ever carried along."""
    claims: list[Claim] = []
    for order, event in enumerate(events):
        match event:
            case FactAsserted():
                claims.append(Claim(order, event))
            case FactRetracted(fact_id):
                for claim in claims:
                    claim.retracted |= claim.fact.fact_id == fact_id
            case _:
                raise AssertionError(event)
    valid = [claim for claim in claims if not claim.retracted]
    believed: set[tuple[str, datetime, datetime | None]] = set()
    for mine in valid:
        ends = [mine.fact.valid_until] if mine.fact.valid_until is not None else []
        for other in valid:
            later = (other.fact.valid_from, other.order) > (mine.fact.valid_from, mine.order)
            if later and other.fact.object != mine.fact.object:
                ends.append(other.fact.valid_from)
        until = min(ends, default=None)
        if until is None or until > mine.fact.valid_from:
            believed.add((mine.fact.fact_id, mine.fact.valid_from, until))
    return believed


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for number in range(draw(st.integers(1, 12))):
        if events and draw(st.integers(0, 3)) == 0:
            events.append(FactRetracted(fact_id=f"f{draw(st.integers(0, number))}"))
        else:
            begins = draw(st.integers(1, 6))
            until = draw(st.none() | st.integers(1, 8))
            events.append(lives(f"f{number}", draw(st.sampled_from(CITIES)), begins, until))
    return events


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
async def test_beliefs_as_of_any_time_are_those_of_a_naive_model(events: list[Event]) -> None:
    journal = MemoryJournal()
    async with SqliteViews() as views, Projections(journal, views, [Facts()]) as projections:
        memory = Memory(journal, projections)
        await memory.record(*events)
        for seen in range(len(events) + 1):
            found = await memory.facts.query("alice", as_of=after_noon(seen))
            assert {(b.fact_id, b.valid_from, b.valid_until) for b in found} == naive(events[:seen])
            assert len(found) == len({b.fact_id for b in found})
            for number in range(1, 9):
                valid_at = year(number)
                then = await memory.facts.query("alice", valid_at=valid_at, as_of=after_noon(seen))
                assert {b.fact_id for b in then} == {
                    fact_id
                    for fact_id, begins, until in naive(events[:seen])
                    if begins <= valid_at and (until is None or valid_at < until)
                }
    await journal.close()
