"""`Workflow`: a graph that a developer draws, of functions, agents and other workflows. Each node is a recorded step.

A run of a workflow is a run as an agent's is: it has a stream of its own, it is hosted, watched, cancelled and taken up
after a crash in the same way. What its nodes came to is read from the journal, and not done twice.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec import structs

from ..actors.children import children_of_call
from ..actors.context import RunContext
from ..actors.feed import Feed
from ..actors.manner import Manner
from ..actors.result import RunResult
from ..actors.run_actor import Abandon, ContinueRun
from ..actors.run_history import history_of
from ..actors.services import RemoteToolPort, current_services
from ..actors.spec import AgentSpec, ApprovalHandler
from ..actors.tone import ambient_tone
from ..actors.tool import Tool, as_text
from ..actors.workflow.schedule import Limits as Caps
from ..actors.workflow.silent import Silent
from ..actors.workflow.walk import INPUT, Plan, WorkflowRun
from ..events.budget import Limits
from ..events.errors import ConfigError
from .agent_home import Home
from .arguments import (
    check_context,
    check_flag,
    check_id,
    check_limits,
    check_seconds,
    check_text,
    json_form,
    manner_of,
)
from .asked_agents import awaiting, with_asked
from .live_events import LiveEvents
from .models.secrets import Secrets
from .pictures.drawable import Drawable
from .prompting import beside, context_of, run_nested, run_prompt, unless_cancelled
from .run_event import Event
from .run_handle import Run
from .starting import start_prompt
from .workflow_result import WorkflowResult, checked_workflow, result_in
from .workflow_shapes import Shapes
from .workflow_tool import tool_of
from .workspace import Workspace
from .workspace_given import resolve_workspace

if TYPE_CHECKING:
    from .node import Node as System
    from .pictures.picture import Picture


class Workflow(Shapes, Drawable):
    """A graph of nodes; drawn by `chain`, `route` and `parallel`, or by hand (`add_node`, `add_edge`, `add_router`).

    A node takes one value and returns one. Several edges into a node are a join: it waits for all that may still come,
    and takes their values as a list, in the order in which the edges were drawn.

    Args:
        name: Its address on a system, and whose its runs are.
        memory: Agents in it that have no memory have one.
        response_tone: How its agents phrase their answers that have no tone of their own.
        max_steps, max_visits_per_node, max_concurrency: Nodes that come up in one run, visits of each, nodes at once.
        runtime: The journal, as for `Agent`.
        approval_handler: As for `Agent`, for destructive nodes and human ones. Default `"wait"`: no model is there to
            make something of a no that nobody has said, so the run is parked until somebody answers.
        timeout_s: Seconds that one activation of a run may work; None: no limit.
        approval_timeout_s: As for `Agent`.
        budget, budget_per_user: Caps for all that its agents use.
        workspace: Notes that its agents share, as for `Agent`; those that have a workspace keep theirs.
    Raises:
        ConfigError: The message names what does not fit.
    """

    def __init__(
        self,
        name: str = "workflow",
        *,
        memory: bool = False,
        response_tone: str | None = None,
        max_steps: int = 100,
        max_visits_per_node: int = 25,
        max_concurrency: int = 8,
        runtime: str | None = None,
        approval_handler: Literal["deny", "wait"] | ApprovalHandler = "wait",
        timeout_s: float | None = None,
        approval_timeout_s: float | None = None,
        budget: Limits | None = None,
        budget_per_user: Limits | None = None,
        workspace: Workspace | str | bool | None = None,
    ) -> None:
        super().__init__(name)
        caps = Caps(max_steps, max_visits_per_node, max_concurrency)
        for cap, most in structs.asdict(caps).items():
            if type(most) is not int or most < 1:
                raise ConfigError(f"workflow {name!r}: {cap}={most!r} lets nothing happen; it must be 1 or more")
        if not callable(approval_handler) and approval_handler not in ("deny", "wait"):
            raise ConfigError(f"approval_handler={approval_handler!r}; use 'deny', 'wait' or a function")
        check_flag("memory", memory)
        check_limits("budget", budget)
        check_limits("budget_per_user", budget_per_user)
        self.has_name = True
        self._caps = caps
        self._memory = memory
        self._manner = manner_of(response_tone=response_tone)
        self._approvals: Literal["deny", "wait"] | ApprovalHandler = approval_handler
        self._timeout_s = check_seconds("timeout_s", timeout_s)
        self._approval_timeout_s = check_seconds("approval_timeout_s", approval_timeout_s)
        self._budgets = budget, budget_per_user
        self._workspace = resolve_workspace(workspace)
        self._home = Home(runtime)
        self._plan: Plan | None = None
        self._spec: AgentSpec | None = None

    def __repr__(self) -> str:
        return f"<Workflow {self.name} nodes={len(self._stops)}>"

    @property
    def workspace(self) -> Workspace | None:
        """The workspace that it was given, where it runs."""
        return None if self._workspace is None else self._workspace.bound(self)

    # --- what it looks like ---

    def picture(self) -> "Picture":
        """Its nodes and edges. See `generate_graph`."""
        from .pictures.workflows import picture_of_workflow

        return picture_of_workflow(self.graph)

    def to_mermaid(self) -> str:
        """What it looks like, as Mermaid text."""
        return self.generate_graph()

    # --- what runs ---

    def _changed(self) -> None:
        self._plan = self._spec = None

    def plan(self) -> Plan:
        """The graph as a whole, checked.

        Raises:
            ConfigError: There is no start, an edge leads nowhere, or a circle has no way out.
        """
        if self._plan is None:
            self._plan = self.looked_at(self._caps, self._manner.tone or "", memory=self._memory)
        return self._plan

    @property
    def spec(self) -> AgentSpec:
        """What its runs are of. Raises what `plan` does."""
        if self._spec is None:
            plan = self.plan()
            tools: dict[str, Tool] = {}
            for tool in plan.tools():
                if tool.name in tools:
                    raise ConfigError(f"two steps of workflow {self.name!r} would be called {tool.name!r}; rename one")
                tools[tool.name] = tool
            budget, per_user = self._budgets
            self._spec = AgentSpec(
                name=self.name,
                model=Silent(),
                tools=tools,
                architecture=WorkflowRun(plan),
                approvals=self._approvals,
                timeout_s=self._timeout_s,
                approval_timeout_s=self._approval_timeout_s,
                budget=budget,
                budget_per_user=per_user,
                manner=self._manner,
                workspace=self._workspace,
            )
            self._home.renew(self._spec)
        return self._spec

    def take_secrets(self, secrets: Secrets) -> None:
        """Have the models of its agents look for their keys there, unless they have secrets of their own."""
        list(self.plan().tools())  # refuses a workflow that is within itself, which has no end of agents
        for agent in with_asked(self.plan().agents()):
            agent.take_own_secrets(secrets)

    async def find_tools(self) -> None:
        """Ask the workers what the tools of its agents take that `remote` knows by name only."""
        if awaiting(self.plan().agents()):
            await self.node()

    def bind(self, node: "System", name: str | None = None) -> None:
        """Run on `node` from now on, under `name` if given."""
        if name is not None:
            check_id("name", name)
            self.name = name
            self._changed()
        spec = self.spec
        self._home.bind(node)
        self._home.renew(spec)

    async def node(self) -> "System":
        """Where it runs: the system that hosts it, or the embedded one of this loop."""
        spec, node = self.spec, self._home.here
        if node is None:
            node = await self._home.embed(self.name)
            self._home.renew(spec)
        await self.find_tools_of(node.services.remote)
        return node

    async def find_tools_of(self, workers: RemoteToolPort | None) -> None:
        """The same, of workers that are known."""
        for agent in awaiting(self.plan().agents()):
            await agent.find_own_tools(workers)

    async def aclose(self) -> None:
        """Close the embedded system of this loop, for all that share it."""
        await self._home.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- running ---

    async def run(
        self,
        input: Any = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        response_tone: str | None = None,
    ) -> WorkflowResult:
        """Walk through the graph to its end.

        In a session, runs come one at a time, and its agents go on with conversations of their own under that id.
        Cancelling this call suspends the run: `resume` continues it.

        Args:
            input: What the first node is given: anything that has a JSON form.
        Returns:
            The result: completed, interrupted by a limit of an agent, or waiting for somebody.
        Raises:
            ConfigError: The graph cannot be walked, or the input cannot be recorded; nothing was recorded.
            WorkflowFailed: A node failed, a router had no route, or a cap was reached: a `RunError` and a
                `RuntimeError`, with the result in `.result`.
            RunError: The run was cancelled, or took too long.
        """
        request, manner = self._request(input, user_id, session_id, metadata), self._how(response_tone)
        asking = children_of_call() if self._home.is_anywhere else None
        if asking is not None and request.user_id in ("", asking.user_id):  # a tool, or a node, of a run runs it
            await self.find_tools_of(current_services().remote)
            run = await run_nested(asking, self, _prompt(input), request, manner, ())
            return checked_workflow(await result_in(current_services().journal, run))
        node = await self.node()
        return await self._result(node, await run_prompt(node, self.spec, _prompt(input), request, manner))

    async def start(
        self,
        input: Any = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        response_tone: str | None = None,
    ) -> Run:
        """Begin a run, and return when that is on disk; in a session at once, since it may have to wait for its turn.

        `Run.wait` waits for its end, and `resume(run.id)` has the result as `run` returns it.

        Raises:
            ConfigError: As `run` does; nothing was recorded.
        """
        request, manner = self._request(input, user_id, session_id, metadata), self._how(response_tone)
        run = start_prompt(await self.node(), self.spec, _prompt(input), request, manner)
        if not request.session_id:
            await run.begun()
        return run

    async def run_of(self, run_id: str) -> Run:
        """A run that there is, going on or ended: to be cancelled, forked, steered, looked at.

        Raises:
            NotFound: There is no such run.
            ConfigError: It is of something else.
        """
        return Run(await self._node_of(run_id), run_id)

    async def stream(
        self,
        input: Any = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        response_tone: str | None = None,
        children: bool = True,
    ) -> AsyncIterator[Event]:
        """Walk through the graph, and yield what happens; in its agents too, as `Agent.stream` does.

        Recorded events come once they are on disk; between them `workflow.started`, `workflow.step_started`,
        `workflow.step_completed`, `workflow.step_failed` and `workflow.completed`, which are live. A failed run ends
        with its `run.failed` and does not raise. A reader that leaves suspends the run.
        """
        feed = Feed(children=children)
        request, manner = self._request(input, user_id, session_id, metadata), self._how(response_tone)
        node = await self.node()
        events = LiveEvents(request.session_id, None)
        async with beside(run_prompt(node, self.spec, _prompt(input), request, manner, feed=feed), feed):
            async for item in feed:
                for event in events.of(item):
                    yield event

    async def resume(self, run_id: str) -> WorkflowResult:
        """Go on with a run that is open, or wait for one that is going on; the result of one that has ended.

        Raises:
            NotFound: There is no such run.
            ConfigError: It is of something else.
            Owned: Another process, which is alive, works on it.
            RunError: It failed or was cancelled.
        """
        node = await self._node_of(run_id)
        ref = node.host.run(run_id)
        return await self._result(node, await unless_cancelled(ref.ask(ContinueRun(self.spec)), ref, Abandon()))

    async def approve(self, run_id: str, call_id: str, allowed: bool = True, *, by: str = "", note: str = "") -> None:
        """Answer a node that waits for somebody; durable when this returns. `resume` waits for what follows.

        Raises:
            NothingToApprove, RunClosed: There is no such question.
        """
        check_id("run_id", run_id)
        await Run(await self.node(), run_id).approve(call_id, allowed, by=by, note=note)

    def as_tool(
        self,
        name: str | None = None,
        description: str | None = None,
        input_arg: str = "input",
        *,
        input_schema: Any = None,
    ) -> Tool:
        """A tool that walks through it, for an agent. Its run is a child of the agent's run.

        Args:
            name: Default: the workflow's.
            input_arg: What the tool's only parameter is called, a text unless `input_schema` says otherwise.
            input_schema: What the workflow is given: a type or a JSON Schema, as `output_schema=` takes them. The
                fields of an object are the tool's parameters. It is validated, and given on in its JSON form.
        Raises:
            ConfigError: A model cannot call a tool of that name, or be told of that schema.
        """
        told = description or f"Run the workflow {self.name!r}."
        return tool_of(self, name or self.name, told, input_arg, input_schema)

    def _request(
        self, input: Any, user_id: str | None, session_id: str | None, metadata: Mapping[str, Any] | None
    ) -> RunContext:
        context = context_of(None, user_id, session_id, metadata)
        if not isinstance(input, str):
            context = structs.replace(context, inputs={INPUT: json_form("input", input)})
        else:
            check_text("input", input)
        check_context(context)
        return context

    def _how(self, response_tone: str | None) -> Manner:
        given, around = manner_of(response_tone=response_tone), ambient_tone()
        if around is None or given.tone is not None or self._manner.tone is not None:
            return given
        return structs.replace(given, tone=around)

    async def _node_of(self, run_id: str) -> "System":
        """Where it runs, which has a run of it of that id."""
        check_id("run_id", run_id)
        node = await self.node()
        history = await history_of(node.journal, run_id)
        if history.agent != self.name:
            raise ConfigError(f"run {run_id!r} is of {history.agent!r}, and not of {self.name!r}")
        return node

    async def _result(self, node: "System", run: RunResult) -> WorkflowResult:
        return checked_workflow(await result_in(node.journal, run))


def _prompt(input: Any) -> str:
    return as_text(json_form("input", input))
