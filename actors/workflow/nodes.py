"""What a node does when it comes up: call a function, ask an agent, several of them beside one another, a person.

Whatever a node returns is as it was recorded, so the next node is given the same by a run that was never killed and by
one that was. What cannot be done is a `NodeFailed` that names the node.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import msgspec
from msgspec import Struct, structs

from ...events.errors import ConfigError, NotFound
from ...events.message import ToolSpec
from ...events.run import RunState
from ...events.tool_step import ToolCompleted, ToolFailed, ToolStep
from ..children import HasSpec, spec_of
from ..manner import Manner
from ..model_charges import Interrupted
from ..output import DoesNotFit, given_in
from ..places import Places
from ..raised import Caught, catching
from ..steps import Steps
from ..tool import Tool, as_text
from .errors import NodeFailed, WorkflowError
from .graph import Kind


class Place(Struct, frozen=True):
    """Where a node is done.

    Attributes:
        path: The node's name, with those of the workflows that it is in: `review/draft`.
        steps: The steps of this visit, and of no other.
        limit: How many branches or items of one node may go on at once.
        places: For what calls and asks here, and in all that is beside it.
        tone: How agents are to phrase their answers that have no tone of their own.
        memory: Agents that have no memory have one here.
        workflow: Whose run it is, by name.
        anew: Agents begin without a conversation, in a session too.
    """

    path: str
    steps: Steps
    limit: int = 1
    tone: str = ""
    memory: bool = False
    workflow: str = ""
    anew: bool = False
    places: tuple[Places, ...] = ()

    def within(self, name: str, steps: Steps) -> "Place":
        """The place of something that belongs to the node."""
        return structs.replace(self, path=f"{self.path}{name}", steps=steps)

    def limited(self, limit: int | None) -> "Place":
        """The same place for a node that has a limit of its own: in it, that counts."""
        return self if limit is None else structs.replace(self, limit=limit, places=(Places(limit), *self.places[1:]))

    def conversation(self, agent: HasSpec) -> str:
        """The session that an agent goes on with here; empty for none.

        An agent with a name has that of the run. Any other has one of its own, which no other node has, and which is
        another when its instructions are others: nothing else says who it is.
        """
        session = self.steps.conversation_id
        if self.anew or not session:
            return ""
        if agent.has_name:
            return session
        made_of = [self.workflow, self.path, agent.spec.instructions]
        return f"{session}__{hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:16]}"


class Node(Protocol):
    """A node.

    Attributes:
        plain: What it returns is the output of its first call, which is recorded there.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def plain(self) -> bool: ...

    def tools(self, path: str) -> Iterator[Tool]:
        """What it calls, under the names that the calls are recorded with."""
        ...

    def agents(self) -> Iterator[HasSpec]:
        """The agents that it asks."""
        ...

    async def run(self, value: Any, place: Place) -> Any:
        """Do it.

        Raises:
            NodeFailed: It could not.
            Interrupted: An agent was, by a limit.
        """
        ...


def function_tool(function: Callable[..., Any], spec: ToolSpec, *, is_async: bool, takes: bool = True) -> Tool:
    """What calls a function of one argument, or of none."""

    def run(input: Any) -> Any:
        return function(input) if takes else function()

    return Tool(spec, run, is_async)


def renamed(tool: Tool, name: str) -> Tool:
    return structs.replace(tool, spec=structs.replace(tool.spec, name=name))


async def call(path: str, value: Any, place: Place) -> Any:
    """The recorded output of a call.

    Raises:
        NodeFailed: There is none.
    """
    async with place.steps.seated(place.places):
        with catching() as caught:
            step = await place.steps.call(path, {"input": value})
        return output_of(path, step, caught)


def output_of(node: str, step: ToolStep, caught: Caught | None = None) -> Any:
    """What a call came to.

    Raises:
        NodeFailed: It failed, was not allowed, or nobody knows.
    """
    match step.outcome:
        case ToolCompleted(output=output):
            return output
        case ToolFailed(call_id=call_id, error=error, kind=kind):
            why = f"it was not allowed: {error}" if kind == "denied" else error
            raise NodeFailed(node, why) from (caught.of(call_id) if caught is not None else None)
        case other:
            raise NodeFailed(node, f"nobody knows what came of it: {other.reason if other is not None else 'no end'}")


class FunctionNode(Struct, frozen=True):
    """A function: a recorded call like that of a tool, with the flags that `@step` gave it."""

    tool: Tool
    kind: Kind = "function"
    plain: bool = True

    def tools(self, path: str) -> Iterator[Tool]:
        yield renamed(self.tool, path)

    def agents(self) -> Iterator[HasSpec]:
        return iter(())

    async def run(self, value: Any, place: Place) -> Any:
        return await call(place.path, value, place)


class AgentNode(Struct, frozen=True):
    """An agent, in a run of its own: a child. An answer in a form is handed on as the value that it holds."""

    agent: HasSpec
    kind: Kind = "agent"

    @property
    def plain(self) -> bool:
        return self.agent.spec.manner.output is None

    def tools(self, path: str) -> Iterator[Tool]:
        return iter(())

    def agents(self) -> Iterator[HasSpec]:
        yield self.agent

    async def run(self, value: Any, place: Place) -> Any:
        spec = spec_of(self.agent, place.path)
        if place.memory and not spec.memory:
            spec = structs.replace(spec, memory=True)
        try:
            async with place.steps.seated(place.places):
                ended = await place.steps.agent(
                    spec,
                    as_text(value),
                    role=place.path,
                    session_id=place.conversation(self.agent),
                    manner=Manner(tone=place.tone or None).where_free(spec.manner),
                )
        except (ConfigError, NotFound) as exc:
            raise NodeFailed(place.path, str(exc)) from exc
        if ended.state == RunState.INTERRUPTED:
            raise Interrupted(ended.error or "interrupted", f"node {place.path!r} was interrupted: {ended.error}")
        if not ended.answered:
            raise NodeFailed(place.path, f"its run ended {ended.state}: {ended.error or ended.output}")
        output = spec.manner.output
        if output is None:
            return ended.output
        try:
            return given_in(ended.output, output.wrapped).value
        except DoesNotFit as exc:
            raise NodeFailed(place.path, f"its answer cannot be read: {exc}") from exc


class ParallelNode(Struct, frozen=True):
    """Branches beside one another, each with what the node was given; their results as a list, in their order.

    Attributes:
        merge: Makes the node's output of that list.
        return_exceptions: A branch that fails, or that a limit of its own stops, has `{"error": …, "node": …}` in its
            place, and ends no other. A budget of the run ends all.
    """

    branches: Mapping[str, Node]
    merge: Tool | None = None
    return_exceptions: bool = False
    limit: int | None = None
    kind: Kind = "parallel"
    plain: bool = False

    def tools(self, path: str) -> Iterator[Tool]:
        for name, node in self.branches.items():
            yield from node.tools(f"{path}.{name}")
        if self.merge is not None:
            yield renamed(self.merge, f"{path}:merge")

    def agents(self) -> Iterator[HasSpec]:
        for node in self.branches.values():
            yield from node.agents()

    async def run(self, value: Any, place: Place) -> Any:
        results = await _beside(
            [(f".{name}", "", node, value) for name, node in self.branches.items()],
            place.limited(self.limit), return_exceptions=self.return_exceptions,
        )  # fmt: skip
        return results if self.merge is None else await call(f"{place.path}:merge", results, place)


class MapNode(Struct, frozen=True):
    """One node over each item of a list; the results as a list, in the order of the items.

    Items have nothing to do with one another, so an agent begins with each anew, in a session too.

    Attributes:
        limit: How many items are at work at once; None for the workflow's `max_concurrency`.
        return_exceptions: As for `ParallelNode`.
    """

    node: Node
    limit: int | None = None
    return_exceptions: bool = False
    kind: Kind = "map"
    plain: bool = False

    def tools(self, path: str) -> Iterator[Tool]:
        return self.node.tools(path)

    def agents(self) -> Iterator[HasSpec]:
        return self.node.agents()

    async def run(self, value: Any, place: Place) -> Any:
        if not isinstance(value, list):
            raise NodeFailed(place.path, f"it maps over a list, and was given {type(value).__name__}")
        items: list[Any] = list(cast("Sequence[Any]", value))
        return await _beside(
            [("", f"item {number}: ", self.node, item) for number, item in enumerate(items)],
            structs.replace(place.limited(self.limit), anew=True), return_exceptions=self.return_exceptions,
        )  # fmt: skip


async def _beside(parts: Sequence[tuple[str, str, Node, Any]], place: Place, *, return_exceptions: bool) -> list[Any]:
    async def run(name: str, which: str, node: Node, value: Any, steps: Steps) -> Any:
        within = place.within(name, steps)
        try:
            return await node.run(value, within)
        except NodeFailed as exc:
            if return_exceptions:
                return {"error": exc.why, "node": within.path}
            raise NodeFailed(exc.node, f"{which}{exc.why}") from exc
        except WorkflowError as exc:
            if not return_exceptions:
                raise
            return {"error": str(exc), "node": within.path}
        except Interrupted as exc:
            if not return_exceptions or steps.is_capped(exc.reason):
                raise
            return {"error": f"interrupted: {exc.reason}", "node": within.path}

    branches: list[Callable[[Steps], Awaitable[Any]]] = [partial(run, *part) for part in parts]
    return await place.steps.together(branches, limit=place.limit)


class HumanNode(Struct, frozen=True):
    """Somebody says yes or no, however long that takes; a run that can only wait for it is parked.

    Its output is `{"allowed": …, "by": …, "note": …, "input": …}`, and a no is an output too.
    """

    question: str
    kind: Kind = "human"
    plain: bool = False

    def tools(self, path: str) -> Iterator[Tool]:
        # The approval is all of it: what runs when it is given does nothing.
        spec = ToolSpec(path, self.question, requires_permission=True, read_only=True, timeout_s=None)
        yield Tool(spec, _nothing, True)

    def agents(self) -> Iterator[HasSpec]:
        return iter(())

    async def run(self, value: Any, place: Place) -> Any:
        async with place.steps.seated(()):
            step = await place.steps.call(place.path, {"question": self.question, "input": value})
        decision = step.decision
        if decision is None:
            return output_of(place.path, step)
        return {"allowed": decision.allowed, "by": decision.by, "note": decision.note, "input": value}


async def _nothing(question: str, input: Any) -> None:
    """What is left to do when somebody has said yes."""
