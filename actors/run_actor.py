"""The actor around a run: takes messages for it while its strategy works beside them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct, structs

from ..events.child_step import ChildWaits
from ..events.errors import ConfigError, NotFound, Owned
from ..events.event import Event
from ..events.logs import get_logger
from ..events.message import OutputFormat
from ..events.run import (
    Run,
    RunCancelled,
    RunClosed,
    RunInterrupted,
    RunSuspended,
    decide_approval,
    run_stream,
    steer,
)
from ..events.steering import RunSteered
from .absent import absent
from .elsewhere import ApproveThere, Message, SteerThere, WaitsThere, end_there
from .feed import Feed
from .host import Host
from .manner import Manner
from .output import Output, is_of
from .result import RunResult
from .run import RunActivation
from .run_history import RunHistory, RunRequest, history_of
from .runtime import CoroutineActor, Ref, Reply
from .session_messages import EndOpenRun, ResumeSession
from .spec import AgentSpec
from .stored_run import SessionSide, StoredRun

_LOOK_S = 0.2
_log = get_logger("treadle.actors")


class StartRun(Struct, frozen=True):
    """Begin a run and answer with its `RunResult` when it has ended, or waits for an approval and nothing else."""

    spec: AgentSpec
    request: RunRequest
    session: SessionSide | None = None
    feed: Feed | None = None


class ContinueRun(Struct, frozen=True):
    """Go on with a run that the journal has; answers like `StartRun`. One that has ended answers at once.

    Attributes:
        output: As what its answer is wanted; a run that was asked for something else is refused.
    """

    spec: AgentSpec | None = None
    request: RunRequest | None = None
    session: SessionSide | None = None
    reason: str = "resumed"
    feed: Feed | None = None
    output: Output | None = None


class EndRun(Struct, frozen=True):
    """Close the run so, whether somebody drives it or not; answers with its `RunResult`.

    Attributes:
        anywhere: Another node, if it works on the run, is asked to close it; else the answer is `Owned`.
    """

    closing: RunCancelled | RunInterrupted
    session: SessionSide | None = None
    anywhere: bool = True


class EndUnbegun(Struct, frozen=True):
    """Close a run that has not begun; its history is its beginning and its end. Answers with its `RunResult`."""

    spec: AgentSpec
    request: RunRequest
    closing: RunCancelled | RunInterrupted


class AwaitEnd(Struct, frozen=True):
    """Answer with the `RunResult` when the run has ended, however long it waits for approvals.

    Attributes:
        spec: Who goes on with it if nobody is at it; else the agent that is hosted by that name.
    """

    spec: AgentSpec | None = None


class ApproveCall(Struct, frozen=True):
    """Answer a call that waits for approval; answers None when that is on disk."""

    call_id: str
    allowed: bool
    by: str = ""
    note: str = ""


class SteerRun(Struct, frozen=True):
    """Tell the run something; answers None when that is on disk. A run that was left is told, and stays left.

    Attributes:
        steering_id: Telling it twice under one id tells it once.
        now: Model calls that are going on are cut short.
        to: Whom it is for instead: the agents of this role that the run asks, or the one whose run has this id.
    """

    text: str
    steering_id: str
    by: str = ""
    now: bool = False
    to: str = ""


class NoteWaiting(Struct, frozen=True):
    """A run that this one asked for waits, or goes on. Answers None when that is noted; one that is at rest forgets it.

    Attributes:
        parked: It can do nothing but wait.
        anywhere: Another node, if it works on this run, is told.
    """

    waits: ChildWaits
    parked: bool
    anywhere: bool = True


class Abandon(Struct, frozen=True):
    """Whoever waited has gone: suspend the run. Answers None when that is on disk."""


class MoveRun(Struct, frozen=True):
    """Leave the run open for another node: between two steps, or at once. Answers None when that is on disk.

    A run that only waits for approvals is left at once. One that ends before is not left at all.

    Attributes:
        leaving: Because this node ends. Then the run of a delegated task stays: it is a part of its parent's step.
    """

    now: bool = False
    leaving: bool = False


RunMessage = (
    StartRun | ContinueRun | EndRun | EndUnbegun | AwaitEnd | ApproveCall | SteerRun | NoteWaiting | Abandon | MoveRun
)


class RunActor(CoroutineActor):
    """One run. Its address is its stream.

    starting     nothing to do: a run is loaded when a message asks for it
    running      `StartRun` and `ContinueRun` drive the strategy beside the messages; `ApproveCall`, `SteerRun`,
                 `EndRun`, `Abandon` and `MoveRun` act on it meanwhile
    passivating  only when no strategy runs
    stopped      the strategy was cancelled: the run is open in the journal, as suspended
    """

    def __init__(self, host: Host, run_id: str) -> None:
        super().__init__()
        self._host = host
        self._run_id = run_id
        self._activation: RunActivation | None = None
        self._driving: Reply[RunResult] | None = None
        self._continuing = asyncio.Lock()
        self._drives = asyncio.Event()  # an activation works here, or has

    def on_receive(self, message: RunMessage) -> Any:
        match message:
            case StartRun():
                return self._start(message)
            case ContinueRun():
                return self.later(self._continue(message))
            case EndRun():
                return self.later(self._end(message))
            case EndUnbegun():
                return self.later(self._end_unbegun(message))
            case AwaitEnd(spec):
                return self.later(self._await_end(spec))
            case ApproveCall():
                return self.later(self._approve(message))
            case SteerRun():
                return self.later(self._steer(message))
            case NoteWaiting():
                return self.later(self._note_waiting(message))
            case Abandon():
                return self.later(self._abandon())
            case MoveRun():
                return self.later(self._move(message))

    def _start(self, message: StartRun) -> Reply[RunResult]:
        run = RunActivation(message.spec, self._host.services, message.request)
        if message.feed is not None:
            run.attach(message.feed)
        return self._drive(run, message.session)

    def _drive(self, run: RunActivation, session: SessionSide | None) -> Reply[RunResult]:
        self._activation = run
        self._driving = self.later(run.drive(session))
        self._drives.set()
        # A run without tools that ask cannot park: its end is the only answer there is.
        return self.later(_end_or_parking(run, self._driving)) if run.may_park else self._driving

    @property
    def _going(self) -> tuple[RunActivation, Reply[RunResult]] | None:
        """The activation that works here, or has brought the run to its end. One that gave up left the run open."""
        run, driving = self._activation, self._driving
        if run is None or driving is None or (driving.done() and (driving.error() or run.state.closed is None)):
            return None
        return run, driving

    async def _abandon(self) -> None:
        if self._going is not None:
            run, driving = self._going
            run.abandon()
            await asyncio.wait((asyncio.ensure_future(driving),))

    async def _move(self, message: MoveRun) -> None:
        if self._going is None:
            return
        run, driving = self._going
        if message.leaving and run.request.parent_run_id:
            return
        run.move(now=message.now)
        await _settled(run, driving)
        if not driving.done():
            run.move(now=True)  # it waits for somebody's approval, here or elsewhere
            await asyncio.wait((asyncio.ensure_future(driving),))

    async def _continue(self, message: ContinueRun) -> RunResult:
        if self._going is None and message.session is None:
            history = await history_of(self._host.services.journal, self._run_id)
            if history.state.closed is not None:
                return history.result
            if history.in_session:
                # Its session writes a part of its end, and knows the conversation before it.
                return await self._host.result(
                    self._session_of(history),
                    ResumeSession(message.spec, feed=message.feed, output=message.output),
                )
        async with self._continuing:
            answer = await self._take_up(message)
        return await answer if isinstance(answer, Reply) else answer

    async def _take_up(self, message: ContinueRun) -> Reply[RunResult] | RunResult:
        if self._going is not None:
            run, driving = self._going
            if run.state.started is not None:
                _check_output(run.run_id, run.started.output, message.output)
            if message.feed is not None:
                run.attach(message.feed)
            run.tell_parent(again=True)
            return self.later(_end_or_parking(run, driving))
        history = await history_of(self._host.services.journal, self._run_id)
        if history.state.closed is not None:
            return history.result
        spec = message.spec or self._host.agent(history.agent)
        if history.state.started is not None:
            spec = self._host.going_on(spec, history.state.started)
        request = message.request or history.request
        if message.output is not None:
            request = structs.replace(request, manner=Manner(output=message.output))
        run = RunActivation(spec, self._host.services, request)
        if history.state.started is not None:
            asked = history.state.started.output
            _check_output(run.run_id, asked, message.output)
            if asked is not None:
                run.output(asked)  # refuses what it could not validate, before it takes the run over
        if not await run.continue_(message.reason):
            return run.result()
        if message.feed is not None:
            run.attach(message.feed)
        return self._drive(run, message.session)

    async def _end_unbegun(self, message: EndUnbegun) -> RunResult:
        run = RunActivation(message.spec, self._host.services, message.request)
        run.begin()
        return await run.end(message.closing)

    async def _end(self, message: EndRun) -> RunResult:
        async with self._continuing:
            going = self._going
        if going is not None:
            run, driving = going
            run.stop(message.closing)
            return await driving
        history = await history_of(self._host.services.journal, self._run_id)
        if history.state.closed is not None:
            return history.result
        if message.session is None and history.in_session:
            return await self._host.result(self._session_of(history), EndOpenRun(self._run_id, message.closing))
        # Who asks for the end of a tree does not host all of its agents.
        spec = self._host.agent(history.agent) if history.agent in self._host else absent(history.agent)
        run = RunActivation(spec, self._host.services, history.request)
        try:
            if not await run.continue_(message.closing.reason):
                return run.result()
        except Owned as exc:
            if not message.anywhere:
                raise
            await self._ask_elsewhere(exc, end_there(self._run_id, message.closing))
            return (await history_of(self._host.services.journal, self._run_id)).result
        return await run.end(message.closing, message.session)

    async def _await_end(self, spec: AgentSpec | None) -> RunResult:
        journal, stream = self._host.services.journal, run_stream(self._run_id)
        while self._going is None:
            head = await journal.head(stream)
            try:
                result = await self._continue(ContinueRun(spec))
            except Owned as exc:
                if self._host.services.elsewhere is None:
                    raise
                _log.debug("the end of %s is awaited: %s", stream, exc)
                # Nobody tells us of one stream of another process.
                while await journal.head(stream) == head and await journal.is_alive(exc.owner):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
            else:
                if self._going is None:
                    return result
        return await self._going[1]

    async def _note_waiting(self, message: NoteWaiting) -> None:
        if self._going is not None:
            self._going[0].child_waits(message.waits, message.parked)
            return
        elsewhere, journal = self._host.services.elsewhere, self._host.services.journal
        if elsewhere is None or not message.anywhere:
            return
        try:
            state = (await history_of(journal, self._run_id)).state
        except NotFound:
            return  # it is in a journal of its own, and is told of the end
        if state.closed is None and state.owner != journal.owner and await journal.is_alive(state.owner):
            waits = message.waits
            there = WaitsThere(self._run_id, waits.call_id, waits.waiting, waits.at, message.parked)
            await elsewhere.ask(state.owner, there)

    async def _below(self, call_id: str) -> str:
        """The run below this one that made a call; empty when it is the run's own, or nobody's."""
        if self._going is not None:
            state = self._going[0].state
        else:
            state = (await history_of(self._host.services.journal, self._run_id)).state
        asked = [child.requested.run_id for child in state.children.values() if child.ended is None]
        return next((run_id for run_id in asked if call_id.startswith(f"{run_id}_")), "")

    async def _approve(self, message: ApproveCall) -> None:
        if below := await self._below(message.call_id):
            await self._host.run(below).ask(message)
            await self._go_on_if_hosted()
            return
        if self._going is None:
            try:
                history = await self._at_rest()
                if history.agent in self._host:
                    await self._go_on(ContinueRun(reason="an approval was answered"))
                elif await self._record_at_rest(partial(_decided, self._run_id, message)):
                    return  # whoever asks this run goes on with it
            except Owned as exc:
                await self._ask_elsewhere(
                    exc, ApproveThere(self._run_id, message.call_id, message.allowed, message.by, message.note)
                )
                return
        if self._going is None:
            history = await history_of(self._host.services.journal, self._run_id)
            raise RunClosed(self._run_id, history.state.state)
        await self._going[0].approve(message.call_id, message.allowed, message.by, message.note)

    async def _go_on_if_hosted(self) -> None:
        """A run of which nothing was going on but what it waited for goes on now."""
        if self._going is None:
            try:
                history = await self._at_rest()
            except Owned:
                return  # it goes on there
            if history.state.closed is None and history.agent in self._host:
                await self._go_on(ContinueRun(reason="an approval was answered"))

    async def _steer(self, message: SteerRun) -> None:
        if message.to:
            state = self._going[0].state if self._going is not None else None
            await self._steer_child(
                state or (await history_of(self._host.services.journal, self._run_id)).state, message
            )
            return
        steered = RunSteered(steering_id=message.steering_id, text=message.text, by=message.by, now=message.now)
        if self._going is None:
            try:
                history = await self._at_rest()
                if history.state.suspended or history.agent not in self._host:
                    if await self._record_at_rest(lambda state: steer(self._run_id, steered, state)):
                        return
                else:
                    await self._go_on(ContinueRun(reason="it was steered"))
            except Owned as exc:
                there = SteerThere(self._run_id, message.text, message.steering_id, message.by, message.now)
                await self._ask_elsewhere(exc, there)
                return
        if self._going is None:
            raise RunClosed(self._run_id, (await history_of(self._host.services.journal, self._run_id)).state.state)
        await self._going[0].steer(steered)

    async def _steer_child(self, state: Run, message: SteerRun) -> None:
        if state.closed is not None:
            raise RunClosed(self._run_id, state.state)
        going = [child.requested for child in state.children.values() if child.ended is None]
        meant = [asked.run_id for asked in going if message.to in (asked.role, asked.run_id)]
        if not meant:
            known = ", ".join(f"{asked.role} ({asked.run_id})" for asked in going) or "nobody"
            raise NotFound("worker", message.to, f"run {self._run_id!r} waits for {known} now")
        for run_id in meant:
            await self._host.run(run_id).ask(SteerRun(message.text, message.steering_id, message.by, message.now))

    async def _at_rest(self) -> RunHistory:
        """A run that nobody works on. Raises `Owned`: somebody does, and has to be asked."""
        journal, stream = self._host.services.journal, run_stream(self._run_id)
        history = await history_of(journal, self._run_id)
        state = history.state
        at_work = state.closed is None and not state.suspended and state.owner != journal.owner
        if at_work and await journal.is_alive(state.owner):
            [last] = await journal.read(stream, (await journal.head(stream)).version - 1, 1)
            raise Owned(stream, state.owner, last.epoch)
        return history

    async def _record_at_rest(self, decide: Callable[[Run], Sequence[Event]]) -> bool:
        """Record in a run that nobody works on, and leave it so; False when somebody does by now, or it has ended."""
        async with self._continuing:
            if self._going is not None:
                return False
            history = await history_of(self._host.services.journal, self._run_id)
            if history.state.closed is not None:
                return False
            if decide(history.state):
                run = StoredRun(self._host.services, history.request)
                if not await run.continue_("it is told something while nobody works on it"):
                    return False
                left = RunSuspended(reason=history.state.suspended or "nobody has gone on with it")
                run.record([*decide(run.state), left])
                await run.barrier()
            return True

    async def _go_on(self, message: ContinueRun) -> None:
        """Have the run go on here; done when it does, or has ended.

        Its session may go on with it just now for somebody else: then it tells us no sooner than the run has ended.
        """
        self._drives.clear()
        continuing = asyncio.ensure_future(self._continue(message))
        continuing.add_done_callback(lambda done: done.cancelled() or done.exception())
        driven = asyncio.ensure_future(self._drives.wait())
        try:
            await asyncio.wait((continuing, driven), return_when=asyncio.FIRST_COMPLETED)
        finally:
            driven.cancel()
        if continuing.done():
            continuing.result()

    async def _ask_elsewhere(self, found: Owned, message: Message) -> None:
        """Have the node that works on the run do it; where no other can be asked, say who has it."""
        elsewhere = self._host.services.elsewhere
        if elsewhere is None:
            raise found
        await elsewhere.ask(found.owner, message)

    def _session_of(self, history: RunHistory) -> Ref:
        request = history.request
        return self._host.session(request.user_id, history.agent, request.session_id)


def _decided(run_id: str, message: ApproveCall, state: Run) -> Sequence[Event]:
    return decide_approval(run_id, message.call_id, message.allowed, message.by, message.note, state)


def _check_output(run_id: str, asked: OutputFormat | None, wanted: Output | None) -> None:
    """Refuse to go on with a run whose answer would not be what is wanted.

    Raises:
        ConfigError: Says what it was asked for.
    """
    if wanted is None or (asked is not None and is_of(wanted, asked)):
        return
    was = f"for {asked.name!r}, by another schema than this" if asked is not None else "for any text"
    raise ConfigError(
        f"run {run_id!r} was asked {was}, and output_schema={wanted.name} does not change that; "
        "resume it without output_schema=, or ask anew in other words"
    )


async def _end_or_parking(run: RunActivation, driving: Reply[RunResult]) -> RunResult:
    """The end of the run, or the moment when it can only wait for somebody's approval."""
    await _settled(run, driving)
    return await driving if driving.done() else run.result()


async def _settled(run: RunActivation, driving: Reply[RunResult]) -> None:
    """Until the run has ended, or can only wait for somebody's approval."""
    end, parking = asyncio.ensure_future(driving), asyncio.create_task(run.parking.parked.wait())
    try:
        await asyncio.wait((end, parking), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in (end, parking):
            waiting.cancel()
