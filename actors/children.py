"""The agents that a run asks, each in a run of its own: a child. It has a stream, an actor and an end of its own.

A child is asked by an id that is made of the place in the strategy that asks, so asking again, after a crash, finds the
child that there is. User, depth and budgets go along: what a child spends is charged to all that led to it. A run that
ends takes along the children that are still going on, and one that is left leaves them.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct, structs

from ..events.budget import Scope
from ..events.child_step import (
    ChildEnded,
    ChildRequested,
    ChildStep,
    ChildWaits,
    WorkerSpawned,
    end_child,
    note_waiting,
    request_child,
    spawn_worker,
)
from ..events.errors import ConfigError, TreadleError
from ..events.fork_terms import ForkTerms
from ..events.message import Image, Message
from ..events.run import Closing, Run, RunCancelled, RunState
from ..events.worker import TaskAccepted, TaskEnded
from .context import RunContext, current_call, in_call
from .feed import Below, ChildFeed, Note
from .manner import PLAIN, Manner
from .result import RunResult
from .run_history import RunRequest, history_of
from .runtime import ActorDead
from .services import Unwanted
from .spec import AgentSpec

if TYPE_CHECKING:
    from .run import RunActivation

MAX_DEPTH = 8
"""How many delegations deep a run may be: more is a circle."""

_TAKEN_ALONG = "the run that asked for it ended"
_encode = msgspec.json.Encoder().encode


class DelegationFailed(TreadleError):
    """The child's run ended without an answer; the model is told why."""


class HasSpec(Protocol):
    """An agent as users make it (`gateways/agent.py`)."""

    @property
    def spec(self) -> AgentSpec: ...
    @property
    def has_name(self) -> bool: ...


Asked: TypeAlias = str | HasSpec | AgentSpec
"""Whom a run asks: an agent, or the name of one that is hosted, on this node or another."""


class Question(Struct, frozen=True, kw_only=True):
    """What a child is asked.

    Attributes:
        history: The conversation before the prompt.
        session_id: The conversation that the child goes on with, and adds to; empty for none.
        context: What is given with the prompt; its metadata are laid over the run's own.
        manner: How it is to answer, whatever its agent says.
    """

    prompt: str
    history: Sequence[Message] = ()
    images: tuple[Image, ...] = ()
    session_id: str = ""
    context: RunContext = RunContext()
    manner: Manner = PLAIN


class ChildPort(Protocol):
    """Runs of this system's actors, as the runs that lead to them use them."""

    async def run(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        """The end of a run: begun, gone on with, or read when it has ended."""
        ...

    async def cancel(self, run_id: str, closing: RunCancelled) -> RunResult | None:
        """Its result when it is closed, wherever it is; None when the journal does not have it.

        Raises:
            Unavailable, Fenced: The journal, or who works on it, did not answer for a minute; it may go on.
        """
        ...

    async def abandon(self, run_id: str) -> None:
        """Leave it open; on disk when this returns."""
        ...

    def tell_waiting(self, parent_run_id: str, waits: ChildWaits, parked: bool) -> None:
        """Tell the run that asked for a child what that waits for now."""
        ...


class Children:
    """Whom a run asks."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._nested: Counter[tuple[str, int, str]] = Counter()
        self._here: set[str] = set()  # calls whose children are agents of ours, and nobody's tasks

    @property
    def spec(self) -> AgentSpec:
        """The agent that asks."""
        return self._run.spec

    @property
    def state(self) -> Run:
        """What the run has done so far, to be read only."""
        return self._run.state

    def spawn(self, spawned: WorkerSpawned, taken: Collection[str], most: int) -> None:
        """Record a worker of the run's own. Raises `CannotSpawn`."""
        self._run.record(spawn_worker(spawned, taken, most, self._run.state))

    async def ask(
        self,
        step: str,
        call_id: str,
        agent: Asked,
        question: Question,
        *,
        role: str = "",
        steered: int = 0,
        joins: bool = True,
    ) -> ChildEnded:
        """What came of a child: recorded, or asked for now.

        Args:
            role: What the strategy calls the agent; the name of one that has none.
            steered: How much of what the run was told is in the question.
            joins: It is one of a team: the workspace of this run's agent is its own too.
        Raises:
            ConfigError: The run is as deep as runs may be.
            ReplayDivergence: Something else was asked there before.
            Unavailable: Nobody hosts the agent.
        """
        name = agent if isinstance(agent, str) else spec_of(agent, role).name
        run, state = self._run, self._run.state
        role = role or name
        question = _as_known(question, state.children.get(call_id))
        child_id, digest = f"{call_id}_{role}", _digest(question)
        asked = ChildRequested(
            step=step, call_id=call_id, run_id=child_id, agent=name, digest=digest, role=role, steered=steered
        )
        begun = request_child(run.run_id, asked, state)
        ended = state.children[call_id].ended if not begun else None
        if ended is not None:
            return ended
        depth = run.started.depth + 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"a run {depth - 1} delegations deep may not delegate further; is this a circle?")
        run.record(begun)
        # A child whose parent was never stored would be nobody's.
        await run.until_stored()
        async with self._told(asked, question, agent):
            with run.parking.child(call_id, current_call().call_id if in_call() else ""):
                if isinstance(agent, str):
                    ended = await self._delegated(agent, asked, question, depth)
                else:
                    self._here.add(call_id)
                    spec = self._answering(spec_of(agent, role), role)
                    ended = await self._run_here(self._joined(spec, role) if joins else spec, asked, question, depth)
        run.record(end_child(ended, run.state))
        return ended

    @asynccontextmanager
    async def _told(self, asked: ChildRequested, question: Question, agent: Asked) -> AsyncGenerator[None]:
        """Whoever reads the run, and the runs below it, is told what the child does in the block."""
        run, services = self._run, self._run.services
        if not any(feed.children for feed in run.feeds):
            yield
            return
        of = Below(asked.run_id, question.session_id or asked.run_id, run.run_id, asked.role, 1, Note("", {}))
        feed = ChildFeed(lambda: [feed for feed in run.feeds if feed.children], of)
        far = isinstance(agent, str) and services.work is not None and not services.work.is_here(agent)
        if far and services.far is not None:
            async with services.far.follow(asked.run_id, feed):
                yield
            return
        services.readers[asked.run_id] = (feed,)
        try:
            yield
        finally:
            del services.readers[asked.run_id]

    def waits(self, waits: ChildWaits, parked: bool) -> bool:
        """A child waits, or goes on; whether that is news.

        Args:
            parked: It can do nothing else.
        """
        news = note_waiting(waits, self._run.state)
        self._run.record(news)
        self._run.parking.child_waits(waits.call_id, waits=parked)
        return bool(news)

    def _joined(self, spec: AgentSpec, role: str) -> AgentSpec:
        shared, planned = self.spec.workspace, self.state.plan
        if shared is None:
            return spec
        plan = None if planned is None else (self._run.run_id, planned.plan.under_way)
        return shared.given_to(spec, role, [*self.spec.architecture.declared_workers()], plan)

    @property
    def user_id(self) -> str:
        """Whose run it is, and whose all that it asks."""
        return self._run.user_id

    @property
    def is_here(self) -> bool:
        """Whether this code runs on the run's own event loop."""
        return self._loop is asyncio.get_running_loop()

    async def nested(self, spec: AgentSpec, question: Question) -> RunResult:
        """What came of an agent that the code of a tool runs: a child of the tool's call.

        Nobody knows in which order the code asks what when it is repeated. So the child is found by what it is asked.
        """
        call, asked = current_call(), _digest(question)
        said = (call.call_id, call.attempt, asked)
        self._nested[said] += 1
        call_id = f"{call.call_id}_{asked[:8]}{self._nested[said]}"
        await self.ask(call.call_id, call_id, spec, question, joins=False)
        requested = self._run.state.children[call_id].requested
        return (await history_of(self._run.services.journal, requested.run_id)).result

    @property
    def conversation(self) -> str:
        """The session that conversations of this run are named after; of a fork, that of the run it was forked from."""
        terms = self._terms
        return terms.session if terms is not None and terms.session else self._run.session_id

    @property
    def depth(self) -> int:
        """How deep the run is; of a fork of a child, how deep that was. Conversations are named after it too."""
        return self._run.started.depth + (self._terms.deeper if self._terms is not None else 0)

    @property
    def _terms(self) -> ForkTerms | None:
        return self._run.started.fork

    def _session_of(self, question: Question) -> str:
        """The conversation itself. A forked tree has its own, as they were at the cut."""
        terms = self._terms
        return question.session_id if terms is None else terms.conversation(question.session_id)

    def _answering(self, spec: AgentSpec, role: str) -> AgentSpec:
        name = self._terms.models.get(role) if self._terms is not None else None
        return spec if name is None else structs.replace(spec, model=self._run.model_of(name))

    async def _run_here(self, spec: AgentSpec, asked: ChildRequested, question: Question, depth: int) -> ChildEnded:
        run = self._run
        cause = run.cause(asked.call_id)
        request = RunRequest(
            run_id=asked.run_id,
            prompt=question.prompt,
            images=question.images,
            history=question.history,
            user_id=run.user_id,
            context=_context(question.context, run.started.metadata),
            session_id=self._session_of(question),
            terms=self._terms.inherited if self._terms is not None else None,
            manner=question.manner,
            parent_run_id=run.run_id,
            parent_call_id=asked.call_id,
            depth=depth,
            budgets=self._budgets,
            causation_id=asked.call_id,
            correlation_id=cause.correlation_id,
            traceparent=cause.traceparent,
        )
        result = await self._port.run(spec, request)
        return _ended(asked.call_id, result)

    async def _delegated(self, worker: str, asked: ChildRequested, question: Question, depth: int) -> ChildEnded:
        run = self._run
        if run.services.work is None:
            raise ConfigError(f"agent {worker!r} is asked for by its name, and this system has no workers")
        if self._terms is not None and asked.role in self._terms.models:
            raise ConfigError(
                f"agent {worker!r} is asked for by its name and has its own model; models= cannot change it"
            )
        task = TaskAccepted(
            task_id=asked.call_id,
            run_id=asked.run_id,
            prompt=question.prompt,
            user_id=run.user_id,
            parent_run_id=run.run_id,
            depth=depth,
            budgets=self._budgets,
            session_id=self._session_of(question),
            fork=self._terms.inherited if self._terms is not None else None,
            conversation=() if question.session_id else tuple(question.history),
            metadata={**run.started.metadata, **question.context.metadata},
            images=question.images,
            tone=question.manner.tone,
            output=question.manner.output_format(run.spec.model),
        )
        return _task_ended(await run.services.work.delegate(worker, task, run.cause(asked.call_id)))

    @property
    def _budgets(self) -> tuple[Scope, ...]:
        return tuple(Scope(name, limits) for name, limits in self._run.models.charges.scopes)

    @property
    def _port(self) -> ChildPort:
        port = self._run.services.children
        if port is None:
            raise ConfigError("this system runs no agents for others")
        return port

    # --- when the run itself ends, or is left ---

    async def end(self, closing: Closing) -> None:
        """Cancel those that are still going on, and record what came of them. Before the run's own end is."""
        cancelled = self._cancelled(closing)
        for ended in await asyncio.gather(*(self._cancel(asked, cancelled) for asked in self._going)):
            self._run.record(end_child(ended, self._run.state))

    def _cancelled(self, closing: Closing) -> RunCancelled:
        """How children end with a run that ends so: they say who cancelled the first of all, and why."""
        if not isinstance(closing, RunCancelled):
            return RunCancelled(reason=f"{_TAKEN_ALONG} ({closing.event_tag.removeprefix('run.')})")
        if closing.reason.startswith(_TAKEN_ALONG):
            return RunCancelled(reason=closing.reason, by=closing.by)
        who = f" by {closing.by}" if closing.by else ""
        return RunCancelled(reason=f"{_TAKEN_ALONG} (cancelled{who}: {closing.reason})", by=closing.by)

    async def _cancel(self, asked: ChildRequested, closing: RunCancelled) -> ChildEnded:
        run, call_id = self._run, asked.call_id
        if run.services.work is None or call_id in self._here:
            result = await self._port.cancel(asked.run_id, closing)
            if result is None:  # it was asked for, and never began
                return ChildEnded(call_id=call_id, state=RunState.CANCELLED, error=f"cancelled: {closing.reason}")
            return _ended(call_id, result)
        unwanted = Unwanted(call_id, asked.run_id, closing, run.cause(call_id))
        return _task_ended(await run.services.work.cancel(asked.agent, unwanted))

    async def abandon(self) -> None:
        """Leave those that are still going on: whoever goes on with the run goes on with them."""
        for asked in self._going:
            with suppress(
                ActorDead
            ):  # it is stopped already, as all are when a node closes, and has left its run itself
                await self._port.abandon(asked.run_id)

    @property
    def _going(self) -> list[ChildRequested]:
        return [child.requested for child in self._run.state.children.values() if child.ended is None]


_current: ContextVar[Children] = ContextVar("treadle_children")


def current_children() -> Children:
    """Whom the run of this tool may ask.

    Raises:
        LookupError: This code does not run inside of a run, or its tool does not run on the run's own node.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("this works inside a tool that a run called on its node, and there is none here") from None


def children_of_call() -> Children | None:
    """Whom the tool may ask that this code runs in, on the loop of its run; None elsewhere."""
    children = _current.get(None)
    return children if children is not None and children.is_here and in_call() else None


def enter_children(children: Children) -> None:
    """Make `children` those of the run that this task drives."""
    _current.set(children)


def spec_of(agent: "HasSpec | AgentSpec", role: str = "") -> AgentSpec:
    """What an agent is, under the name that it has, or else under its role."""
    if isinstance(agent, AgentSpec):
        return agent
    # What Treadle calls an agent without a name is another name in another process.
    return agent.spec if agent.has_name else structs.replace(agent.spec, name=role or "agent")


def _ended(call_id: str, result: RunResult) -> ChildEnded:
    return ChildEnded(
        call_id=call_id,
        state=str(result.state),
        output=result.output,
        error=result.why,
        turns=result.turns,
        usage=result.usage,
        ended_by=result.ended_by,
    )


def _task_ended(ended: TaskEnded) -> ChildEnded:
    return ChildEnded(
        call_id=ended.task_id,
        state=str(ended.state),
        output=ended.output,
        error=ended.error,
        turns=ended.turns,
        usage=ended.usage,
    )


def _context(given: RunContext, metadata: Mapping[str, Any]) -> RunContext | None:
    """What goes along with a question: the run's metadata, and what was given."""
    if not (metadata or given.metadata or given.shown):
        return None
    return RunContext(
        metadata={**metadata, **given.metadata},
        inputs=given.inputs,
        knowledge=given.knowledge,
        extensions=given.extensions,
    )


def _as_known(question: Question, known: ChildStep | None) -> Question:
    """`question` as it was asked before members were shown the pictures of a run, where it was asked then."""
    if known is None or not question.images:
        return question
    without = structs.replace(question, images=())
    return without if known.requested.digest == _digest(without) else question


def _digest(question: Question) -> str:
    said = [question.prompt, question.history, question.images, question.session_id]
    return hashlib.sha256(_encode(said)).hexdigest()[:16]
