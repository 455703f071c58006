"""The shapes that workflows mostly have, drawn in one line each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ..actors.workflow.graph import START
from ..actors.workflow.nodes import HumanNode, MapNode, Node, ParallelNode
from ..events.errors import ConfigError
from .arguments import check_text
from .workflow_drawing import Drawing
from .workflow_nodes import GivenNode, call_of, names_of, node_of


class Shapes(Drawing):
    """A drawing that begins as a chain, a route, a fan-out; and the nodes that have a shape of their own.

    `settings` are those of `Workflow`.
    """

    @classmethod
    def chain(cls, steps: Sequence[GivenNode], *, name: str = "chain", **settings: Any) -> Self:
        """One after the other, each with what the one before came to."""
        _check_steps(steps)
        made, before = cls(name, **settings), START
        for each, given in zip(names_of(steps), steps, strict=True):
            made.add_node(each, given).add_edge(before, each)
            before = each
        return made

    @classmethod
    def route(
        cls,
        classifier: GivenNode,
        routes: Mapping[str, GivenNode],
        *,
        default: GivenNode | None = None,
        name: str = "route",
        **settings: Any,
    ) -> Self:
        """What `classifier` comes to picks one of `routes`, which is given what the workflow was given.

        Its nodes are `classify`, `route_<key>` and `route_default`.
        """
        made = cls(name, **settings)
        made.add_node("classify", classifier).add_edge(START, "classify")
        targets = {key: f"route_{key}" for key in routes}
        for key, given in routes.items():
            made._add(targets[key], node_of(given), original=True)
        if default is not None:
            made._add("route_default", node_of(default), original=True)
        made._route("classify", None, targets, "route_default" if default is not None else None)
        return made

    @classmethod
    def parallel(
        cls,
        steps: Sequence[GivenNode],
        *,
        merge: Callable[[list[Any]], Any] | None = None,
        return_exceptions: bool = False,
        name: str = "parallel",
        **settings: Any,
    ) -> Self:
        """All beside one another with the same input, in one node: `fan_out`, which see."""
        made = cls(name, **settings)
        made.add_node("fan_out", cls.fan_out(steps, merge=merge, return_exceptions=return_exceptions))
        made.add_edge(START, "fan_out")
        return made

    @staticmethod
    def fan_out(
        steps: Sequence[GivenNode],
        *,
        merge: Callable[[list[Any]], Any] | None = None,
        return_exceptions: bool = False,
        limit: int | None = None,
    ) -> Node:
        """A node of several beside one another; its output is the list of theirs, or what `merge` makes of it.

        Args:
            return_exceptions: One that fails has `{"error": …, "node": …}` in its place, and ends no other.
            limit: How many at once; default the workflow's `max_concurrency`.
        """
        _check_steps(steps)
        branches = {name: node_of(given) for name, given in zip(names_of(steps), steps, strict=True)}
        return ParallelNode(branches, call_of(merge) if merge is not None else None, return_exceptions, _checked(limit))

    @staticmethod
    def map(given: GivenNode, *, limit: int | None = None, return_exceptions: bool = False) -> Node:
        """A node over a list: `given` for each item, and the results as a list in the order of the items.

        Args:
            limit, return_exceptions: As for `fan_out`.
        """
        return MapNode(node_of(given), _checked(limit), return_exceptions)

    @staticmethod
    def human(question: str) -> Node:
        """A node that waits until somebody says yes or no, for days if need be: `approve`, or `treadle approve`.

        Its output is `{"allowed": …, "by": …, "note": …, "input": …}`.
        """
        check_text("question", question)
        if not question.strip():
            raise ConfigError("the question of a human node is empty; say what is to be decided")
        return HumanNode(question)


def _check_steps(steps: object) -> None:
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise ConfigError(f"the steps of a workflow are a list of nodes, and {steps!r} is none")


def _checked(limit: int | None) -> int | None:
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ConfigError(f"limit={limit!r}; it must be 1 or more")
    return limit
