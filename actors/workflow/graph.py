"""The graph of a workflow as it is drawn: nodes by name, edges, routers. What is wrong with it is said before a run."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from ...events.errors import ConfigError

START = "__start__"
END = "__end__"

Kind: TypeAlias = Literal["start", "end", "function", "agent", "workflow", "parallel", "map", "human"]


class GraphNode(Struct, frozen=True):
    name: str
    kind: Kind


class GraphEdge(Struct, frozen=True):
    """From one node to another. `label` is the key of a router's route, `default` for the rest; empty for others."""

    source: str
    target: str
    label: str = ""
    routed: bool = False


class Graph(Struct, frozen=True):
    """What can be drawn of a workflow. `START` and `END` are nodes of their own kind, where an edge names them."""

    name: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class Order:
    """What a schedule has to know of the edges: which of them go back, and what lies before a node.

    An edge goes back when it leads to a node that the way there has come by, looking from `START` along the edges in
    the order in which they were drawn. The others, the forward edges, make no circle.
    """

    def __init__(self, names: Sequence[str], edges: Sequence[GraphEdge]) -> None:
        self.place: Mapping[str, int] = {name: place for place, name in enumerate(names)}
        self.edges = edges
        self.after: dict[str, list[int]] = {name: [] for name in (START, *names)}
        for number, edge in enumerate(edges):
            self.after[edge.source].append(number)
        self.back, finished = self._look()
        self.cyclic = bool(self.back)
        self.reached = sorted(set(finished) - {START}, key=self.place.__getitem__)
        self._before: dict[str, frozenset[str]] = {name: frozenset() for name in self.after}
        for name in reversed(finished):  # a node comes after all that lead to it
            with_it = self._before[name] | {name}
            for target in self._forward(name):
                self._before[target] |= with_it

    def before(self, name: str) -> frozenset[str]:
        """The nodes from which forward edges lead to `name`."""
        return self._before[name]

    def leads_to(self, name: str) -> frozenset[str]:
        """The nodes that edges of any kind lead to from `name`."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            targets = {self.edges[number].target for number in self.after[waiting.pop()]} - found - {END}
            found |= targets
            waiting += targets
        return frozenset(found)

    def _forward(self, name: str) -> list[str]:
        edges = ((number, self.edges[number].target) for number in self.after[name])
        return [target for number, target in edges if number not in self.back and target != END]

    def _look(self) -> tuple[set[int], list[str]]:
        """The edges that go back, and the nodes that are reached, each after all that it leads to."""
        back: set[int] = set()
        finished: list[str] = []
        done: set[str] = set()
        way = {START}
        stack = [(START, iter(self.after[START]))]
        while stack:
            name, edges = stack[-1]
            for number in edges:
                target = self.edges[number].target
                if target in way:
                    back.add(number)
                elif target not in done and target != END:
                    way.add(target)
                    stack.append((target, iter(self.after[target])))
                    break
            else:
                stack.pop()
                way.discard(name)
                done.add(name)
                finished.append(name)
        return back, finished


def check(workflow: str, names: Sequence[str], edges: Sequence[GraphEdge]) -> Order:
    """What a schedule has to know of the edges.

    Raises:
        ConfigError: There is no way to begin, an edge leads nowhere, or a circle has no way out.
    """
    known = ", ".join(map(repr, names)) or "none"
    for edge in edges:
        for end, sentinel in ((edge.source, START), (edge.target, END)):
            if end not in names and end != sentinel:
                raise ConfigError(
                    f"workflow {workflow!r}: an edge from {edge.source!r} to {edge.target!r}, and there is no node "
                    f"{end!r}; there are: {known}; add_node({end!r}, …) it"
                )
    order = Order(names, edges)
    if not order.after[START]:
        raise ConfigError(f"workflow {workflow!r} has no start: set_start(…), or add_edge(START, …); nodes: {known}")
    _check_ways_out(workflow, order)
    return order


def _check_ways_out(workflow: str, order: Order) -> None:
    # An edge without a router is taken every time, so a circle of such edges goes on for ever.
    forced = {
        name: [order.edges[number].target for number in order.after[name] if not order.edges[number].routed]
        for name in order.reached
    }
    circle = _circle(forced)
    if circle:
        raise ConfigError(
            f"workflow {workflow!r} goes round for ever: {' → '.join(circle)}, and no router is on the way; "
            "add_router(…) one that leaves it"
        )
    leaving = {name for name in order.reached if not order.after[name]}
    leading: dict[str, set[str]] = {}
    for edge in order.edges:
        leading.setdefault(edge.target, set()).add(edge.source)
    waiting = [END, *leaving]
    while waiting:
        for source in leading.get(waiting.pop(), set()) - leaving:
            leaving.add(source)
            waiting.append(source)
    stuck = [name for name in order.reached if name not in leaving]
    if stuck:
        raise ConfigError(
            f"workflow {workflow!r} has no way out of: {', '.join(map(repr, stuck))}; "
            "give a router there a route that leaves, to END perhaps"
        )


def _circle(targets: Mapping[str, Sequence[str]]) -> list[str]:
    """The nodes of a circle, the first at the end again; empty when there is none."""
    done: set[str] = set()
    for first in targets:
        way = [first]
        stack = [iter(targets[first])]
        while stack:
            for target in stack[-1]:
                if target in way:
                    return [*way[way.index(target) :], target]
                if target not in done and target != END:
                    way.append(target)
                    stack.append(iter(targets[target]))
                    break
            else:
                stack.pop()
                done.add(way.pop())
    return []
