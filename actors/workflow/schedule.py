"""Which node of a workflow comes next: a pure rule over what has ended. No clock, no tasks, nothing recorded.

A node is due when something has arrived at it and nothing more can: no node that is due, or at work, lies before it by
forward edges. So a join waits for all branches that may still arrive, and for none that a router has left out. What
arrives by an edge that goes back makes a further visit. Without such edges the visits, and what they are given, are the
same in whatever order their predecessors end.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from .errors import LimitReached
from .graph import END, START, Order


class Limits(Struct, frozen=True):
    """How far a workflow may go: nodes in all, visits of each, nodes at once."""

    max_steps: int = 100
    max_visits_per_node: int = 25
    max_concurrency: int = 8


class Visit(Struct, frozen=True):
    """A node comes up, for the `number`th time. `depth`: how many nodes the longest way to it has, itself included."""

    node: str
    number: int
    depth: int


class _Arrived(Struct, frozen=True):
    edge: int
    value: Any
    depth: int


class Schedule:
    """One walk through a graph. Whoever walks tells it what has ended, and asks what is due.

    Args:
        path: What errors put before the name of a node.
    """

    def __init__(self, order: Order, limits: Limits, path: str = "") -> None:
        self._order = order
        self._path = path
        self._limits = limits
        self._arrived: dict[str, list[_Arrived]] = {}
        self._at_work: dict[str, int] = {}
        self._visits: dict[str, int] = {}
        self._made: list[Visit] = []
        self._ended: list[tuple[Visit, Any]] = []
        self._given: Any = None

    @property
    def visited(self) -> list[Visit]:
        """The visits so far: by depth, then as the nodes were drawn."""
        return sorted(self._made, key=lambda visit: (visit.depth, self._order.place[visit.node], visit.number))

    @property
    def output(self) -> Any:
        """What the deepest branch ended with; the first that was drawn, among equals.

        When the way from `START` led to `END` at once, what came in goes out.
        """
        if not self._ended:
            return self._given
        place = self._order.place
        return min(self._ended, key=lambda each: (-each[0].depth, place[each[0].node], each[0].number))[1]

    def begin(self, value: Any, targets: Iterable[int]) -> None:
        """The edges from `START` that are taken."""
        self._given = value
        self._arrive(START, 0, value, targets)

    def end(self, visit: Visit, value: Any, targets: Sequence[int]) -> None:
        """A node came to `value`; the edges that are taken from it, by their numbers."""
        left = self._at_work[visit.node] - 1
        if left:
            self._at_work[visit.node] = left
        else:
            del self._at_work[visit.node]
        if not self._arrive(visit.node, visit.depth, value, targets):
            self._ended.append((visit, value))

    def _arrive(self, source: str, depth: int, value: Any, targets: Iterable[int]) -> bool:
        went_on = False
        for number in targets:
            target = self._order.edges[number].target
            if target == END:
                continue
            went_on = True
            self._arrived.setdefault(target, []).append(_Arrived(number, value, depth))
        return went_on

    def due(self) -> list[tuple[Visit, Any]]:
        """The nodes that come up now, with what they are given; from here on they are at work.

        Raises:
            LimitReached: One node too many.
        """
        active = self._arrived.keys() | self._at_work.keys()
        due = [name for name in self._arrived if self._order.before(name).isdisjoint(active)]
        due.sort(key=self._order.place.__getitem__)
        return [self._visit(name) for name in due]

    def may_come(self, name: str, number: int, beside: str) -> bool:
        """Whether a visit has come up, or may while the node `beside` is at work: not behind it, and from elsewhere."""
        if number <= self._visits.get(name, 0):
            return True
        if beside in self._order.before(name):
            return False
        others = self._arrived.keys() | {each for each, count in self._at_work.items() if each != beside or count > 1}
        return name in self._arrived or any(name in self._order.leads_to(other) for other in others)

    def _visit(self, name: str) -> tuple[Visit, Any]:
        arrived = sorted(self._arrived.pop(name), key=lambda each: each.edge)
        number = self._visits.get(name, 0) + 1
        if number > self._limits.max_visits_per_node:
            raise LimitReached(f"{self._path}{name}", "max_visits_per_node", self._limits.max_visits_per_node, number)
        if len(self._made) == self._limits.max_steps:
            raise LimitReached(f"{self._path}{name}", "max_steps", self._limits.max_steps, len(self._made) + 1)
        self._visits[name] = number
        self._at_work[name] = self._at_work.get(name, 0) + 1
        visit = Visit(name, number, 1 + max(each.depth for each in arrived))
        self._made.append(visit)
        values = [each.value for each in arrived]
        return visit, values[0] if len(values) == 1 else values
