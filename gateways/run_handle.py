"""Handles on a conversation and on one of its runs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..actors.context import RunContext
from ..actors.output import Output
from ..actors.result import RunResult
from ..actors.run_actor import ApproveCall, AwaitEnd, EndRun
from ..actors.run_history import history_of
from ..actors.runtime import Ref
from ..actors.session_messages import DescribeSession, EndOpenRun, Prompt
from ..events.message import Message
from ..events.run import RunCancelled, run_stream
from ..events.signal import RuntimeSignal
from .arguments import HowToAnswer, check_context, check_id, check_prompt, check_text, well_formed
from .images import Picture, images_of
from .outputs.typed import typed
from .run_event import Event
from .steering import open_run_of, steering_of

if TYPE_CHECKING:
    from .agent import Agent
    from .diff import RunDiff
    from .node import Node


class Run:
    """A run, going on or ended."""

    def __init__(
        self,
        node: "Node",
        run_id: str,
        answer: "asyncio.Future[RunResult] | None" = None,
        session: Ref | None = None,
        output: Output | None = None,
    ) -> None:
        self._node = node
        self.id = run_id
        self._answer = answer
        self._session = session
        self._output = output

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    async def wait(self) -> RunResult:
        """Its result when it has ended, however it ended; waits for approvals that it waits for."""
        if self._answer is not None:
            # A run that could not begin says why here; whoever stops waiting leaves it to others who wait.
            await asyncio.shield(self._answer)
        host = self._node.host
        return self._typed(await host.result(host.run(self.id), AwaitEnd()))

    def _typed(self, result: RunResult) -> RunResult:
        return typed(result, self._output, *(spec.manner.output for spec in self._node.host))

    async def events(self, after: int = 0, *, children: bool = False) -> AsyncIterator[Event]:
        """Its events above version `after`, from the start and live, until it has ended.

        Args:
            children: As of `System.watch`.
        """
        async for event in self._node.watch(self.id, after, children=children):
            yield event

    async def result(self) -> RunResult:
        """What there is of it now."""
        return self._typed((await history_of(self._node.journal, self.id)).result)

    async def transcript(self) -> list[Event]:
        """Its events so far."""
        from .run_event import of_recorded

        return [of_recorded(recorded) for recorded in await self._node.journal.read(run_stream(self.id))]

    async def generate_graph(self, path: str | Path | None = None, *, most: int = 200) -> str:
        """What it did so far, with times and costs, and what its children did: as `Agent.generate_graph`.

        Args:
            most: Nodes that are drawn; one more says how many are left out.
        Raises:
            NotFound: The journal does not have it.
        """
        from .pictures.files import written
        from .pictures.runs import picture_of_run

        picture = await picture_of_run(self._node.journal, self.id, most)
        return await asyncio.to_thread(written, picture, path)

    async def cancel(self, reason: str = "cancelled by the caller", by: str = "") -> RunResult:
        """Stop it; its result when it is closed."""
        host, closing = self._node.host, well_formed(RunCancelled(reason=reason, by=by), "cancel")
        if self._session is not None:
            # It may not have had its turn yet, and only its session knows of it then.
            return await host.result(self._session, EndOpenRun(self.id, closing))
        return await host.result(host.run(self.id), EndRun(closing))

    async def steer(self, text: str, *, now: bool = False, to: str = "", by: str = "", id: str = "") -> str:
        """Tell it something while it goes on: it is shown to its next model call. On disk when this returns; its id.

        A run that waits, or was left, takes it up when it goes on. One that has not begun is waited for.

        Args:
            now: Its model call that is going on is cut short, and charged; tools come to their end.
            to: Whom it is for instead: a role of those whom it asks now, or the id of such a run.
            id: Telling it twice under one id tells it once. Default: a new one.
        Raises:
            RunClosed: It has its answer, or has ended without.
            NotFound: There is no such run, or it asks nobody of this role now.
            ConfigError: The text is empty or too long, or an argument is not of its type.
        """
        message = steering_of(text, id=id or self._node.clock.new_id(), by=by, now=now, to=to)
        await self.begun()
        await self._node.host.run(self.id).ask(message)
        return message.steering_id

    async def begun(self) -> None:
        """Wait until it has begun, which is on disk then, or cannot any more."""
        journal, stream, answer = self._node.journal, run_stream(self.id), self._answer
        while answer is not None and not answer.done():
            position = await journal.last_position()
            if (await journal.head(stream)).version:
                return
            moved = asyncio.ensure_future(journal.wait(position))
            await asyncio.wait((moved, answer), return_when=asyncio.FIRST_COMPLETED)
            moved.cancel()

    async def fork(
        self,
        at: "int | str | Event | None" = None,
        *,
        model: Any = None,
        models: Mapping[str, Any] | None = None,
        prompt: str | None = None,
        instructions: str | None = None,
        tools: Sequence[Any] | None = None,
        fork_id: str | None = None,
    ) -> "Run":
        """A new run that shares this one's beginning, and that of all that it asked, and goes on by itself.

        Nothing that was done up to there is done again, and nothing of it is charged again. The fork is on disk when
        this returns; `wait` for it, or go on with its conversation: its id is its session's id too.

        Args:
            at: Up to where it shares it: a version, the name of a step (its end), or an event of this run or of one
                that it asked, which cuts all of them at that moment. It has to lie between two steps of its run.
                Default: nothing but the question, all is done anew.
            model: Who goes on, as `Agent(model=…)` takes it. Default: the agent's model.
            models: Who answers for the agents that it asks after that, by their roles: `{"writer": "gpt-4o"}`.
            prompt: Another question, where nothing but that is shared; else what the user says further at that point.
            instructions: In the place of the run's, from there on.
            tools: In the place of the agent's own, as `Agent(tools=…)` takes them, from there on.
            fork_id: The fork's own id. Forking twice under one id goes on with the first fork.
        Raises:
            NotAForkPoint: A step is going on there; the message names the nearest versions.
            NotFound: There is no such version or step, or nobody hosts the agent here.
            ConfigError: An argument is not what it should be.
        """
        from .fork_changes import Changes
        from .forks import begin_fork

        check_id("fork_id", fork_id or "")
        changes = Changes(
            model=model,
            models=models or {},
            prompt=prompt,
            instructions=instructions,
            tools=tools,
        )
        begun, answer = await begin_fork(self._node, self.id, at=at, changes=changes, fork_id=fork_id or "")
        return Run(self._node, begun, answer)

    async def diff(self, other: str) -> "RunDiff":
        """This run and another one side by side, a fork of it or any: print it, or look into it.

        Raises:
            NotFound: The journal does not have one of them.
        """
        from .diff import diff

        return await diff(self._node.journal, self.id, other)

    async def approve(self, call_id: str, allowed: bool = True, *, by: str = "", note: str = "") -> None:
        """Answer a call that waits for approval; durable when this returns.

        Raises:
            NothingToApprove, RunClosed: There is no such question.
            ConfigError: An argument is not of its type.
        """
        answer = well_formed(ApproveCall(call_id, allowed, by, note), "approve")
        await self._node.host.run(self.id).ask(answer)


class Session:
    """A conversation of one user with one agent: one run at a time, each with the turns before it."""

    def __init__(self, agent: "Agent", session_id: str, user_id: str) -> None:
        self.agent = agent
        self.id = session_id
        self.user_id = user_id

    def __repr__(self) -> str:
        return f"<Session {self.user_id}/{self.agent.name}/{self.id}>"

    async def start(
        self,
        prompt: str,
        context: RunContext | None = None,
        *,
        images: Sequence[Picture] = (),
        **manner: Unpack[HowToAnswer],
    ) -> Run:
        """Begin a run and return at once; prompts of one session run in the order in which they were started."""
        check_prompt(prompt)
        if context is not None:
            check_context(context)
        how = self.agent.manner(**manner)
        shown = await asyncio.to_thread(images_of, images) if images else ()
        node = await self.agent.node()
        run_id = node.clock.new_id()
        ref = node.host.session(self.user_id, self.agent.name, self.id)
        asking = ref.ask(
            Prompt(spec=self.agent.spec, prompt=prompt, images=shown, run_id=run_id, context=context, manner=how)
        )
        answer = asyncio.ensure_future(asking)
        # Nobody need wait for a started run; its failure is in the journal.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return Run(node, run_id, answer, ref, how.output)

    async def run(
        self,
        prompt: str,
        *,
        images: Sequence[Picture] = (),
        on_error: str = "raise",
        **manner: Unpack[HowToAnswer],
    ) -> RunResult:
        """Run a prompt to its end; with `on_error="return"`, a failed run's result is returned."""
        from ..events.errors import RunError

        try:
            return await self.agent.run(prompt, user_id=self.user_id, session_id=self.id, images=images, **manner)
        except RunError as exc:
            if on_error == "return" and isinstance(exc.result, RunResult):
                return exc.result
            raise

    def stream(
        self,
        prompt: str,
        *,
        images: Sequence[Picture] = (),
        children: bool = True,
        **manner: Unpack[HowToAnswer],
    ) -> AsyncIterator[Event]:
        """As `Agent.stream`."""
        return self.agent.stream(
            prompt, user_id=self.user_id, session_id=self.id, images=images, children=children, **manner
        )

    async def resume(self, prompt: str | None = None, **manner: Unpack[HowToAnswer]) -> RunResult:
        """As `Agent.resume`."""
        return await self.agent.resume(self.id, prompt, user_id=self.user_id, **manner)

    async def signal(self, signal: RuntimeSignal | str, *, wait: bool = False) -> RunResult | None:
        """As `Agent.signal`."""
        return await self.agent.signal(signal, session_id=self.id, user_id=self.user_id, wait=wait)

    async def steer(self, text: str, *, now: bool = False, to: str = "", by: str = "", id: str = "") -> str:
        """As `Run.steer`, of the run that goes on in this conversation.

        Raises:
            NothingToSteer: None does.
        """
        node = await self.agent.node()
        run_id = await open_run_of(node, self.user_id, self.agent.name, self.id)
        return await Run(node, run_id).steer(text, now=now, to=to, by=by or self.user_id, id=id)

    async def history(self) -> list[Message]:
        """The conversation that the next run will see."""
        node = await self.agent.node()
        found: list[Message] = await node.host.session(self.user_id, self.agent.name, self.id).ask(DescribeSession())
        return found

    async def approve(self, call_id: str, allowed: bool = True, *, by: str = "", note: str = "") -> None:
        """Answer a call of this session's run that waits for approval; durable when this returns.

        Raises:
            NothingToApprove, RunClosed, NotFound: There is no such question.
        """
        check_text("call_id", call_id)
        node = await self.agent.node()
        run_id = call_id.rsplit("_", 2)[0]
        await Run(node, run_id).approve(call_id, allowed, by=by, note=note)
