"""One activation of a run: drives its strategy through recorded steps, from the top, until the run has ended.

Order and guarantees:

* Before a tool with effects starts, its intent is on disk, and so is everything before it (`barrier`). Whoever
  takes the run over appends first, so a former owner finds out at its barrier and starts nothing.
* Before the run answers, its end is on disk, together with what its session writes about it.
* Everything else is queued and shares the next commit.

`stored_run.py` is what the journal has of it; `model_calls.py` and `tool_calls.py` are what a run does, `steps.py` is
the strategy's side of it; `session.py` decides when a run begins, `run_actor.py` takes messages for it.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Never

from msgspec import structs

from ..events.child_step import ChildWaits, WaitingCall
from ..events.errors import (
    AppendUncertain,
    ConfigError,
    Fenced,
    NotFound,
    ReadOnly,
    ReplayDivergence,
    TreadleError,
    Unavailable,
    VersionConflict,
)
from ..events.event import Event
from ..events.logs import get_logger
from ..events.message import Message, OutputFormat, ToolSpec
from ..events.model_step import ModelCompleted
from ..events.run import (
    Closing,
    Run,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunStarted,
    RunSuspended,
    TooLate,
    close,
    decide_approval,
    steer,
)
from ..events.steering import RunSteered, known_steering
from ..events.tool_step import ApprovalRequested
from .answer import GoingOn, fitting
from .children import Children, enter_children
from .context import RunContext, enter_call, set_run_context
from .deadline import Deadline
from .gate import Passed, passing, with_answer
from .json_form import recordable
from .living_plan import PlanOfRun, begin_plan, enter_plan
from .model import Model
from .model_calls import ModelCalls
from .model_charges import Interrupted
from .model_errors import ModelError
from .opening import opening_messages
from .output import Output, output_of
from .parking import Parking
from .raised import log_failure
from .replay import Replay
from .result import RunResult
from .run_history import RunRequest
from .run_memory import recall, remember
from .services import Services, enter_services
from .spec import AgentSpec
from .steps import Steps
from .stored_run import SessionSide, StoredRun
from .strategies.architecture import equipped
from .tool import say
from .tool_calls import ToolCalls

_log = get_logger("treadle.actors")

_LEFT = "whoever waited for this run went away"
_STOPPED = "the system that ran it stopped"
_NOTE_S = 5.0  # how long a journal that is away is waited for by who only wants to leave
_MOVES = "another node goes on with it"


class RunActivation(StoredRun):
    """A run in this process. Made for a new run by `begin`, for one in the journal by `continue_`."""

    def __init__(self, spec: AgentSpec, services: Services, request: RunRequest) -> None:
        super().__init__(services, request)
        self.spec = equipped(spec)
        self._session: SessionSide | None = None
        self.parking = Parking(self.tell_parent if request.parent_run_id else _nothing)
        self._told: tuple[tuple[ApprovalRequested, ...], bool] = (
            (),
            False,
        )  # as its parent knows it
        self._ending: RunCancelled | RunInterrupted | None = None
        self._driver: asyncio.Task[Any] | None = None
        self._cause: BaseException | None = None  # what code that is not ours raised, which ended it
        self._stopped = False
        self._ends = False  # what it comes to is settled, and is being recorded
        self._answered = False  # it has its answer, and is told nothing any more
        self.heard = 0  # how much of what it was told those have been shown who make its answer
        self._abandoned = ""  # why it was left, if it was
        self.moving = False
        self.taken_over = False  # an earlier activation began it
        self.step = _Step(self)
        self.replay = Replay(self.run_id, self.state)
        self._deadline = Deadline(spec.timeout_s)
        self.models = ModelCalls(self)
        self.tools = ToolCalls(self)
        self.children = Children(self)
        # Whether it can come to wait for an approval from outside: by a tool of its own, or of an agent that it asks.
        self.may_park = bool(spec.tools) or spec.architecture.name != "react"

    # --- beginning and ending ---

    def begin(self, session: SessionSide | None = None) -> None:
        """Record that the run has started, in one append with its session's part."""
        spec, request = self.spec, self.request
        manner = request.manner.over(spec.manner)
        self._ours_at = self.services.clock.monotonic()  # nobody has heard of it
        if request.fork is not None:
            started = structs.replace(request.fork.started, owner=self.services.journal.owner)
            self.record_copies([started, *request.fork.records], request.fork.rest)
            return
        started = RunStarted(
            agent=spec.name,
            prompt=request.prompt,
            owner=self.services.journal.owner,
            model=spec.model.name,
            instructions=spec.instructions,
            tools=catalogue(spec),
            strategy=spec.architecture.name,
            max_turns=spec.max_turns,
            timeout_s=spec.timeout_s,
            parent_run_id=request.parent_run_id,
            parent_call_id=request.parent_call_id,
            depth=request.depth,
            budgets=request.budgets,
            conversation=tuple(request.history) if request.parent_run_id and not request.session_id else (),
            previous_run_id=request.previous_run_id,
            fork=request.terms,
            signal_id=request.signal_id,
            metadata=recordable(dict(request.context.metadata)) if request.context is not None else {},
            shown=recordable(request.context.shown) if request.context is not None else {},
            images=request.images,
            output=manner.output_format(spec.model),
            tone=manner.words(),
            workspace=spec.workspace.joined if spec.workspace is not None else None,
        )
        self.record_with([started], session.opening() if session is not None else None, session)

    async def continue_(self, reason: str) -> bool:
        """As of `StoredRun`."""
        self.taken_over = await super().continue_(reason)
        return self.taken_over

    def record(self, events: Sequence[Event]) -> None:
        """As of `StoredRun`.

        Raises:
            ReplayDivergence: A new step is in it, and one that is recorded cannot come any more.
        """
        self.replay.begin(events)
        super().record(events)

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
        enter_children(self.children)
        enter_plan(PlanOfRun(self))
        enter_call(None)
        state, begun = self.state, self.request.fork
        self.replay = replay = Replay(self.run_id, state, whole=begun is None or begun.shown is None)
        try:
            with self._deadline:
                await recall(self)
                await begin_plan(self)
                passed = await self._answer()
                replay.end()
                await remember(self, passed.answer)
        except Interrupted as exc:
            replay.end(str(exc), failed=True)
            output = _last_text(state) if exc.output is None else exc.output
            return RunInterrupted(reason=exc.reason, output=output, turns=state.turns, usage=state.usage)
        except (Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly, VersionConflict):
            raise
        except ModelError as exc:
            return RunFailed(
                error=str(exc), kind=f"model:{exc.kind}", turns=state.turns, usage=state.usage, details=exc.details
            )
        except (Exception, SystemExit) as exc:
            if isinstance(exc, TimeoutError) and self._deadline.expired:
                return self._out_of_time()
            replay.end(say(exc), failed=True)
            self._cause = log_failure(_log, self.run_id, exc)
            return RunFailed(error=say(exc), kind=type(exc).__name__, turns=state.turns, usage=state.usage)
        except asyncio.CancelledError as exc:
            if self._stopped or self._driver is None or self._driver.cancelling():
                raise
            error = "the strategy raised CancelledError, and nobody had cancelled it"
            _log.error("run %s failed: %s", self.run_id, error, exc_info=exc)
            return RunFailed(error=error, kind="CancelledError", turns=state.turns, usage=state.usage)
        degraded = "; ".join(why for why in (state.degraded, passed.degraded) if why)
        return RunCompleted(output=passed.answer, turns=state.turns, usage=state.usage, degraded=degraded)

    def _out_of_time(self) -> RunFailed:
        limit_s = self.spec.timeout_s
        error = f"the run took longer than timeout_s={limit_s:g} seconds; {self.spec.name!r} sets it, None is no limit"
        details = {"setting": "timeout_s", "limit_s": limit_s}
        return RunFailed(error=error, kind="timeout", turns=self.state.turns, usage=self.state.usage, details=details)

    def result(self) -> RunResult:
        """As of `StoredRun`, with what has ended it here."""
        result = super().result()
        if self._cause is not None:
            result.cause = self._cause
        return result

    async def _answer(self) -> Passed:
        """What the strategy came to, through all gates, and brought into the form that was asked for."""
        steps, asked = Steps(self), self.started.output
        passed = await passing(self.spec.architecture, self.spec.gates, steps)
        while True:
            if asked is not None:
                try:
                    passed = passed._replace(answer=await fitting(passed.answer, steps, self.output(asked), asked))
                except Interrupted as exc:
                    raise with_answer(exc, passed.answer if self.spec.gates else None) from exc
            # A run whose agent has asked no model of its own has nobody to go on with: its result says so.
            if self.heard >= len(self.state.steerings) or not self.state.models:
                self._answered = True
                return passed
            goes_on = GoingOn(passed.answer, steps, self.spec.architecture)
            try:
                passed = await passing(goes_on, self.spec.gates, steps)
            except Interrupted as exc:
                raise with_answer(exc, passed.answer) from exc

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
        await self.children.end(closing)
        closing = structs.replace(closing, turns=self.state.turns, usage=self.state.usage)  # with what that came to
        session = self._session
        while True:
            append = session.closing(closing, self.state.told) if session is not None else None
            self.record_with(close(closing, self.state), append, session)
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
            await asyncio.shield(asyncio.ensure_future(self.children.abandon()))
            self.record([RunSuspended(reason=reason)])
            async with asyncio.timeout(_NOTE_S):
                await asyncio.shield(asyncio.ensure_future(self.barrier()))
        except (TreadleError, TimeoutError, asyncio.CancelledError) as exc:
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

    def model_of(self, name: str) -> Model:
        """The model of a name, as `model=` takes it.

        Raises:
            ConfigError: There is none.
        """
        if self.services.model_of is None:
            raise ConfigError(f"this system knows no models by their names, and a strategy asks for {name!r}")
        return self.services.model_of(name)

    def opening_messages(self, *, answer: bool = True) -> list[Message]:
        started = self.started
        history = started.conversation or self.request.history
        return opening_messages(started, history, self.state, answer=answer)

    # --- what it is told meanwhile ---

    async def steer(self, steered: RunSteered) -> None:
        """Tell the run something; durable when this returns. Its next model call is shown it.

        Raises:
            RunClosed: It has ended, or has its answer.
            NotFound: It has not begun.
            OtherSteering: It was told something else under this id.
        """
        if self.state.started is None:
            raise NotFound("run", self.run_id, "it has not begun")
        if (self._answered or self._ends) and not known_steering(self.run_id, steered, self.state):
            raise TooLate(self.run_id)
        self.record(steer(self.run_id, steered, self.state))
        await self.barrier()
        if steered.now:  # also where it is told again, by somebody who cannot wait any more
            ids = [each.steering_id for each in self.state.steerings]
            self.models.cut(ids.index(steered.steering_id) + 1)

    # --- approvals ---

    async def approve(self, call_id: str, allowed: bool, by: str = "", note: str = "") -> None:
        """Answer a waiting call; durable when this returns.

        Raises:
            NothingToApprove, RunClosed: There is no such question.
        """
        self.record(decide_approval(self.run_id, call_id, allowed, by, note, self.state))
        await self.barrier()
        self.parking.answer(call_id, allowed)
        self.tell_parent()

    def child_waits(self, waits: ChildWaits, parked: bool) -> None:
        """A run that this one asked for waits for an approval, or goes on."""
        if self.children.waits(waits, parked):
            self.tell_parent()

    def tell_parent(self, *, again: bool = False) -> None:
        """Tell the run that asked for this one what it waits for now, if that is news.

        Args:
            again: It may have forgotten.
        """
        port, request = self.services.children, self.request
        told = (tuple(self.state.waiting_for), self.parking.parked.is_set())
        if not request.parent_run_id or port is None or (told == self._told and not again):
            return
        self._told = told
        waiting = tuple(
            WaitingCall(
                run_id=asked.run_id or self.run_id,
                step=asked.step,
                call_id=asked.call_id,
                tool=asked.tool,
                reason=asked.reason,
                args=asked.args,
                until=asked.until,
            )
            for asked in told[0]
        )
        waits = ChildWaits(call_id=request.parent_call_id, waiting=waiting, at=self.version)
        port.tell_waiting(request.parent_run_id, waits, told[1])


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


def _nothing() -> None:
    """Nobody is told: nobody has asked for the run."""


def catalogue(spec: AgentSpec) -> tuple[ToolSpec, ...]:
    """The tools as the model is shown them."""
    return tuple(tool.spec for tool in spec.tools.values())


def _last_text(state: Run) -> str:
    for step in reversed(state.models.values()):
        if isinstance(step.outcome, ModelCompleted) and step.outcome.reply.text:
            return step.outcome.reply.text
    return ""
