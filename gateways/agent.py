"""`Agent`: what users write, normalised to one internal specification, and run on a system.

An agent on its own runs on a small embedded system over the journal of `runtime=` (in memory unless told
otherwise), shared by all agents of the process that name the same journal. Hosted by a `System` it runs there.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import msgspec

from ..actors.children import Children, children_of_call
from ..actors.context import RunContext
from ..actors.feed import Feed
from ..actors.generation import Generation, options_of
from ..actors.manner import Manner
from ..actors.output import Output
from ..actors.quality import QualityGate
from ..actors.result import RunResult
from ..actors.retry import RetryPolicy
from ..actors.run_until import RunUntil
from ..actors.services import RemoteToolPort, current_services
from ..actors.session_messages import AbandonPrompt, ResumeSession, SignalSession
from ..actors.spec import AgentSpec, ApprovalHandler
from ..actors.stop_hooks import StopHook
from ..actors.strategies.architecture import GivenArchitecture, tools_of
from ..actors.tone import ambient_tone
from ..events.budget import Limits
from ..events.errors import ConfigError
from ..events.run import RunState
from ..events.signal import RuntimeSignal
from .agent_home import Home
from .agent_timers import AgentTimers
from .architectures import find_architecture
from .arguments import (
    HowToAnswer,
    check_context,
    check_flag,
    check_id,
    check_limits,
    check_prompt,
    check_seconds,
    manner_of,
    signal_of,
)
from .asked_agents import awaiting, with_asked
from .goals import Goals
from .images import Picture, images_of
from .live_events import LiveEvents
from .models.prices import check_cost_caps
from .models.resolver import resolve_model
from .models.secrets import Secrets, give_secrets
from .outputs.typed import typed
from .pictures.drawable import Drawable
from .prompting import beside, context_of, run_nested, run_prompt, unless_cancelled
from .run_error import checked
from .run_event import Event
from .tools.function import as_tool, by_name
from .tuning import Tuning
from .workers.remote_tool import Wanted, found
from .workspace import Workspace
from .workspace_given import resolve_workspace, shared

if TYPE_CHECKING:
    from .diff import RunDiff
    from .node import Node
    from .pictures.picture import Picture as Graph
    from .run_handle import Run, Session

_unnamed = itertools.count(1)


class Agent(AgentTimers, Drawable):
    """An agent: instructions, a model, tools.

    Args:
        instructions: The system prompt.
        model: A name (`"claude-opus-4-7"`, `"openai:gpt-4o"`, `"echo"`), a mapping with `name` and what else is to be
            said of it, or an object with the methods of `treadle.Model`.
        name: The agent's address on a system. Agents that are to be resumed in another process want one.
        tools: Functions, or what `@tool` made of them; `remote(…)` for tools that workers do.
        runtime: The journal: `"memory"`, or `"sqlite:./runs.db"` for runs that survive the process.
        architecture: How it thinks: a name (`treadle.ARCHITECTURES`), an object (`treadle.architecture`), or async code
            over `Steps`. See docs/architectures.md.
        approval_handler: Who answers when a destructive tool asks: a function of an `ApprovalQuestion`, sync or
            async, that returns True to allow; `"allow"`, `"deny"`, or `"wait"` to park the run until
            `session.approve` or `treadle approve`. Without one: deny. A call whose outcome is unknown after a crash
            waits for a person whatever this says, unless it is a function.
        budget: Caps for all runs of this agent; `budget_per_user` for those of each user. For a model that cannot
            estimate, give `options={"max_tokens": …}`: without it 1,024 output tokens are set aside for each call.
        memory: Show working blocks, facts and earlier conversations to the model, and remember runs.
        max_turns: Model calls in one run.
        timeout_s: Seconds that a run may take, waiting for approvals included; None: no limit. Also as `timeout`.
        model_timeout_s: Seconds that one attempt at a model call may take; None: no limit.
        approval_timeout_s: Seconds after which an approval that nobody has answered is a no; None: it waits.
        generation: How the model is to answer: temperature, length, effort …
        options: Passed to the model with every call, for models that take other words than `Generation` has.
        retry_policy: What is done about a model call that failed and may succeed later; else what the model brings.
        output_schema: What answers have to be: a Pydantic model, a dataclass, a TypedDict, a msgspec struct, a plain
            type (`list[str]`, a `Literal` …), a union of them, or a JSON Schema as a mapping. See `RunResult.parsed`.
        output_validation_retries: How often an answer that does not fit may be corrected, each time by one more turn;
            default 1. 0: the run fails at once.
        response_tone: How answers are phrased: casual, professional, technical, legal, finance, executive, academic, or
            any words.
        living_plan: True: its model keeps a plan by the tools `plan_write` and `plan_read`, in the run's events and in
            `RunResult.plan`. A mapping or a `LivingPlan` says with what it begins. See docs/goals.md.
        stop_hooks: Functions of a `StopContext` that are asked before a run ends; one that returns a text sends it on.
        run_until: What has to hold before a run is completed, in words or as a `RunUntil`; a model checks it.
        quality: Criteria that answers are judged by, or a `QualityGate` that says by whom and what comes of a bad one.
        tuning: Such adjustments in one piece; what is given beside it wins.
        workspace: Notes that it shares with its team and with later runs: True, a name, or a `Workspace`. It has tools
            for them, and so have the agents that its architecture asks. See docs/workspaces.md.
        secrets: Where the keys of its models are looked for, before the environment; see docs/secrets.md.
    Raises:
        ConfigError: The message names what does not fit and what would.
    """

    def __init__(
        self,
        instructions: str = "",
        *,
        model: Any = None,
        name: str | None = None,
        tools: Sequence[Any] = (),
        runtime: str | None = None,
        architecture: GivenArchitecture = "react",
        approval_handler: Literal["allow", "deny", "wait"] | ApprovalHandler | None = None,
        budget: Limits | None = None,
        budget_per_user: Limits | None = None,
        memory: bool = False,
        max_turns: int = 50,
        timeout_s: float | None = None,
        model_timeout_s: float | None = 600.0,
        approval_timeout_s: float | None = None,
        timeout: float | None = None,
        generation: Generation | None = None,
        options: Mapping[str, Any] | None = None,
        retry_policy: RetryPolicy | None = None,
        output_schema: Any = None,
        output_validation_retries: int | None = None,
        response_tone: str | None = None,
        living_plan: Any = None,
        stop_hooks: Sequence[StopHook] | None = None,
        run_until: str | RunUntil | Mapping[str, Any] | None = None,
        quality: QualityGate | Sequence[str] | Mapping[str, Any] | None = None,
        tuning: Tuning | None = None,
        secrets: Secrets | None = None,
        workspace: Workspace | str | bool | None = None,
    ) -> None:
        if max_turns < 1:
            raise ConfigError(f"max_turns={max_turns} lets the agent do nothing; it must be 1 or more")
        if isinstance(approval_handler, str) and approval_handler not in ("allow", "deny", "wait"):
            raise ConfigError(f"approval_handler={approval_handler!r}; use 'allow', 'deny', 'wait' or a function")
        if timeout is not None and timeout_s is not None:
            raise ConfigError(f"timeout={timeout!r} and timeout_s={timeout_s!r} are one setting; give one of them")
        check_flag("memory", memory)
        check_limits("budget", budget)
        check_limits("budget_per_user", budget_per_user)
        tuning = tuning or Tuning()
        resolved = resolve_model(model)
        self._secrets = secrets
        if secrets is not None:
            give_secrets(resolved, secrets)
        check_cost_caps(resolved, budget, budget_per_user)
        self._home = Home(runtime)
        self.has_name = name is not None
        thinks = find_architecture(architecture)
        if living_plan == "workspace" and not workspace:
            raise ConfigError("living_plan='workspace' keeps plans in a workspace, and there is none; give workspace=")
        goals = Goals(living_plan, stop_hooks, run_until, quality, tuning, resolved, thinks)
        if name is None:
            # Agents of one process share a journal in memory; nameless ones must not share their sessions.
            name = "agent" if self._home.runtime != "memory" else f"agent-{next(_unnamed)}"
        self.spec = AgentSpec(
            name=name,
            model=resolved,
            instructions="\n\n".join(filter(None, (instructions, goals.told))),
            tools=by_name([*(each for each in tools if not isinstance(each, Wanted)), *tools_of(thinks), *goals.tools]),
            architecture=thinks,
            approvals=approval_handler or "deny",
            max_turns=max_turns,
            timeout_s=check_seconds("timeout_s", timeout_s if timeout is None else timeout),
            model_timeout_s=check_seconds("model_timeout_s", model_timeout_s),
            approval_timeout_s=check_seconds("approval_timeout_s", approval_timeout_s),
            budget=budget,
            budget_per_user=budget_per_user,
            memory=memory,
            options=options_of(generation, options),
            retry=retry_policy or tuning.retry_policy or getattr(resolved, "retry", None) or RetryPolicy(),
            manner=manner_of(output_schema, output_validation_retries, response_tone).over(
                manner_of(None, tuning.output_validation_retries, tuning.response_tone)
            ),
            living_plan=goals.plan,
            gates=goals.gates,
        )
        self._wanted = [each for each in tools if isinstance(each, Wanted)]
        self._workspace = resolve_workspace(workspace)
        if self._workspace is not None:
            self.spec = shared(self._workspace, self.spec)

    def __repr__(self) -> str:
        return f"<Agent {self.name} model={self.spec.model.name} tools={len(self.spec.tools)}>"

    @property
    def name(self) -> str:
        return self.spec.name

    @classmethod
    def from_config(cls, path: str | Path, name: str | None = None) -> "Agent":
        """The agent of a TOML file; `name` picks one of several. See `docs/nats.md` for the format."""
        from .agents_toml import read_agents

        agents = read_agents(Path(path))
        if name is None and len(agents) == 1:
            return next(iter(agents.values()))
        if name is None:
            raise ConfigError(f"{path} declares several agents: {', '.join(agents)}; say which with name=")
        if name not in agents:
            raise ConfigError(f"{path}: no agent {name!r}; there are: {', '.join(agents)}")
        return agents[name]

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "Agent":
        """An agent of the same keys that a TOML file has."""
        from .agents_toml import agent_of

        return agent_of(dict(config), "the configuration")

    # --- tools ---

    def tools_list(self) -> list[str]:
        """The tools' names."""
        return list(self.spec.tools)

    @property
    def awaited_tools(self) -> list[str]:
        """Those that `remote` knows by name only, until `find_tools` has asked the workers."""
        return [each.name for each in self._wanted]

    def add_tool(self, tool: Any) -> None:
        """One more tool, for runs that begin from now on."""
        if isinstance(tool, Wanted):
            self._wanted.append(tool)
            return
        made = as_tool(tool)
        if made.name in self.spec.tools:
            raise ConfigError(f"agent {self.name!r} has a tool {made.name!r} already; remove it first")
        self._replace(tools={**self.spec.tools, made.name: made})

    def remove_tool(self, name: str) -> None:
        """One tool less, for runs that begin from now on."""
        if name not in self.spec.tools:
            raise ConfigError(f"agent {self.name!r} has no tool {name!r}; it has: {', '.join(self.spec.tools)}")
        self._replace(tools={key: tool for key, tool in self.spec.tools.items() if key != name})

    async def find_tools(self) -> None:
        """Ask the workers what the tools take that `remote` knows by name only, its own and those of agents it asks.

        Once they are known this does nothing.

        Raises:
            Unavailable: No worker offers one of them, and none came while it was waited for.
        """
        if awaiting([self]):
            await self.node()

    async def find_own_tools(self, workers: RemoteToolPort | None) -> None:
        """The same for its own alone, of workers that are known."""
        while self._wanted:
            name = self._wanted[0].name
            tool = await found(name, workers)
            if self._wanted and self._wanted[0].name == name:  # or another run found it meanwhile
                self.add_tool(tool)
                del self._wanted[0]

    def with_tool(self, tool: Any) -> "Agent":
        """This agent, with the tool added: `agent.with_tool(a).with_tool(b)`."""
        self.add_tool(tool)
        return self

    def _replace(self, **changes: Any) -> None:
        self.spec = msgspec.structs.replace(self.spec, **changes)
        self._home.renew(self.spec)

    def picture(self) -> "Graph":
        """Its tools, how it thinks, and the agents that it asks, with theirs. See `generate_graph`."""
        from .pictures.agents import picture_of_agent

        return picture_of_agent(self)

    @property
    def workspace(self) -> Workspace | None:
        """The workspace that it was given, where it runs: `await agent.workspace.of("alice").list()`."""
        return None if self._workspace is None else self._workspace.bound(self)

    # --- where it runs ---

    def take_secrets(self, secrets: Secrets) -> None:
        """Have its models look for their keys there, and those of agents that it asks, unless they have their own."""
        for agent in with_asked([self]):
            agent.take_own_secrets(secrets)

    def take_own_secrets(self, secrets: Secrets) -> None:
        """The same for its own models alone."""
        if self._secrets is None:
            give_secrets(self.spec.model, secrets)
            self._secrets = secrets

    def bind(self, node: "Node", name: str | None = None) -> None:
        """Run on `node` from now on, under `name` if given."""
        if name is not None:
            self.spec = msgspec.structs.replace(self.spec, name=name)
        self._home.bind(node)
        self._home.renew(self.spec)

    async def node(self) -> "Node":
        """Where it runs: the system that hosts it, or the embedded one of this loop.

        Raises:
            ConfigError: The system that hosts it was closed, or belongs to another loop.
        """
        node = self._home.here
        if node is None:
            node = await self._home.embed(self.name)
            self._home.renew(self.spec)
        for agent in awaiting([self]):
            await agent.find_own_tools(node.services.remote)
        return node

    async def aclose(self) -> None:
        """Close the embedded system of this loop, for all agents that share it."""
        await self._home.aclose()

    async def __aenter__(self) -> "Agent":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- running ---

    async def run(
        self,
        prompt: str,
        context: RunContext | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        images: Sequence[Picture] = (),
        output_schema: Any = None,
        output_validation_retries: int | None = None,
        response_tone: str | None = None,
    ) -> RunResult:
        """Run a prompt to its end.

        In a session, prompts run one at a time, each with the conversation before it. If the session has an open
        run that nobody works on, a prompt with the same words continues it; other words close it as interrupted.

        Cancelling this call suspends the run: `resume` continues it.

        Args:
            images: Pictures for the model to see with the prompt: each a `Path`, bytes, the text of a URL, an `Image`.
            output_schema, output_validation_retries, response_tone: For this run, in the place of the agent's own.
        Returns:
            The result: completed, interrupted by a limit, or waiting for an approval.
        Raises:
            ConfigError: The prompt is empty, a part of the context cannot be recorded, or a picture is none; nothing
                was recorded.
            RunError: The run failed or was cancelled; the result is in `.result`. `RunTimeout` after `timeout_s`. When
                its model failed, the error is that `ModelError` too: `RateLimitError`, `OutputValidationError` …
            Owned: Another process, which is alive, is running this session.
        """
        request = context_of(context, user_id, session_id, metadata)
        manner = self.manner(
            output_schema=output_schema,
            output_validation_retries=output_validation_retries,
            response_tone=response_tone,
        )
        return self._typed(checked(await self._run(prompt, request, manner, images=images)), manner.output)

    def manner(self, **how: Unpack[HowToAnswer]) -> Manner:
        """How a run of this agent is to answer, apart from what the agent says itself."""
        given, around = manner_of(**how), ambient_tone()
        if around is None or given.tone is not None or self.spec.manner.tone is not None:
            return given
        return msgspec.structs.replace(given, tone=around)

    def _typed(self, result: RunResult, output: Output | None = None) -> RunResult:
        return typed(result, output, self.spec.manner.output)

    async def _run(
        self,
        prompt: str,
        context: RunContext,
        manner: Manner,
        feed: Feed | None = None,
        images: Sequence[Picture] = (),
    ) -> RunResult:
        check_prompt(prompt)
        check_context(context)
        shown = await asyncio.to_thread(images_of, images) if images else ()
        if feed is None and (asking := self._run_by(context)) is not None:
            for agent in awaiting([self]):
                await agent.find_own_tools(current_services().remote)
            return await run_nested(asking, self, prompt, context, manner, shown)
        node = self._home.here
        # Most agents ask nobody, and are asked here before each run: so that it costs them next to nothing.
        if node is None or self._wanted or (self.spec.architecture.declared_workers() and awaiting([self])):
            node = await self.node()
        return await run_prompt(node, self.spec, prompt, context, manner, images=shown, feed=feed)

    def _run_by(self, context: RunContext) -> Children | None:
        """The run whose tool runs this agent, when it is to be a child of that: for the same user, and anywhere."""
        asking = children_of_call() if self._home.is_anywhere else None
        return asking if asking is not None and context.user_id in ("", asking.user_id) else None

    async def resume(
        self,
        session_id: str,
        prompt: str | None = None,
        *,
        user_id: str | None = None,
        **how: Unpack[HowToAnswer],
    ) -> RunResult:
        """Continue the session's open run where it stopped; with a prompt, run that after it.

        The open run answers as it was asked to. Its type is taken from `output_schema=`, else from the agent; when it
        is neither, the answer is validated by the recorded JSON Schema, and `parsed` has JSON values.

        Raises:
            ConfigError: The open run was asked for something else than `output_schema`; nothing was done.
            NothingToResume: No run is open, and there is no prompt.
            Owned: Another process, which is alive, is running it.
            RunError: The run failed or was cancelled.
        """
        from ..actors.session import NothingToResume

        check_id("session_id", session_id)
        check_id("user_id", user_id or "")
        if prompt is not None:
            check_prompt(prompt)
        node = await self.node()
        ref = node.host.session(user_id or "", self.name, session_id)
        token = node.clock.new_id()
        output = self.manner(**how).output
        asking = ref.ask(ResumeSession(self.spec, token, output=output))
        try:
            result = self._typed(checked(await unless_cancelled(asking, ref, AbandonPrompt(token))), output)
        except NothingToResume:
            if prompt is None:
                raise
        else:
            if prompt is None or result.state == RunState.WAITING:
                return result
        return await self.run(prompt, user_id=user_id, session_id=session_id, **how)

    async def stream(
        self,
        prompt: str,
        context: RunContext | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        images: Sequence[Picture] = (),
        output_schema: Any = None,
        output_validation_retries: int | None = None,
        response_tone: str | None = None,
        children: bool = True,
    ) -> AsyncIterator[Event]:
        """Run a prompt and yield what happens: recorded events once they are on disk, chunks as they come.

        So do the runs below it, of a team's workers for one: their events have a `depth` above 0, their own `run_id`,
        and the `role` in which they were asked. Their beginnings and ends are told by `child.requested` and
        `child.ended` alone, so a stream has one `run.started` and one end. `children=False` leaves them all out.

        With an `output_schema`, here or on the agent, `output.partial` events have the answer as far as it is written,
        and `run.completed` has all of it, as `payload["result"]["parsed"]`.

        A failed run ends with its `run.failed` event and does not raise. A reader that is slow slows the model down;
        one that leaves suspends the run.
        """
        feed = Feed(children=children)
        request = context_of(context, user_id, session_id, metadata)
        manner = self.manner(
            output_schema=output_schema,
            output_validation_retries=output_validation_retries,
            response_tone=response_tone,
        )
        events = LiveEvents(request.session_id, manner.over(self.spec.manner).output)
        async with beside(self._run(prompt, request, manner, feed, images), feed):
            async for item in feed:
                for event in events.of(item):
                    yield event

    def session(self, session_id: str, *, user_id: str | None = None) -> "Session":
        """A conversation: `start`, `run`, `stream`, `resume`, `steer`, `signal`, `approve`, `cancel`, `history`."""
        from .run_handle import Session

        check_id("session_id", session_id)
        check_id("user_id", user_id or "")
        if not session_id:
            raise ConfigError("a session needs an id; agent.run(…) without one is a run of its own")
        return Session(self, session_id, user_id or "")

    async def fork(
        self,
        run_id: str,
        at: int | str | Event | None = None,
        *,
        model: Any = None,
        models: Mapping[str, Any] | None = None,
        prompt: str | None = None,
        instructions: str | None = None,
        tools: Sequence[Any] | None = None,
        fork_id: str | None = None,
    ) -> "Run":
        """As `Run.fork`, of a run of this agent: `await (await agent.fork(run_id, at=7, model="gpt-4o")).wait()`."""
        from .run_handle import Run

        check_id("run_id", run_id)
        run = Run(await self.node(), run_id)
        return await run.fork(
            at, model=model, models=models, prompt=prompt, instructions=instructions, tools=tools, fork_id=fork_id
        )

    async def diff(self, run_id: str, other: str) -> "RunDiff":
        """As `Run.diff`: `print(await agent.diff(run_id, fork.id))`."""
        from .run_handle import Run

        check_id("run_id", run_id)
        check_id("run_id", other)
        return await Run(await self.node(), run_id).diff(other)

    async def steer(
        self,
        run_id: str = "",
        text: str = "",
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        now: bool = False,
        to: str = "",
        by: str = "",
        id: str = "",
    ) -> str:
        """As `Run.steer`: `agent.steer(run_id, "Use euros.")`, or `agent.steer(text="Use euros.", session_id="s")`.

        Args:
            user_id: Whose run it is: by its id, somebody else's is `NotFound`. None, with a run_id: anybody's.
        """
        from .run_handle import Run
        from .steering import check_owner

        check_id("run_id", run_id)
        check_id("user_id", user_id or "")
        if bool(run_id) == bool(session_id):
            raise ConfigError("steer takes a run_id or a session_id, one of them")
        if session_id:
            return await self.session(session_id, user_id=user_id).steer(text, now=now, to=to, by=by, id=id)
        node = await self.node()
        if user_id is not None:
            await check_owner(node, run_id, user_id)
        return await Run(node, run_id).steer(text, now=now, to=to, by=by or user_id or "", id=id)

    async def signal(
        self, signal: RuntimeSignal | str, *, session_id: str, user_id: str | None = None, wait: bool = False
    ) -> RunResult | None:
        """Tell a session that something happened; it is on disk when this returns, and leads to a run.

        Args:
            wait: Wait for that run and return its result.
        Raises:
            ConfigError: It says nothing, or a field of it is not what it should be; nothing was recorded.
        """
        check_id("session_id", session_id)
        check_id("user_id", user_id or "")
        if not session_id:
            raise ConfigError("a signal goes to a session, and session_id is empty")
        made = signal_of(signal)
        node = await self.node()
        if not made.id:
            made = msgspec.structs.replace(made, id=node.clock.new_id())
        ref = node.host.session(user_id or "", self.name, session_id)
        answer: RunResult | None = await ref.ask(SignalSession(made, answer_when="ended" if wait else "taken"))
        return None if answer is None else self._typed(answer)
