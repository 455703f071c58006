"""The drawing of a workflow: nodes and edges one by one, until they are looked at as a whole before a run."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from msgspec import Struct

from ..actors.tool import Tool
from ..actors.workflow.graph import END, START, Graph, GraphEdge, GraphNode, check
from ..actors.workflow.nodes import Node
from ..actors.workflow.schedule import Limits
from ..actors.workflow.walk import Plan, Router, Stop
from ..events.errors import ConfigError
from .arguments import check_id
from .workflow_nodes import GivenNode, call_of, node_of


class _Drawn(Struct, frozen=True):
    """A router. Its routes are the edges from there, the last of them the default if it has one."""

    tool: Tool | None
    has_default: bool


class Drawing:
    """Nodes, edges, routers."""

    def __init__(self, name: str) -> None:
        check_id("name", name)
        self.name = name
        self._stops: dict[str, Stop] = {}
        self._edges: list[GraphEdge] = []
        self._routers: dict[str, _Drawn] = {}

    def _changed(self) -> None:
        """What was made of the drawing is out of date."""

    def add_node(self, name: str, node: GivenNode) -> Self:
        """A node: a function of one value (a sync one runs in a thread), an agent, a workflow, a tool, a shape."""
        self._add(name, node_of(node))
        return self

    def add_edge(self, source: str, target: str) -> Self:
        """From one node to another. Several from one node go on beside one another. Takes the place of a router."""
        edge = GraphEdge(self._end(source, END), self._end(target, START))
        if self._routers.pop(source, None) is not None:
            self._edges = [each for each in self._edges if each.source != source]
        if edge not in self._edges:
            self._edges.append(edge)
        self._changed()
        return self

    def add_router(
        self, source: str, fn: Callable[[Any], Any], routes: Mapping[str, str], *, default: str | None = None
    ) -> Self:
        """After a node, or `START`: `fn` of its output says by which route it goes on. Takes the place of edges.

        Args:
            fn: Sync or async; what it returns is a key as text. Recorded as a call that changes nothing, unless `@step`
                says otherwise.
            default: Where any other key leads; without it that is an error.
        """
        if not callable(fn):
            raise ConfigError(f"the router after {source!r} is no function: {fn!r}")
        self._route(source, call_of(fn, read_only=True), routes, default)
        return self

    def set_start(self, name: str) -> Self:
        """Begin there, and nowhere else."""
        self._edges = [edge for edge in self._edges if edge.source != START]
        self._routers.pop(START, None)
        return self.add_edge(START, name)

    def _add(self, name: str, node: Node, *, original: bool = False) -> None:
        check_id("name of a node", name)
        if not name.strip() or len(name) > 100 or name in (START, END) or "/" in name:
            raise ConfigError(f"{name!r} names no node: 1 to 100 characters without '/', and neither START nor END")
        if name in self._stops:
            raise ConfigError(f"workflow {self.name!r} has a node {name!r} already")
        self._stops[name] = Stop(node, original)
        self._changed()

    def _route(self, source: str, tool: Tool | None, routes: Mapping[str, str], default: str | None) -> None:
        self._end(source, END)
        edges = [GraphEdge(source, self._end(target, START), str(key), True) for key, target in routes.items()]
        if default is not None:
            edges.append(GraphEdge(source, self._end(default, START), "default", True))
        if not edges:
            raise ConfigError(f"the router after {source!r} has no routes")
        self._edges = [*(edge for edge in self._edges if edge.source != source), *edges]
        self._routers[source] = _Drawn(tool, default is not None)
        self._changed()

    def _end(self, name: object, but: str) -> str:
        if not isinstance(name, str) or name == but:
            raise ConfigError(f"workflow {self.name!r}: an edge cannot have {name!r} at this end; give a node's name")
        return name

    @property
    def graph(self) -> Graph:
        """What can be drawn of it: `nodes` with name and kind, `edges` with source, target and label."""
        ends = {end for edge in self._edges for end in (edge.source, edge.target)}
        return Graph(
            self.name,
            (
                *([GraphNode(START, "start")] if START in ends else []),
                *(GraphNode(name, stop.node.kind) for name, stop in self._stops.items()),
                *([GraphNode(END, "end")] if END in ends else []),
            ),
            tuple(self._edges),
        )

    def looked_at(self, limits: Limits, tone: str, *, memory: bool) -> Plan:
        """The drawing as a whole.

        Raises:
            ConfigError: Something is wrong with it; names the nodes.
        """
        order = check(self.name, list(self._stops), self._edges)
        routers: dict[str, Router] = {}
        for source, drawn in self._routers.items():
            edges = list(order.after[source])
            default = edges.pop() if drawn.has_default else None
            routers[source] = Router({self._edges[each].label: each for each in edges}, default, drawn.tool)
        return Plan(self.name, dict(self._stops), routers, order, limits, tone, memory)
