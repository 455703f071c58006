from collections.abc import Iterable
from functools import reduce

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from treadle.events.budget import (
    Budget,
    Limits,
    Opened,
    Released,
    Reserved,
    Settled,
    TimeSpent,
    Warned,
    evolve,
    open_budget,
    release,
    reserve,
    settle,
    spend_time,
)
from treadle.events.errors import BudgetExceeded
from treadle.events.event import Event
from treadle.events.message import Usage

CAPS = Limits(max_tokens=1000, max_cost_usd=1.0)


def fold(events: Iterable[Event]) -> Budget:
    return reduce(evolve, events, Budget())


def asking(call_id: str, input_tokens: int = 100, output_tokens: int = 100, cost_usd: float = 0.125) -> Reserved:
    return Reserved(
        call_id=call_id, run_id="r1", input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost_usd
    )


# --- caps ------------------------------------------------------------------------------------------------------------


def test_a_budget_is_opened_with_its_caps() -> None:
    given = fold([])
    events = open_budget(CAPS, given)
    assert events == [Opened(limits=CAPS)]


def test_caps_that_hold_already_are_not_set_again() -> None:
    given = fold([Opened(limits=CAPS)])
    events = open_budget(CAPS, given)
    assert events == []


def test_without_caps_everything_is_reserved() -> None:
    given = fold([])
    events = reserve("alice", asking("c1", 10**9, 10**9, 10**6), given)
    assert events == [asking("c1", 10**9, 10**9, 10**6)]


# --- reserving -------------------------------------------------------------------------------------------------------


def test_what_is_free_is_reserved() -> None:
    given = fold([Opened(limits=CAPS)])
    events = reserve("alice", asking("c1"), given)
    assert events == [asking("c1")]


def test_asking_twice_for_a_call_reserves_once() -> None:
    given = fold([Opened(limits=CAPS), asking("c1")])
    events = reserve("alice", asking("c1"), given)
    assert events == []


def test_what_others_have_reserved_is_not_free() -> None:
    given = fold([Opened(limits=CAPS), asking("c1", 400, 400)])
    with pytest.raises(BudgetExceeded, match=r"budget 'alice': 300 asked, 200 free of max_tokens=1000"):
        reserve("alice", asking("c2", 200, 100), given)


def test_what_was_released_is_free_again() -> None:
    given = fold([Opened(limits=CAPS), asking("c1", 400, 400), Released(call_id="c1", reason="the call failed")])
    events = reserve("alice", asking("c2", 400, 300), given)
    assert events == [asking("c2", 400, 300)]


def test_what_was_used_is_not_free() -> None:
    given = fold([Opened(limits=CAPS), asking("c1"), Settled(call_id="c1", usage=Usage(input_tokens=950))])
    with pytest.raises(BudgetExceeded, match=r"200 asked, 50 free"):
        reserve("alice", asking("c2"), given)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_tokens=199), "max_tokens"),
        (Limits(max_input_tokens=99), "max_input_tokens"),
        (Limits(max_output_tokens=99), "max_output_tokens"),
        (Limits(max_cost_usd=0.1), "max_cost_usd"),
    ],
)
def test_each_cap_refuses_by_its_name(limits: Limits, name: str) -> None:
    given = fold([Opened(limits=limits)])
    with pytest.raises(BudgetExceeded, match=name):
        reserve("alice", asking("c1"), given)


def test_a_cap_is_reached_exactly_and_then_nothing_is_free() -> None:
    given = fold([Opened(limits=Limits(max_tokens=200)), asking("c1")])
    with pytest.raises(BudgetExceeded):
        reserve("alice", asking("c2", 0, 0), given)


def test_time_that_is_used_up_refuses_the_next_call() -> None:
    given = fold([Opened(limits=Limits(max_wall_clock_s=60)), TimeSpent(run_id="r1", seconds=60)])
    with pytest.raises(BudgetExceeded, match="max_wall_clock_s=60"):
        reserve("alice", asking("c1"), given)


def test_a_cap_that_is_near_is_warned_of() -> None:
    given = fold([Opened(limits=CAPS)])
    events = reserve("alice", asking("c1", 500, 300), given)
    assert events == [asking("c1", 500, 300), Warned(limit="max_tokens", used=800, cap=1000)]


def test_a_cap_that_is_near_is_warned_of_once() -> None:
    given = fold([Opened(limits=CAPS), asking("c1", 500, 300), Warned(limit="max_tokens", used=800, cap=1000)])
    events = reserve("alice", asking("c2", 50, 50), given)
    assert events == [asking("c2", 50, 50)]


# --- settling and releasing ------------------------------------------------------------------------------------------


def test_a_reservation_is_settled_by_what_was_used() -> None:
    given = fold([asking("c1")])
    events = settle("c1", Usage(input_tokens=90, cost_usd=0.1), given)
    assert events == [Settled(call_id="c1", usage=Usage(input_tokens=90, cost_usd=0.1))]


def test_a_call_is_charged_once() -> None:
    given = fold([asking("c1"), Settled(call_id="c1", usage=Usage(input_tokens=90))])
    events = settle("c1", Usage(input_tokens=90), given)
    assert events == []
    assert given.used.total_tokens == 90


def test_a_reservation_is_given_back() -> None:
    given = fold([asking("c1")])
    events = release("c1", "the call failed", given)
    assert events == [Released(call_id="c1", reason="the call failed")]


def test_a_reservation_is_given_back_once() -> None:
    given = fold([asking("c1"), Released(call_id="c1", reason="the call failed")])
    assert release("c1", "the call failed", given) == []
    assert settle("c1", Usage(input_tokens=90), given) == []


# --- time ------------------------------------------------------------------------------------------------------------


def test_time_is_counted() -> None:
    given = fold([])
    events = spend_time("r1", 5.0, given)
    assert events == [TimeSpent(run_id="r1", seconds=5.0)]


def test_time_of_a_run_is_counted_once() -> None:
    given = fold([TimeSpent(run_id="r1", seconds=5.0)])
    assert spend_time("r1", 5.0, given) == []
    assert spend_time("r1", 4.0, given) == []


def test_more_time_of_a_run_takes_the_place_of_less() -> None:
    given = fold([TimeSpent(run_id="r1", seconds=5.0), TimeSpent(run_id="r2", seconds=2.0)])
    events = spend_time("r1", 7.0, given)
    assert fold([TimeSpent(run_id="r1", seconds=5.0), TimeSpent(run_id="r2", seconds=2.0), *events]).wall_clock_s == 9.0


# --- whatever happens ------------------------------------------------------------------------------------------------

# Money in steps of 1/64: sums are exact, so a cap is compared with what was really reserved.
CENTS = st.integers(0, 64).map(lambda parts: parts / 64)
CALLS = st.sampled_from([f"c{number}" for number in range(6)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), CALLS, st.integers(0, 400), st.integers(0, 400), CENTS),
        st.tuples(st.just("settle"), CALLS, st.floats(0, 1), st.floats(0, 1), st.just(0.0)),
        st.tuples(st.just("release"), CALLS, st.just(0), st.just(0), st.just(0.0)),
    ),
    max_size=40,
)


@examples(st.integers(1, 2000), st.integers(1, 1500), st.integers(1, 1500), st.integers(1, 256), STEPS)
def test_reserved_and_used_never_pass_a_cap(
    tokens: int, inputs: int, outputs: int, parts: int, steps: list[tuple[str, str, float, float, float]]
) -> None:
    limits = Limits(max_tokens=tokens, max_input_tokens=inputs, max_output_tokens=outputs, max_cost_usd=parts / 64)
    state = fold([Opened(limits=limits)])
    charged: list[Usage] = []
    for kind, call_id, first, second, cost_usd in steps:
        held = state.reserved.get(call_id)
        events: list[Event] = []
        match kind:
            case "reserve":
                try:
                    events = [*reserve("alice", asking(call_id, int(first), int(second), cost_usd), state)]
                except BudgetExceeded:
                    pass  # an answer: nothing is reserved
            case "settle" if held is not None:
                # A call uses at most what was set aside for it.
                usage = Usage(
                    input_tokens=int(held.input_tokens * first),
                    output_tokens=int(held.output_tokens * second),
                    cost_usd=int(held.cost_usd * 64 * first) / 64,
                )
                events = [*settle(call_id, usage, state)]
                charged.append(usage)
            case _:
                events = [*release(call_id, "the call failed", state)]
        state = reduce(evolve, events, state)
        used = state.used
        assert used.input_tokens + state.reserved_input_tokens <= inputs
        assert used.output_tokens + state.reserved_output_tokens <= outputs
        assert used.total_tokens + state.reserved_input_tokens + state.reserved_output_tokens <= tokens
        assert used.cost_usd + state.reserved_cost_usd <= parts / 64
    assert state.used == sum(charged, Usage()), "each settled call is charged once"
