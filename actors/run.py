"""One activation of a run: drives its strategy through recorded steps, from the top, until the run has ended.

Order and guarantees:

* Before a tool with effects starts, its intent is on disk, and so is everything before it (`barrier`). Whoever
  takes the run over appends first, so a former owner finds out at its barrier and starts nothing.
* Before the run answers, its end is on disk, together with what its session writes about it.
* Everything else is queued and shares the next commit.

`model_calls.py` and `tool_calls.py` are what a run does, `steps.py` is the strategy's side of it; `session.py` decides
when a run begins, `run_actor.py` takes messages for it.
"""

import asyncio
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Never, Protocol

from msgspec import structs

from ..events.envelope import Meta
from ..events.errors import (
    AppendUncertain,
    CorruptEvent,
    Fenced,
    Owned,
    ReadOnly,
    ReplayDivergence,
    TreadleError,
    Unavailable,
    VersionConflict,
)
from ..events.event import Event
from ..events.journal import Append, Pending
from ..events.logs import get_logger
from ..events.memory import EpisodeRemembered
from ..events.message import Message, OutputFormat, ToolSpec
from ..events.model_step import ModelCompleted
from ..events.run import (
    Closing,
    MemoryRecalled,
    MemoryUnreadable,
    Run,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunStarted,
    RunSuspended,
    close,
    decide_approval,
    evolve,
    run_stream,
    take_over,
)
from .answer import fitting
from .context import RunContext, set_run_context
from .deadline import Deadline
from .entity import Entity, Fold
from .feed import Batch, Feed
from .json_form import recordable
from .model_calls import ModelCalls
from .model_charges import Interrupted
from .model_errors import ModelError
from .opening import opening_messages
from .output import Output, output_of
from .parking import Parking
from .result import RunResult, result_of
from .run_history import RunRequest
from .services import Services, enter_services
from .spec import AgentSpec
from .steps import Steps
from .tool import say
from .tool_calls import ToolCalls

FOLD: Fold[Run] = Fold(Run, evolve)
_log = get_logger("treadle.actors")

_LOOK_S = 0.05
_LEFT = "whoever waited for this run went away"
_STOPPED = "the system that ran it stopped"
_MOVES = "another node goes on with it"


class SessionSide(Protocol):
    """What a run's session writes in the same appends as the run: its beginning and its end."""

    def opening(self) -> Append: ...
    def closing(self, closing: Closing) -> Append | None: ...
    def queued(self, pending: Pending, index: int) -> None:
        """The append was submitted; it is number `index` of `pending`."""
        ...

    async def reload(self) -> None:
        """The session's stream moved on under us: read it again."""
        ...


class RunActivation:
    """A run in this process. Made for a new run by `begin`, for one in the journal by `continue_`."""

    def __init__(self, spec: AgentSpec, services: Services, request: RunRequest) -> None:
        self.spec = spec
        self.services = services
        self.run_id = request.run_id
        self.user_id = request.user_id
        self.session_id = request.session_id or request.run_id
        self.request = request
        self.parking = Parking()
        self._entity = Entity(
            services.journal,
            services.clock,
            run_stream(request.run_id),
            FOLD,
            Meta(
                user_id=request.user_id,
                session_id=self.session_id,
                run_id=request.run_id,
                correlation_id=request.correlation_id or self.session_id,
                causation_id=request.causation_id,
                traceparent=request.traceparent,
                epoch=1,
            ),
        )
        self._entity.told = self._tell
        self._session: SessionSide | None = None
        self.feeds: list[Feed] = []
        self._ending: RunCancelled | RunInterrupted | None = None
        self._driver: asyncio.Task[Any] | None = None
        self._stopped = False
        self._ends = False  # what it comes to is settled, and is being recorded
        self._abandoned = ""  # why it was left, if it was
        self._ours_at = -math.inf  # the run was still ours at this time, by the clock's `monotonic`
        self.moving = False
        self.taken_over = False  # an earlier activation began it
        self._stored = False  # it is known to be in the journal
        self.step = _Step(self)
        self._deadline = Deadline(spec.timeout_s)
        self.models = ModelCalls(self)
        self.tools = ToolCalls(self)
        # Whether it can come to wait for an approval from outside.
        self.may_park = any(tool.spec.destructive or tool.spec.requires_permission for tool in spec.tools.values())

    def __repr__(self) -> str:
        return f"<RunActivation {self.run_id} v{self.version} {self.state.state}>"

    # --- state ---

    @property
    def state(self) -> Run:
        return self._entity.state

    @property
    def started(self) -> RunStarted:
        started = self._entity.state.started
        if started is None:
            raise RuntimeError(f"run {self.run_id!r} has not begun")
        return started

    @property
    def stream(self) -> str:
        return self._entity.stream

    @property
    def version(self) -> int:
        return self._entity.version

    def result(self) -> RunResult:
        """What there is of the run now."""
        return result_of(
            self.state,
            run_id=self.run_id,
            session_id=self.session_id,
            user_id=self.user_id,
            started_at=self._entity.first_at,
            last_at=self._entity.last_at,
        )

    def cause(self, causation_id: str) -> Meta:
        """What others record with the events that this run leads to, by its call `causation_id` or as a whole."""
        return structs.replace(self._entity.meta, causation_id=causation_id)

    def attach(self, feed: Feed) -> None:
        """`feed` hears everything from here on."""
        self.feeds.append(feed)

    # --- recording ---

    def record(self, events: Sequence[Event]) -> None:
        """Queue events; they are in the state at once and on disk after the next `barrier`."""
        self._entity.record(events)

    def _tell(self, pending: Pending, events: Sequence[Event]) -> None:
        at = self._entity.last_at
        if self.feeds and at is not None:
            batch = Batch(self.stream, pending, events, self._entity.head.version - len(events) + 1, at)
            for feed in self.feeds:
                feed.recorded(batch)

    async def barrier(self) -> None:
        """Wait until everything recorded is on disk.

        Raises:
            Fenced: Somebody took the run over.
            VersionConflict: The session's stream moved on in the same append; the run has not begun, or not ended.
            Unavailable, ReadOnly: The journal does not store; the run stays open and can be resumed.
        """
        try:
            begun = self.services.clock.monotonic()
            await self._entity.flush()
            self._ours_at = begun
        except VersionConflict as exc:
            if exc.stream != self._entity.stream:
                raise
            history = await self.services.journal.read(self.stream)
            fold = Run()
            for recorded in history:
                evolve(fold, recorded.event)
            found = history[-1].epoch if history else 0
            raise Fenced(self.stream, self._entity.meta.epoch, found, fold.owner) from exc
        self._stored = True

    async def until_stored(self) -> None:
        """Wait until the run has begun on disk, whatever of it is queued. Raises what `barrier` does."""
        if not self._stored:
            await self.barrier()

    @property
    def is_ours(self) -> bool:
        """Whether nobody can have taken the run over since the last barrier."""
        return self.services.journal.holds(self._ours_at)

    async def make_sure(self) -> None:
        """Wait until the run is certainly ours: this process may have been paused, and taken for dead.

        Raises:
            Fenced: Somebody took the run over.
            Unavailable, ReadOnly: The journal does not say.
        """
        while not self.is_ours:
            self._entity.ask()
            await self.barrier()
            if not self.is_ours:
                await asyncio.sleep(_LOOK_S)  # until others can see again that we live

    # --- beginning and ending ---

    def begin(self, session: SessionSide | None = None) -> None:
        """Record that the run has started, in one append with its session's part."""
        spec, request = self.spec, self.request
        manner = request.manner.over(spec.manner)
        self._ours_at = self.services.clock.monotonic()  # nobody has heard of it
        if request.fork is not None:
            started = structs.replace(request.fork.started, owner=self.services.journal.owner)
            self._entity.record([started, *request.fork.copied], copies=True)
            return
        started = RunStarted(
            agent=spec.name,
            prompt=request.prompt,
            owner=self.services.journal.owner,
            model=spec.model.name,
            instructions=spec.instructions,
            tools=catalogue(spec),
            strategy=spec.strategy_name,
            max_turns=spec.max_turns,
            timeout_s=spec.timeout_s,
            parent_run_id=request.parent_run_id,
            parent_call_id=request.parent_call_id,
            depth=request.depth,
            signal_id=request.signal_id,
            metadata=recordable(dict(request.context.metadata)) if request.context is not None else {},
            shown=recordable(request.context.shown) if request.context is not None else {},
            images=request.images,
            output=manner.output_format(spec.model),
            tone=manner.words(),
        )
        self._record_with([started], session.opening() if session is not None else None, session)

    def _record_with(self, events: Sequence[Event], append: Append | None, session: SessionSide | None) -> None:
        if append is None or session is None:
            self.record(events)
            return
        own = self._entity.stage(events)
        pending = self.services.journal.submit(append, own)
        session.queued(pending, 0)
        self._entity.staged(pending, 1)
        self._tell(pending, own.events)

    async def continue_(self, reason: str) -> bool:
        """Read the run's history and take it over; False when it had ended already.

        Raises:
            Owned: A living process works on it; names that process.
            Fenced: Somebody else took it over at the same moment, and goes on with it.
        """
        await self._entity.load()
        if self.state.closed is not None or self.state.started is None:
            return False
        # Of the very history that the take-over is appended to: a new owner between the two is a conflict.
        owner, journal = self.state.owner, self.services.journal
        if owner != journal.owner and not self.state.suspended and await journal.is_alive(owner):
            raise Owned(self._entity.stream, owner, self._entity.meta.epoch - 1)
        self.record(take_over(self.services.journal.owner, reason, self.state))
        await self.barrier()
        self.taken_over = True
        return True

    async def drive(self, session: SessionSide | None = None) -> RunResult:
        """Run the strategy to its end and record it; the result is on disk when this returns. Begins a new run.

        A run that was abandoned stays open as suspended, and its result says so.

        Raises:
            Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly: The run stays open.
            CancelledError: Whoever drives it was cancelled; the run stays open as suspended.
        """
        self._session = session
        driver = self._driver = asyncio.current_task()
        assert driver is not None
        begun = self.services.clock.monotonic()
        try:
            if self.state.started is None:
                self.begin(session)
            try:
                if self._stopped:
                    raise asyncio.CancelledError
                closing = await self._closing()
                if driver.cancelling():
                    # Told to leave at the end of its very last step, it has not felt it yet, and must not at the next.
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                if self._ending is None:
                    await self._suspend(self._abandoned or _STOPPED)
                    if not self._abandoned:
                        raise
                    driver.uncancel()
                    return self.result()
                driver.uncancel()
                closing = self._ending
            self._ends = True
            await self.models.charges.spend_time(self.services.clock.monotonic() - begun)
            await self._close(closing)
        finally:
            self._driver = None
            for feed in self.feeds:
                feed.end()
        return self.result()

    async def _closing(self) -> Closing:
        """Run the strategy; what it came to."""
        set_run_context(self._context())
        enter_services(self.services)
        state = self.state
        try:
            with self._deadline:
                await self._recall()
                output = await self._answer()
                await self._remember(output)
        except Interrupted as exc:
            return RunInterrupted(reason=exc.reason, output=_last_text(state), turns=state.turns, usage=state.usage)
        except (Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly, VersionConflict):
            raise
        except TimeoutError as exc:
            if not self._deadline.expired:
                return RunFailed(error=say(exc), kind="TimeoutError", turns=state.turns, usage=state.usage)
            error = f"the run took longer than Agent(timeout={self.spec.timeout_s:g}) seconds"
            return RunFailed(error=error, kind="timeout", turns=state.turns, usage=state.usage)
        except ModelError as exc:
            return RunFailed(
                error=str(exc), kind=f"model:{exc.kind}", turns=state.turns, usage=state.usage, details=exc.details
            )
        except (Exception, SystemExit) as exc:
            _log.exception("run %s failed in its strategy", self.run_id)
            return RunFailed(error=say(exc), kind=type(exc).__name__, turns=state.turns, usage=state.usage)
        except asyncio.CancelledError as exc:
            if self._stopped or self._driver is None or self._driver.cancelling():
                raise
            error = "the strategy raised CancelledError, and nobody had cancelled it"
            _log.error("run %s failed: %s", self.run_id, error, exc_info=exc)
            return RunFailed(error=error, kind="CancelledError", turns=state.turns, usage=state.usage)
        return RunCompleted(output=output, turns=state.turns, usage=state.usage, degraded=state.degraded)

    async def _answer(self) -> str:
        """What the strategy came to, and brought into the form that was asked for."""
        steps, asked = Steps(self), self.started.output
        answer = await self.spec.strategy(steps)
        return answer if asked is None else await fitting(answer, steps, self.output(asked), asked)

    def output(self, asked: OutputFormat) -> Output:
        """The type behind what was asked for.

        Raises:
            ConfigError: It is not known here, and the recorded JSON Schema is not enough.
        """
        known = (self.request.manner.output, self.spec.manner.output)
        return output_of(asked, known, self.services.output_of)

    async def end(self, closing: Closing, session: SessionSide | None = None) -> RunResult:
        """Close a run that nobody drives."""
        self._session = session
        await self._close(closing)
        return self.result()

    async def _close(self, closing: Closing) -> None:
        await self.models.end()
        closing = structs.replace(closing, turns=self.state.turns, usage=self.state.usage)  # with what that came to
        session = self._session
        while True:
            append = session.closing(closing) if session is not None else None
            self._record_with(close(closing, self.state), append, session)
            try:
                await self.barrier()
            except VersionConflict as exc:
                if session is None or exc.stream == self._entity.stream:
                    raise
                # Somebody else wrote to the session meanwhile, a signal perhaps; this run's end is not in question.
                await session.reload()
                await self._entity.load()
                if self.state.started is None:
                    raise
            else:
                return

    async def _suspend(self, reason: str) -> None:
        """Note that nobody drives the run now. Best effort: the journal may be what went away."""
        if self.state.closed is not None or self.state.suspended:
            return
        try:
            self.record([RunSuspended(reason=reason)])
            await asyncio.shield(asyncio.ensure_future(self.barrier()))
        except (TreadleError, asyncio.CancelledError) as exc:
            _log.warning("run %s was left without a note that it is suspended: %s", self.run_id, exc)

    def stop(self, closing: RunCancelled | RunInterrupted) -> None:
        """End the run so: its model call and its coroutine tools are cancelled, then it is closed."""
        if self._ending is None and not self._ends and self.state.closed is None:
            self._ending = structs.replace(closing, turns=self.state.turns, usage=self.state.usage)
            self._stop()

    def abandon(self, reason: str = _LEFT) -> None:
        """Stop working, and leave the run open as suspended; by default because whoever waited has gone.

        One that is just ending ends.
        """
        if not self._ends and not self._stopped:
            self._abandoned = reason
            self._stop()

    # --- moving to another node ---

    def move(self, *, now: bool = False) -> None:
        """Leave the run open for another node: when the steps that go on have come to their end, or at once."""
        self.moving = True
        if now or not self.step.going:
            self.abandon(_MOVES)

    async def leave(self) -> Never:
        """Begin no step any more: wait for those that go on beside, and for the end of this activation."""
        if not self.step.going:
            self.abandon(_MOVES)
        await asyncio.Event().wait()
        raise AssertionError("a run that moves was not cancelled")

    def _stop(self) -> None:
        self._stopped = True  # in case that the driver has not begun yet
        if self._driver is not None:
            self._driver.cancel()

    # --- what the model is shown ---

    def _context(self) -> RunContext:
        # As it was recorded, which is what a later activation has.
        return RunContext(
            user_id=self.user_id,
            session_id=self.session_id,
            run_id=self.run_id,
            correlation_id=self._entity.meta.correlation_id,
            traceparent=self._entity.meta.traceparent,
            metadata=self.started.metadata,
            **self.started.shown,
        )

    def opening_messages(self) -> list[Message]:
        started = self.started
        return opening_messages(
            started, started.conversation if started.forked_from else self.request.history, self.state
        )

    async def _recall(self) -> None:
        if not self.spec.memory or self.services.memory is None or "memory" in self.state.values:
            return
        try:
            found = await self.services.memory.recall(self.user_id, self.session_id, self.started.prompt)
        except CorruptEvent as exc:
            self._without_memory("memory", exc)
            return
        self.record([MemoryRecalled(step="memory", blocks=found.blocks, facts=found.facts, episodes=found.episodes)])

    async def _remember(self, output: str) -> None:
        """Before the end is recorded, so that a run that has ended is remembered; once, because its id is the run's."""
        if not self.spec.memory or self.services.memory is None:
            return
        # An activation that was taken over finds out here: the episode that is written first is the one that stays.
        await self.barrier()
        tools = tuple(step.requested.tool for step in self.state.tools.values() if step.requested is not None)
        episode = EpisodeRemembered(
            episode_id=self.run_id,
            agent=self.spec.name,
            session_id=self.session_id,
            input=self.started.prompt,
            output=output,
            tools=tools,
        )
        try:
            await self.services.memory.remember(self.user_id, episode, self.cause(self.run_id))
        except CorruptEvent as exc:
            self._without_memory("remember", exc)

    def _without_memory(self, step: Literal["memory", "remember"], exc: CorruptEvent) -> None:
        """Say that the run goes on without its user's memory, and why; the memory itself is left as it is."""
        _log.error("run %s goes on without the memory of user %r: %s", self.run_id, self.user_id, exc)
        if step not in self.state.values:
            unreadable = MemoryUnreadable(
                step=step, stream=exc.stream, version=exc.version, position=exc.position, reason=str(exc)
            )
            self.record([unreadable])

    # --- approvals ---

    async def approve(self, call_id: str, allowed: bool, by: str = "", note: str = "") -> None:
        """Answer a waiting call; durable when this returns.

        Raises:
            NothingToApprove, RunClosed: There is no such question.
        """
        self.record(decide_approval(self.run_id, call_id, allowed, by, note, self.state))
        await self.barrier()
        self.parking.answer(call_id, allowed)


class _Step:
    """The block in which a step is done. A run that moves leaves between two steps, and not within one."""

    __slots__ = ("_run", "going")

    def __init__(self, run: RunActivation) -> None:
        self._run = run
        self.going = 0

    @contextmanager
    def rest(self) -> Generator[None]:
        """Nothing goes on in the block, though the step has not ended: the run may leave here too."""
        self.__exit__()
        try:
            yield
        finally:
            self.going += 1

    def __enter__(self) -> None:
        self.going += 1

    def __exit__(self, *exc: object) -> None:
        self.going -= 1
        if self._run.moving and not self.going:
            self._run.abandon(_MOVES)


def catalogue(spec: AgentSpec) -> tuple[ToolSpec, ...]:
    """The tools as the model is shown them."""
    return tuple(tool.spec for tool in spec.tools.values())


def _last_text(state: Run) -> str:
    for step in reversed(state.models.values()):
        if isinstance(step.outcome, ModelCompleted) and step.outcome.reply.text:
            return step.outcome.reply.text
    return ""
