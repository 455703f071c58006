"""Placement: whatever nodes come and go, each partition ends up with one of them, and they share fairly."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from treadle.events.placement import NodeRecord, host_of, partition_of, share
from treadle.events.subjects import SignalAddress, Subjects

World = dict[str, NodeRecord]


def step(world: World, node: str, count: int) -> tuple[World, int]:
    """What `node` does about the world as it is, with how many partitions it took."""
    me = world[node]
    found = share(me, [record for name, record in world.items() if name != node], count)
    kept = (set(me.partitions) - found.give_up - found.lost) | found.take
    return {**world, node: structs.replace(me, partitions=tuple(sorted(kept)))}, len(found.take)


def settle(world: World, count: int) -> tuple[World, int]:
    """Every node acts until nobody does anything more; with how many partitions were taken in all."""
    moved = 0
    for _ in range(len(world) * 3 + 3):
        before = world
        for node in sorted(world):
            world, taken = step(world, node, count)
            moved += taken
        if world == before:
            return world, moved
    raise AssertionError(f"the nodes never come to rest: {world}")


def joined(world: World, *nodes: str) -> World:
    return {**world, **{node: NodeRecord(node=node) for node in nodes}}


def owners(world: World) -> Counter[int]:
    return Counter(partition for record in world.values() for partition in record.partitions)


@given(
    st.lists(st.tuples(st.sampled_from(["join", "die", "leave"]), st.integers(0, 7)), max_size=12), st.integers(1, 40)
)
@settings(max_examples=200)
def test_each_partition_ends_up_with_one_node_and_shares_differ_by_one(
    story: list[tuple[str, int]], count: int
) -> None:
    world = joined({}, "node-0")
    for what, number in story:
        node = f"node-{number}"
        match what:
            case "join" if node not in world:
                world = joined(world, node)
            case "die" if len(world) > 1:
                world = {name: record for name, record in world.items() if name != node}
            case "leave" if node in world:
                world = {**world, node: structs.replace(world[node], leaving=True)}
            case _:
                continue
        world, _ = settle(world, count)
        staying = [record for record in world.values() if not record.leaving]
        if not staying:
            assert not owners(world)
            continue
        assert owners(world) == Counter(range(count))
        assert all(not record.partitions for record in world.values() if record.leaving)
        sizes = [len(record.partitions) for record in staying]
        assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 8), st.integers(1, 64))
def test_a_newcomer_moves_no_more_than_its_share(nodes: int, count: int) -> None:
    world, _ = settle(joined({}, *(f"node-{number}" for number in range(nodes))), count)
    _, moved = settle(joined(world, "newcomer"), count)
    assert moved <= count // (nodes + 1) + 1


def test_of_two_owners_of_a_partition_both_let_go_and_one_has_it_then() -> None:
    world = {name: NodeRecord(node=name, partitions=(0, 1)) for name in ("a", "b")}
    assert share(world["a"], [world["b"]], 2).lost == {0, 1}
    world, _ = settle(world, 2)
    assert owners(world) == Counter(range(2))


def test_a_node_that_leaves_takes_nothing() -> None:
    assert share(NodeRecord(node="a", leaving=True), [], 8).take == frozenset()


def test_the_hash_is_that_of_nats_server() -> None:
    # Measured on nats-server 2.15.1, with {{partition(32,1,2,3)}}.
    assert [
        partition_of(tokens, 32) for tokens in (("alice", "desk", "conv-1"), ("a", "b", "c"), ("-", "desk", "=2D"))
    ] == [
        2,
        11,
        2,
    ]
    assert Subjects().partition(SignalAddress("", "desk", "-"), 32) == 2


def test_a_session_runs_where_its_agent_is_hosted() -> None:
    records = [
        NodeRecord(node="a", agents=("desk",), partitions=(0, 1)),
        NodeRecord(node="b", agents=("desk", "night"), partitions=(2,)),
        NodeRecord(node="c", agents=("night",), leaving=True),
    ]
    assert [host_of("desk", partition, records) for partition in (0, 2)] == ["a", "b"]
    assert {host_of("night", partition, records) for partition in (0, 1, 2)} == {"b"}
    assert host_of("nobody", 0, records) == ""
