"""Which node comes next: random graphs, walked in random orders."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.actors.workflow.errors import LimitReached
from treadle.actors.workflow.graph import END, START, GraphEdge, Order, check
from treadle.actors.workflow.schedule import Limits, Schedule, Visit
from treadle.events.errors import ConfigError

FREE = Limits(max_steps=10_000, max_visits_per_node=10_000)


def edges(*pairs: str) -> list[GraphEdge]:
    """`a>b`, and `a?b` for one of a router's; `^` is START and `$` END."""
    sentinels = {"^": START, "$": END}
    return [GraphEdge(sentinels.get(pair[0], pair[0]), sentinels.get(pair[2], pair[2]), routed=pair[1] == "?")
            for pair in pairs]  # fmt: skip


def order(*pairs: str) -> Order:
    drawn = edges(*pairs)
    names = dict.fromkeys(end for edge in drawn for end in (edge.source, edge.target) if end not in (START, END))
    return check("flow", list(names), drawn)


def walk(order: Order, chance: random.Random, limits: Limits = FREE) -> tuple[Schedule, dict[str, list[Any]]]:
    """Walk along all edges, ending nodes in an order of chance; what each node was given."""
    schedule, given, at_work = Schedule(order, limits), dict[str, list[Any]](), list[Visit]()
    schedule.begin("in", order.after[START])
    while True:
        for visit, value in schedule.due():
            given.setdefault(visit.node, []).append(value)
            at_work.append(visit)
        if not at_work:
            return schedule, given
        ended = at_work.pop(chance.randrange(len(at_work)))
        schedule.end(ended, f"{ended.node}{ended.number}", order.after[ended.node])


@st.composite
def graphs(draw: st.DrawFn) -> Order:
    """Graphs without circles in which START leads to every node, somehow."""
    names = [f"n{place}" for place in range(draw(st.integers(1, 9)))]
    drawn = [GraphEdge(START, names[0])]
    for place, name in enumerate(names[1:], 1):
        sources = draw(st.sets(st.sampled_from([START, *names[:place]]), min_size=1))
        drawn += [GraphEdge(source, name) for source in sorted(sources)]
    drawn = draw(st.permutations(drawn))
    return check("flow", draw(st.permutations(names)), drawn)


@given(graphs(), st.integers(), st.integers())
def test_without_circles_each_node_comes_up_once_with_all_inputs_in_the_order_of_edges(
    order: Order, one: int, other: int
) -> None:
    schedule, given = walk(order, random.Random(one))
    assert sorted(given) == sorted(order.place)
    for name, values in given.items():
        sources = [edge.source for edge in order.edges if edge.target == name]
        expected = ["in" if source == START else f"{source}1" for source in sources]
        assert values == [expected[0] if len(expected) == 1 else expected]
    again, given_again = walk(order, random.Random(other))
    assert (given_again, again.visited, again.output) == (given, schedule.visited, schedule.output)


@given(graphs(), st.integers())
def test_no_node_comes_up_before_what_leads_to_it(order: Order, seed: int) -> None:
    visits = walk(order, random.Random(seed))[0].visited
    depth = {visit.node: visit.depth for visit in visits}
    assert all(depth[edge.source] < depth[edge.target] for edge in order.edges if edge.source != START)


@given(st.integers())
def test_two_loops_of_different_lengths_are_waited_for_by_their_join(seed: int) -> None:
    drawn = order("^>a", "^>b", "a?a", "a?j", "b?b", "b?j")
    numbers = {(edge.source, edge.target): number for number, edge in enumerate(drawn.edges)}
    schedule, at_work, given, chance = Schedule(drawn, FREE), list[Visit](), list[Any](), random.Random(seed)
    schedule.begin("in", drawn.after[START])
    while True:
        for visit, value in schedule.due():
            at_work.append(visit)
            given += [value] if visit.node == "j" else []
        if not at_work:
            break
        visit = at_work.pop(chance.randrange(len(at_work)))
        goes_on = visit.number < {"a": 2, "b": 5}.get(visit.node, 0)
        taken = [] if visit.node == "j" else [numbers[visit.node, visit.node if goes_on else "j"]]
        schedule.end(visit, f"{visit.node}{visit.number}", taken)
    assert given == [["a2", "b5"]]


def test_a_join_waits_for_no_branch_that_a_router_has_left_out() -> None:
    drawn = order("^>a", "a?b", "a?c", "b>d", "c>d")
    schedule = Schedule(drawn, FREE)
    schedule.begin("in", drawn.after[START])
    ((a, _),) = schedule.due()
    schedule.end(a, "x", [drawn.after["a"][1]])
    ((c, value),) = schedule.due()
    assert (c.node, value) == ("c", "x")
    schedule.end(c, "y", drawn.after["c"])
    assert [(visit.node, value) for visit, value in schedule.due()] == [("d", "y")]


def test_the_output_is_that_of_the_deepest_branch_and_then_of_the_first_that_was_drawn() -> None:
    deep, _ = walk(order("^>a", "^>b", "b>c"), random.Random(0))
    assert deep.output == "c1"
    level, _ = walk(order("^>b", "^>a"), random.Random(0))
    assert level.output == "b1"


def visits_until_the_cap(limits: Limits) -> LimitReached:
    drawn = order("^>a", "a?a", "a?$")
    schedule = Schedule(drawn, limits)
    schedule.begin("in", drawn.after[START])
    with pytest.raises(LimitReached) as caught:
        for _ in range(100):
            ((visit, value),) = schedule.due()
            schedule.end(visit, value, drawn.after["a"][:1])
    return caught.value


def test_the_visit_that_is_one_too_many_is_named_with_the_numbers_and_the_next_step() -> None:
    error = visits_until_the_cap(Limits(max_visits_per_node=3))
    assert (error.node, error.limit, error.most) == ("a", "max_visits_per_node", 3)
    assert str(error) == (
        "node 'a' is due: that would be number 4 of at most 3 (max_visits_per_node=3); "
        "let a router leave the circle earlier, or raise max_visits_per_node"
    )
    assert "number 6 of at most 5 (max_steps=5)" in str(visits_until_the_cap(Limits(max_steps=5)))


@pytest.mark.parametrize(
    ("drawn", "says"),
    [
        (["a>b"], "has no start: set_start"),
        (["^>a", "a>b", "b>a"], "goes round for ever: a → b → a, and no router"),
        (["^>a", "a>b", "b?a", "b?b"], "no way out of: 'a', 'b'; give a router there a route that leaves"),
    ],
)
def test_a_graph_that_cannot_be_walked_is_refused_and_the_nodes_are_named(drawn: Sequence[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        order(*drawn)


def test_an_edge_to_nowhere_is_refused() -> None:
    with pytest.raises(ConfigError, match="from 'a' to 'z', and there is no node 'z'; there are: 'a'"):
        check("flow", ["a"], edges("^>a", "a>z"))


def test_a_graph_of_a_thousand_nodes_is_looked_at_in_no_time() -> None:
    chain = [GraphEdge(START, "n0"), *(GraphEdge(f"n{place}", f"n{place + 1}") for place in range(999))]
    schedule, given = walk(check("flow", [f"n{place}" for place in range(1000)], chain), random.Random(0))
    assert len(given) == len(schedule.visited) == 1000
