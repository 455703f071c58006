"""Where the nodes of a picture stand: in columns from left to right, as far along as the longest way to them.

The method of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981:
edges that close a circle are turned round, nodes are put into layers, ordered in each so that few edges cross,
and moved towards their neighbours. Within a layer, nodes that nothing tells apart stay in the order of the picture, so
the calls of a run stand below one another as they came. All of it is iterative: a run may be a long chain.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from msgspec import Struct

from .picture import Picture

_SWEEPS = 4


class Box(Struct, frozen=True):
    """The size of a node."""

    width: float
    height: float


class Layout(Struct, frozen=True):
    """Columns of nodes.

    Attributes:
        column: The column of each node.
        middle: How far down the middle of each node is; the first of all nodes begins at 0.
        bends: By source and target: how far down an arrow is in each column that it passes. Of one that goes back by
            target and source.
    """

    column: Mapping[str, int]
    middle: Mapping[str, float]
    bends: Mapping[tuple[str, str], Sequence[float]]


def layout_of(picture: Picture, boxes: Mapping[str, Box], gap: float) -> Layout:
    """Where the nodes stand.

    Args:
        boxes: The nodes' sizes, by their ids.
        gap: What is free between two nodes of a column.
    """
    names = [node.id for node in picture.nodes]
    forward = _forward(names, [(edge.source, edge.target) for edge in picture.edges])
    column = _columns(names, forward)
    layers: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for name in names:
        layers[column[name]].append(name)
    before, after = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    ways: dict[tuple[str, str], list[str]] = {}
    for number, (source, target) in enumerate(forward):
        # An arrow has a place of its own in each column that it passes, or it would run through what stands there.
        passed = range(column[source] + 1, column[target])
        way = ways[source, target] = [f"\0{number} {at}" for at in passed]  # no node has such an id
        for at, name in zip(passed, way, strict=True):
            layers[at].append(name)
        for one, next_one in pairwise([source, *way, target]):
            before[next_one].append(one)
            after[one].append(next_one)
    _order(layers, before)
    heights = {name: boxes[name].height if name in boxes else 0.0 for layer in layers for name in layer}
    middle = _middles(layers, before, after, {name: height + gap for name, height in heights.items()})
    top = min((middle[name] - heights[name] / 2 for name in middle), default=0.0)
    middle = {name: at - top for name, at in middle.items()}
    return Layout(column, middle, {ends: [middle[name] for name in way] for ends, way in ways.items()})


def _forward(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges, those that close a circle turned round, and none twice."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        if target not in targets[source]:
            targets[source].append(target)
    kept: dict[tuple[str, str], None] = {}
    state: dict[str, str] = {}
    for first in names:
        if first in state:
            continue
        state[first] = "on the way"
        stack = [(first, iter(targets[first]))]
        while stack:
            name, rest = stack[-1]
            for target in rest:
                if state.get(target) != "on the way":
                    kept[name, target] = None
                elif target != name:
                    kept[target, name] = None
                if target not in state:
                    state[target] = "on the way"
                    stack.append((target, iter(targets[target])))
                    break
            else:
                state[name] = "done"
                stack.pop()
    return list(kept)


def _columns(names: Sequence[str], forward: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The length of the longest way to each node."""
    column = dict.fromkeys(names, 0)
    waiting = dict.fromkeys(names, 0)
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in forward:
        targets[source].append(target)
        waiting[target] += 1
    ready = [name for name in names if not waiting[name]]
    while ready:
        name = ready.pop()
        for target in targets[name]:
            column[target] = max(column[target], column[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return column


def _order(layers: list[list[str]], before: Mapping[str, Sequence[str]]) -> None:
    """Each layer by where those stand that lead to it; the sort is stable."""
    place: dict[str, float] = {}
    for layer in layers:
        layer.sort(key=lambda name: fmean(place.get(each, 0.0) for each in before[name]) if before.get(name) else 0.0)
        place.update({name: (at + 0.5) / len(layer) for at, name in enumerate(layer)})


def _middles(
    layers: Sequence[Sequence[str]],
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    sizes: Mapping[str, float],
) -> dict[str, float]:
    middle: dict[str, float] = {}
    for layer in layers:
        middle.update(zip(layer, _apart([0.0] * len(layer), [sizes[name] for name in layer]), strict=True))
    for sweep in range(_SWEEPS):
        there = before if sweep % 2 else after  # the last look is at what leads to them
        for layer in layers if sweep % 2 else reversed(layers):
            wanted = [fmean(middle[each] for each in there.get(name, [name])) for name in layer]
            middle.update(zip(layer, _apart(wanted, [sizes[name] for name in layer]), strict=True))
    return middle


def _apart(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """The places nearest to those that are wanted, in the same order, where no two overlap.

    Nodes that would overlap are moved as one block to the mean of what they want (pool adjacent violators).
    """
    offsets: list[float] = []
    for at, size in enumerate(sizes):
        offsets.append(offsets[-1] + (sizes[at - 1] + size) / 2 if at else 0.0)
    blocks: list[tuple[float, int]] = []  # what a block wants for its first offset, and how many nodes it has
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, others = blocks.pop()
            mean = (mean * count + other * others) / (count + others)
            count += others
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
