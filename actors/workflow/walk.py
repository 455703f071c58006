"""The walk through a workflow, as an architecture: a workflow's run is a run as an agent's is.

Each visit of a node has steps of its own, named by node and visit. Nodes that are due at the same time go on beside one
another; the first that fails ends the others, and the run with its reason.

With edges that go back, who ends first may decide what comes next. So where several nodes are at work in such a graph,
the one that is taken for the first is recorded, and a replay takes it again.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from ...events.errors import ConfigError
from ..children import MAX_DEPTH, Asked, HasSpec
from ..model_charges import Interrupted
from ..parking import Crew
from ..places import Places
from ..steps import Steps
from ..tone import ambient
from ..tool import Tool, as_text
from .errors import NoRoute, WorkflowError
from .graph import START, Kind, Order
from .names import visit_in, visit_name
from .nodes import AgentNode, Node, Place, call, renamed
from .schedule import Limits, Schedule, Visit

RESULT = "result"
"""Names the part in which is recorded what the walk came to."""

INPUT = "input"
"""Names the input among what a run is shown, when it is no text."""


class Router(Struct, frozen=True):
    """Says by which edge it goes on. Without a function, what the node came to is the key itself."""

    routes: Mapping[str, int]
    default: int | None = None
    tool: Tool | None = None


class Stop(Struct, frozen=True):
    """A node in its graph. `original`: it is given what the workflow was, and not what led to it."""

    node: Node
    original: bool = False


class Plan(Struct, frozen=True):
    """A workflow that was checked, and is not changed any more."""

    name: str
    stops: Mapping[str, Stop]
    routers: Mapping[str, Router]
    order: Order
    limits: Limits
    tone: str = ""
    memory: bool = False

    def agents(self) -> Iterator[HasSpec]:
        """The agents of its nodes, in all depths."""
        for stop in self.stops.values():
            yield from stop.node.agents()

    def tools(self, path: str = "") -> Iterator[Tool]:
        """What its nodes and routers call, in all depths."""
        for name, stop in self.stops.items():
            yield from stop.node.tools(f"{path}{name}")
        for name, router in self.routers.items():
            if router.tool is not None:
                yield renamed(router.tool, f"{path}{_shown(name)}:route")


class Walked(Struct, frozen=True):
    """What a walk came to. `composed`: the outputs that no call has as they are, by node."""

    output: Any
    visited: list[str]
    composed: dict[str, Any]


class WorkflowNode(Struct, frozen=True):
    """A workflow in another one: a part of the same run, so it hands on values of any form, and waits with it."""

    plan: Callable[[], Plan]
    kind: Kind = "workflow"
    plain: bool = False

    def tools(self, path: str) -> Iterator[Tool]:
        if path.count("/") >= MAX_DEPTH:
            raise ConfigError(f"workflows are nested more than {MAX_DEPTH} deep at {path!r}; is one within itself?")
        return self.plan().tools(f"{path}/")

    def agents(self) -> Iterator[HasSpec]:
        return self.plan().agents()

    async def run(self, value: Any, place: Place) -> Any:
        plan = self.plan()
        within = structs.replace(place, tone=plan.tone or place.tone, memory=plan.memory or place.memory)
        return (await _Walk(plan, within).go(value)).output


class WorkflowRun:
    """`Architecture`: walks through a plan."""

    name = "workflow"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def declared_workers(self) -> Mapping[str, Asked]:
        agents = ((name, stop.node) for name, stop in self._plan.stops.items())
        return {name: node.agent for name, node in agents if isinstance(node, AgentNode)}

    async def run(self, steps: Steps) -> str:
        inputs = steps.shown.get("inputs", {})
        value = inputs.get(INPUT, steps.prompt)
        plan = self._plan
        walk = _Walk(plan, Place("", steps, tone=steps.tone, memory=plan.memory, workflow=plan.name))
        steps.note("workflow.started", {"workflow": self._plan.name, "input": value})
        try:
            walked = await walk.go(value)
        except (WorkflowError, Interrupted):
            await self._record(steps, Walked(None, walk.visited, walk.composed))
            raise
        await self._record(steps, walked)
        steps.note("workflow.completed", {"workflow": self._plan.name, "output": walked.output})
        return as_text(walked.output)

    async def _record(self, steps: Steps, walked: Walked) -> None:
        told = {
            "visited": walked.visited,
            "composed": walked.composed,
            "text": isinstance(walked.output, str),
        }
        await steps.named(RESULT).value("workflow", lambda: told)


class _Walk:
    """One walk, of the run's own workflow or of one in it."""

    def __init__(self, plan: Plan, place: Place) -> None:
        self._plan = plan
        most = plan.limits.max_concurrency
        self._place = structs.replace(place, limit=most, places=(Places(most), *place.places))
        self._steps = place.steps
        self._path = f"{place.path}/" if place.path else ""
        self._tone = place.tone
        self._schedule = Schedule(plan.order, plan.limits, self._path)
        self._first = place.steps.named("first")
        self._input: Any = None
        self.composed: dict[str, Any] = {}

    @property
    def visited(self) -> list[str]:
        return [visit.node for visit in self._schedule.visited]

    async def go(self, value: Any) -> Walked:
        self._input = value
        self._check_nodes()
        self._steps.rest.beside(self._may_come)
        at_work: dict[asyncio.Task[tuple[Any, Sequence[int]]], Visit] = {}
        with ambient(self._tone or None):
            self._schedule.begin(value, await self._taken(START, value, self._steps.named("start")))
            try:
                await self._walk(at_work)
            except (WorkflowError, Interrupted):
                self._steps.rest.left()
                raise
            finally:
                await _cancelled(at_work)
        for step in self._steps.rest.unasked:
            if visit_in(step) is not None or step.startswith(("start-", "first-")):
                raise self._steps.rest.missing(step, f"the end of workflow {self._plan.name!r}")
        return Walked(self._schedule.output, self.visited, self.composed)

    def _check_nodes(self) -> None:
        """Raises `ReplayDivergence` when a node is gone whose visit is recorded."""
        for step in self._steps.rest.unasked:
            visit = visit_in(step)
            if visit is not None and visit[0] not in self._plan.stops:
                nodes = ", ".join(map(repr, self._plan.stops))
                raise self._steps.rest.missing(step, f"one of the nodes {nodes} of workflow {self._plan.name!r}")

    def _may_come(self, step: str, new: str) -> bool:
        visit, beside = visit_in(step), visit_in(new)
        if visit is None or beside is None:
            # Which branch was the first is a step of neither; what comes before the nodes, or after them, is in order.
            return step.startswith("first-") or new.startswith("first-")
        return self._schedule.may_come(*visit, beside[0])

    async def _walk(self, at_work: "dict[asyncio.Task[tuple[Any, Sequence[int]]], Visit]") -> None:
        schedule = self._schedule
        waiting = schedule.due()
        while waiting:
            if len(waiting) > 1:
                with self._steps.crew() as crew:
                    await self._branches(waiting, at_work, crew)
            else:  # alone, which is what most are: without a task
                visit, value = waiting.pop()
                schedule.end(visit, *await self._visit(visit, value))
            waiting += schedule.due()

    async def _branches(
        self,
        waiting: list[tuple[Visit, Any]],
        at_work: "dict[asyncio.Task[tuple[Any, Sequence[int]]], Visit]",
        crew: Crew,
    ) -> None:
        """Go on with several at once, until none is left, or the last one goes on alone."""
        schedule = self._schedule
        left = 0
        while at_work or len(waiting) > 1:
            while waiting:
                visit, value = waiting.pop(0)
                crew.join()
                at_work[asyncio.create_task(self._visit(visit, value), name=visit.node)] = visit
            for _ in range(left):
                crew.leave()
            task = await self._ended(at_work)
            schedule.end(at_work.pop(task), *task.result())
            waiting += schedule.due()
            left = 1

    async def _ended(
        self, at_work: "dict[asyncio.Task[tuple[Any, Sequence[int]]], Visit]"
    ) -> "asyncio.Task[tuple[Any, Sequence[int]]]":
        """The visit that is taken for the next one that has ended."""
        await asyncio.wait(at_work, return_when=asyncio.FIRST_COMPLETED)
        done = [task for task in at_work if task.done()]
        for task in done:
            if task.cancelled() or task.exception() is not None:
                return task
        if not self._plan.order.cyclic or len(at_work) == 1:
            return done[0]
        by_name = {visit_name(visit.node, visit.number): task for task, visit in at_work.items()}
        first = next(name for name, task in by_name.items() if task is done[0])
        task = by_name[await self._first.value("first", lambda: first)]
        await asyncio.wait([task])
        return task

    async def _visit(self, visit: Visit, value: Any) -> tuple[Any, Sequence[int]]:
        """What a node came to, and the edges by which it goes on."""
        stop = self._plan.stops[visit.node]
        steps = self._steps.named(visit_name(visit.node, visit.number))
        path = f"{self._path}{visit.node}"
        told = {"node": path, "visit": visit.number}
        steps.note("workflow.step_started", told)
        place = structs.replace(self._place, path=path, steps=steps)
        try:
            output = await stop.node.run(self._input if stop.original else value, place)
            taken = await self._taken(visit.node, output, steps)
        except (WorkflowError, Interrupted) as exc:
            steps.note("workflow.step_failed", {**told, "error": str(exc)})
            raise
        for left in steps.rest.unasked:
            raise steps.rest.missing(left, f"the end of node {path!r}")
        if not stop.node.plain:
            self.composed[visit.node] = output
        steps.note("workflow.step_completed", {**told, "output": output})
        return output, taken

    async def _taken(self, node: str, value: Any, steps: Steps) -> Sequence[int]:
        router = self._plan.routers.get(node)
        if router is None:
            return self._plan.order.after[node]
        path = f"{self._path}{_shown(node)}"
        key = value
        if router.tool is not None:
            path_of_router = f"{path}:route"
            key = await call(path_of_router, value, structs.replace(self._place, path=path_of_router, steps=steps))
        said = str(key)  # a model ends its lines, and puts spaces before them
        taken = router.routes.get(said, router.routes.get(said.strip(), router.default))
        if taken is None:
            raise NoRoute(path, str(key), router.routes)
        return (taken,)


async def _cancelled(at_work: "Mapping[asyncio.Task[Any], object]") -> None:
    """Whoever is still at work leaves; what they did is in the journal."""
    for task in at_work:
        task.cancel()
    if at_work:
        await asyncio.wait(at_work)
        for task in at_work:
            if not task.cancelled():
                task.exception()  # one cause is enough


def _shown(node: str) -> str:
    return "START" if node == START else node
