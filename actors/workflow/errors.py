"""Why a workflow comes to nothing. Recorded with the end of its run: the class as `kind`, the text as `error`.

WorkflowError
├── NodeFailed     a node did not do what it is there for
├── NoRoute        a router names none of its routes
└── LimitReached   a node came up too often, or too many did
"""

from collections.abc import Iterable

from ...events.errors import TreadleError


class WorkflowError(TreadleError):
    """A workflow cannot go on. `node` is where."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node


class NodeFailed(WorkflowError):
    """`why` is what the node says itself."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(node, f"node {node!r} failed: {why}")
        self.why = why


class NoRoute(WorkflowError):
    """There is no route of that key, and no default."""

    def __init__(self, node: str, key: str, known: Iterable[str]) -> None:
        there_are = ", ".join(map(repr, known)) or "none"
        super().__init__(
            node, f"the router after {node!r} says {key!r}, and there is no such route; there are: {there_are}; "
            "add it, or give the router a default="
        )  # fmt: skip
        self.key = key


class LimitReached(WorkflowError):
    """`max_visits_per_node`, or `max_steps`."""

    def __init__(self, node: str, limit: str, most: int, coming: int) -> None:
        super().__init__(
            node, f"node {node!r} is due: that would be number {coming} of at most {most} ({limit}={most}); "
            f"let a router leave the circle earlier, or raise {limit}"
        )  # fmt: skip
        self.limit = limit
        self.most = most
