"""The session actor: takes prompts and signals, runs one at a time, hands each the conversation before it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any

from msgspec import Struct, structs

from ..events.envelope import Meta, StreamName
from ..events.errors import Owned, Refused, TreadleError, Unavailable, VersionConflict
from ..events.journal import Append, Pending
from ..events.logs import get_logger
from ..events.message import Image, Message
from ..events.redaction import redact, redacted
from ..events.run import Closing, RunCancelled, RunCompleted, RunInterrupted, RunState, run_stream
from ..events.session import (
    SNAPSHOT,
    RunEnded,
    RunOpened,
    Session,
    end_run,
    evolve,
    open_run,
    park_signal,
    receive_signal,
    session_key,
)
from ..events.signal import RuntimeSignal
from .elsewhere import prompt_there
from .entity import Entity, Fold
from .host import Host
from .result import RunResult
from .run_actor import Abandon, AwaitEnd, ContinueRun, EndRun, EndUnbegun, MoveRun, StartRun
from .run_history import RunRequest, history_of, images_of_run, turns_before
from .runtime import CoroutineActor, Reply
from .session_messages import (
    AbandonPrompt,
    DescribeSession,
    EndOpenRun,
    MoveSession,
    NameOpenRun,
    ParkSignal,
    Prompt,
    ResumeSession,
    SignalSession,
)
from .spec import AgentSpec

WAITING_LIMIT = 1000
"""How many signals a session takes ahead of their runs."""

FOLD: Fold[Session] = Fold(Session, evolve, SNAPSHOT)

_log = get_logger("treadle.actors")

SessionMessage = (
    Prompt
    | ResumeSession
    | AbandonPrompt
    | SignalSession
    | MoveSession
    | ParkSignal
    | EndOpenRun
    | DescribeSession
    | NameOpenRun
)


class NothingToResume(Refused):
    """The session has no open run."""

    def __init__(self, session_id: str, last_run_id: str) -> None:
        last = f"its last run, {last_run_id!r}, has ended" if last_run_id else "it has no run at all"
        super().__init__(f"session {session_id!r} has nothing to resume: {last}; send a prompt")
        self.session_id = session_id
        self.last_run_id = last_run_id


class _Overtaken(Exception):
    """The session's stream moved on before the run began."""


class _Item(Struct):
    """A prompt, or the wish to resume, and who waits for the result."""

    message: Prompt | ResumeSession
    reply: Reply[RunResult]


class SessionActor(CoroutineActor):
    """One conversation. Its address is its stream.

    starting     reads its stream; messages wait in the mailbox
    running      prompts and signals queue up and run one at a time, beside the messages; signals first
    passivating  only when nothing runs and nothing waits
    stopped      an open run is suspended; prompts that had not begun are answered with an error, signals are kept
    """

    def __init__(self, host: Host, stream: str) -> None:
        super().__init__()
        self._host = host
        self.user_id, self.agent, self.session_id = session_key(stream)
        services = host.services
        meta = Meta(user_id=self.user_id, session_id=self.session_id, correlation_id=self.session_id, epoch=1)
        self._entity = Entity(services.journal, services.clock, StreamName(stream), FOLD, meta)
        self._prompts: list[_Item] = []  # an empty deque would be a tenth of an idle session
        self._signal_waiters: dict[str, list[Reply[RunResult | None]]] = {}
        self._conversing = False
        self._moving = False
        self._live_run = ""
        self._prompt: _Item | None = None
        self._left_run = ""
        self._cancelled: dict[str, RunCancelled | RunInterrupted] = {}

    @property
    def _state(self) -> Session:
        return self._entity.state

    async def on_start(self) -> None:
        await self._entity.load()
        if self._entity.head.version == 0:
            await self._adopt()
        if self._state.waiting and self.agent in self._host:
            self._converse()

    async def _adopt(self) -> None:
        """A run without a session has its own id for a session id: whoever goes on under that id goes on from it."""
        journal = self._host.services.journal
        if (await journal.head(run_stream(self.session_id))).version == 0:
            return
        history = await history_of(journal, self.session_id)
        state, request = history.state, history.request
        if history.in_session or (request.user_id, history.agent) != (self.user_id, self.agent):
            return
        if state.closed is None and not state.suspended and await journal.is_alive(state.owner):
            return  # somebody works on it, and will not tell a session of its end
        before = await turns_before(journal, history)
        opened = RunOpened(run_id=request.run_id, prompt=request.prompt, images=_digests(request.images), before=before)
        events: list[RunOpened | RunEnded] = [opened]
        if state.closed is not None:
            result = history.result
            ended = RunEnded(run_id=request.run_id, state=result.state, output=result.output, told=state.told)
            events.append(ended)
        await self._entity.commit(lambda session: [] if session.last_run_id else events)

    def can_passivate(self) -> bool:
        return not self._conversing and super().can_passivate()

    def on_receive(self, message: SessionMessage) -> Any:
        match message:
            case Prompt():
                return self._queue(structs.replace(message, prompt=redact(message.prompt)))
            case ResumeSession():
                if self._live_run and self._live_run != self._left_run:
                    return self._host.run(self._live_run).ask(ContinueRun(feed=message.feed, output=message.output))
                return self._queue(message)
            case AbandonPrompt(run_id):
                return self._abandon(run_id)
            case SignalSession():
                message = structs.replace(message, signal=redacted(message.signal))
                return self._begin_signal(message) or self.later(self._signal(message))
            case MoveSession():
                return self.later(self._move(message))
            case ParkSignal(signal_id, reason, size_bytes):
                return self.later(self._park(signal_id, reason, size_bytes))
            case EndOpenRun():
                return self.later(self._end_open(message))
            case DescribeSession():
                return self.later(self._describe())
            case NameOpenRun():
                return self.later(self._open_run())

    # --- what is waiting ---

    def _queue(self, message: Prompt | ResumeSession) -> Reply[RunResult]:
        reply: Reply[RunResult] = Reply(self.address)
        self._prompts.append(_Item(message, reply))
        self._converse()
        return reply

    def _abandon(self, run_id: str) -> Reply[None] | None:
        self._prompts = [item for item in self._prompts if item.message.run_id != run_id]
        if self._prompt is not None and self._prompt.message.run_id == run_id and self._live_run:
            self._left_run = self._live_run
            return self._host.run(self._live_run).ask(Abandon())
        return None

    def _begin_signal(self, message: SignalSession) -> Reply[RunResult | None] | None:
        """Run a new signal at once, when nothing is in its way: its own event waits for the disk with its run's."""
        if message.answer_when != "ended" or self._conversing or self._state.open is not None or not self._entity.fresh:
            return None
        taken = receive_signal(message.signal, self._state)
        if not taken:
            return None
        self._entity.record(taken)
        return self._await_signal(message.signal.id)

    def _await_signal(self, signal_id: str) -> Reply[RunResult | None]:
        reply: Reply[RunResult | None] = Reply(self.address)
        self._signal_waiters.setdefault(signal_id, []).append(reply)
        self._converse()
        return reply

    async def _signal(self, message: SignalSession) -> RunResult | None:
        signal = message.signal
        if message.answer_when == "taken" and len(self._state.waiting) >= WAITING_LIMIT:
            raise Unavailable("this session", f"{len(self._state.waiting)} signals wait for their run", 5.0)
        await self._entity.commit(lambda state: receive_signal(signal, state))
        if message.answer_when == "taken":
            self._converse()
            return None
        if all(waiting.id != signal.id for waiting in self._state.waiting):
            # It was here before, or had its run while we waited for the disk.
            return await self._result_of(self._state.seen.get(signal.id, ""))
        return await self._await_signal(signal.id)

    async def _result_of(self, run_id: str) -> RunResult | None:
        """The end of a run that was begun before; None when there was none: the signal was parked, or a duplicate."""
        if not run_id:
            return None
        await self._entity.refresh()  # its end may be known here, and not be on disk yet
        if self._state.open is None or self._state.open.run_id != run_id:
            return (await history_of(self._host.services.journal, run_id)).result
        if not self._live_run:
            with contextlib.suppress(NothingToResume):  # whoever was before us has brought it to its end
                await self._queue(ResumeSession())
        return await self._host.result(self._host.run(run_id), AwaitEnd())

    async def _move(self, message: MoveSession) -> None:
        if self._conversing and (message.leaving or self._prompt is None):
            self._moving = True
            if self._live_run:
                await self._host.run(self._live_run).ask(MoveRun(message.now, message.leaving))

    async def _describe(self) -> list[Message]:
        await self._entity.refresh()
        if self._state.waiting and self.agent in self._host:
            self._converse()
        return await self._history()

    async def _open_run(self) -> str:
        if self._live_run:
            return self._live_run
        await self._entity.refresh()
        return self._state.open.run_id if self._state.open is not None else ""

    async def _history(self) -> list[Message]:
        """The conversation so far. Pictures are read where they stand, each in its run."""
        journal = self._host.services.journal
        turns = [turn for turn in self._state.turns if turn.images]
        return self._state.history_with({turn.run_id: await images_of_run(journal, turn.run_id) for turn in turns})

    async def _park(self, signal_id: str, reason: str, size_bytes: int) -> bool:
        return bool(await self._entity.commit(lambda state: park_signal(signal_id, reason, size_bytes, state)))

    async def _end_open(self, message: EndOpenRun) -> RunResult:
        if message.run_id == self._live_run:
            return await self._host.result(self._host.run(message.run_id), EndRun(message.closing))
        for item in self._prompts:
            if item.message.run_id == message.run_id and isinstance(item.message, Prompt):
                self._prompts.remove(item)
                request = await self._request(item.message, message.run_id)
                result = await self._end_unbegun(item.message, request, message.closing)
                item.reply.set(result)
                return result
        if self._prompt is not None and self._prompt.message.run_id == message.run_id:
            self._cancelled[message.run_id] = message.closing
            return await self._prompt.reply
        await self._entity.refresh()
        opened = self._state.open
        if opened is None or opened.run_id != message.run_id:
            return (await history_of(self._host.services.journal, message.run_id)).result
        side = self._side(opened.run_id)
        return await self._host.result(self._host.run(message.run_id), EndRun(message.closing, side))

    async def _end_unbegun(
        self, prompt: Prompt, request: RunRequest, closing: RunCancelled | RunInterrupted
    ) -> RunResult:
        """A run that ends before its turn has a history of its own, and no part in the conversation."""
        message = EndUnbegun(prompt.spec, request, closing)
        return await self._host.result(self._host.run(request.run_id), message)

    # --- one after the other ---

    def _converse(self) -> None:
        if not self._conversing:
            self._conversing = True
            self.spawn(self._conversation(), name=f"conversation of {self.address}")

    async def _conversation(self) -> None:
        failure: Exception = Unavailable("this session", "it was stopped before this had its turn; send it again")
        try:
            while True:
                if self._state.waiting and not self._moving:
                    if (refused := await self._run_signal(self._state.waiting[0])) is not None:
                        failure = refused
                        await self._catch_up()
                        break  # it stays first in the row, and what is behind it would meet the same
                elif self._prompts and not self._moving:
                    item = self._prompts.pop(0)
                    self._prompt = item
                    await _answer([item.reply], self._prompt_result(item.message))
                    await self._until_ended()
                else:
                    failure = _moved()
                    break
                await self._catch_up()
        finally:
            self._conversing = self._moving = False
            self._prompt = None
            for item in self._prompts:
                item.reply.set_exception(failure)
            self._prompts.clear()
            self._dismiss(failure)

    def _dismiss(self, failure: Exception) -> None:
        """Nobody here runs what is still waited for: who waits asks again, and is told what became of it."""
        waiting, self._signal_waiters = self._signal_waiters, {}
        for replies in waiting.values():
            for reply in replies:
                reply.set_exception(failure)

    async def _catch_up(self) -> None:
        """Let go of what is on disk; nothing is read anew unless something is not there."""
        try:
            await self._entity.flush()
        except TreadleError as exc:
            _log.debug("%s is read again after %s", self.address, exc)
            try:
                await self._entity.load()
            except TreadleError as again:
                _log.warning("%s cannot be read now, and is at its next message: %s", self.address, again)

    async def _run_signal(self, signal: RuntimeSignal) -> Exception | None:
        """Run the oldest signal; why not, when it cannot be run here and now: it stays, and whoever waits is told."""
        waiters = self._signal_waiters.setdefault(signal.id, [])
        try:
            failure = await _answer(waiters, self._signal_result(signal))
        finally:
            del self._signal_waiters[signal.id]
        await self._until_ended()
        return failure

    async def _signal_result(self, signal: RuntimeSignal) -> RunResult | None:
        await self._finish_open()
        spec, run_id = self._host.agent(self.agent), self._host.services.clock.new_id()
        while self._is_waiting(signal):
            prompt = Prompt(spec=spec, prompt=signal.prompt, run_id=run_id, causation_id=signal.id)
            try:
                result = await self._start(prompt, signal.id)
            except _Overtaken:
                await self._finish_open()
                continue
            if self._moving and self._entity.state.open is not None:
                raise _moved()
            return result
        return await self._result_of(self._state.seen.get(signal.id, ""))

    def _is_waiting(self, signal: RuntimeSignal) -> bool:
        """Whether it still has no run. What we noted of it may have been lost to another writer: it is noted again."""
        if all(waiting.id != signal.id for waiting in self._state.waiting):
            self._entity.record(receive_signal(signal, self._state))
        return any(waiting.id == signal.id for waiting in self._state.waiting)

    async def _finish_open(self, spec: AgentSpec | None = None) -> None:
        """Bring the open run to its end, whoever began it: a session runs one at a time.

        Args:
            spec: Its agent, if that need not be hosted here.
        Raises:
            Owned: A living process works on it.
        """
        while (opened := self._state.open) is not None:
            await self._continue(ResumeSession(spec))
            await self._until_ended()
            still = self._entity.state.open
            if still is not None and still.run_id == opened.run_id:
                raise Unavailable(f"session {self.session_id!r}", f"its run {opened.run_id!r} stays open")
            # Another one: it was begun elsewhere when this one had ended there.

    async def _prompt_result(self, message: Prompt | ResumeSession) -> RunResult:
        if isinstance(message, Prompt) and not message.run_id:
            message = structs.replace(message, run_id=self._host.services.clock.new_id())
        try:
            result = await self._run_item(message)
            if self._moving and self._entity.state.open is not None:
                raise _moved()
            return result
        except Owned as exc:
            elsewhere = self._host.services.elsewhere
            # Whoever wants to hear every chunk, or to go on with what another node is at, is told who has it.
            if elsewhere is None or not isinstance(message, Prompt) or message.feed is not None:
                raise
            await elsewhere.ask(exc.owner, prompt_there(self.user_id, self.agent, self.session_id, message))
            return (await history_of(self._host.services.journal, message.run_id)).result

    async def _run_item(self, message: Prompt | ResumeSession) -> RunResult:
        if isinstance(message, ResumeSession):
            await self._entity.refresh()
            opened = self._state.open
            if message.only and (opened is None or opened.run_id != message.only):
                return await self._closed(message.only)
            return await self._continue(message)
        if self._state.open is not None:
            # Nobody here works on it: another process may have ended it.
            await self._entity.refresh()
        if await self._is_sibling(message):
            # Whoever asks both asked for that one first, before a crash: this one has its turn after it, as it had.
            await self._finish_open(message.spec)
        opened = self._state.open
        asked = (message.prompt, _digests(message.images))
        if opened is not None and not opened.signal_id and (opened.prompt, opened.images) == asked:
            return await self._continue(ResumeSession(message.spec, feed=message.feed, output=message.manner.output))
        if opened is not None:
            closing = RunInterrupted(reason="superseded by a new prompt")
            # A run that another node works on is waited for, not ended: there this prompt has its turn after it.
            await self._host.run(opened.run_id).ask(EndRun(closing, self._side(opened.run_id), anywhere=False))
            await self._entity.refresh()
        while True:
            try:
                return await self._start(message)
            except _Overtaken:
                await self._finish_open()

    async def _closed(self, run_id: str) -> RunResult:
        history = await history_of(self._host.services.journal, run_id)
        if history.state.closed is None:
            raise NothingToResume(self.session_id, self._state.last_run_id)
        return history.result

    async def _is_sibling(self, message: Prompt) -> bool:
        """Whether the open run is another child of the run that asks for this one."""
        opened = self._state.open
        if opened is None or not message.parent_run_id or opened.run_id == message.run_id:
            return False
        started = (await history_of(self._host.services.journal, opened.run_id)).state.started
        return started is not None and started.parent_run_id == message.parent_run_id

    async def _request(self, prompt: Prompt, run_id: str, signal_id: str = "") -> RunRequest:
        return RunRequest(
            run_id=run_id,
            prompt=prompt.prompt,
            images=prompt.images,
            user_id=self.user_id,
            session_id=self.session_id,
            history=await self._history(),
            context=prompt.context,
            manner=prompt.manner,
            signal_id=signal_id,
            previous_run_id=self._state.last_run_id,
            parent_run_id=prompt.parent_run_id,
            parent_call_id=prompt.parent_call_id,
            depth=prompt.depth,
            budgets=prompt.budgets,
            correlation_id=prompt.correlation_id,
            terms=prompt.terms,
            causation_id=prompt.causation_id,
            traceparent=prompt.traceparent,
        )

    async def _start(self, prompt: Prompt, signal_id: str = "") -> RunResult:
        """Begin a run on the conversation as it is known here.

        Raises:
            _Overtaken: Another process wrote to this session: nothing of the run was stored, and it had no effect yet.
        """
        run_id = prompt.run_id or self._host.services.clock.new_id()
        request = await self._request(prompt, run_id, signal_id)
        if run_id in self._cancelled:
            return await self._end_unbegun(prompt, request, self._cancelled.pop(run_id))
        side = _Side(self._entity, run_id, prompt.prompt, signal_id, _digests(prompt.images))
        try:
            return await self._live(run_id, StartRun(prompt.spec, request, side, prompt.feed))
        except VersionConflict as exc:
            if exc.stream != self._entity.stream:
                raise
            await self._entity.load()
            raise _Overtaken from exc

    async def _continue(self, message: ResumeSession) -> RunResult:
        opened = self._state.open
        if opened is None:
            raise NothingToResume(self.session_id, self._state.last_run_id)
        history = await history_of(self._host.services.journal, opened.run_id)
        request = structs.replace(history.request, history=await self._history())
        side = self._side(opened.run_id)
        spec = message.spec or self._host.agent(self.agent)
        result = await self._live(
            opened.run_id, ContinueRun(spec, request, side, feed=message.feed, output=message.output)
        )
        if self._state.open is not None and result.state not in (RunState.WAITING, RunState.RUNNING):
            # Abandoned once more; or it has ended without the session knowing, which one append for both rules out.
            history = await history_of(self._host.services.journal, opened.run_id)
            if history.state.closed is not None:
                output, told = result.output, history.state.told
                await self._entity.commit(lambda state: end_run(opened.run_id, result.state, output, state, told))
        return result

    async def _live(self, run_id: str, message: StartRun | ContinueRun) -> RunResult:
        self._live_run = run_id
        try:
            result = await self._host.result(self._host.run(run_id), message)
        except BaseException:
            self._live_run = ""
            raise
        if result.state != RunState.WAITING:
            self._live_run = ""
        return result

    async def _until_ended(self) -> None:
        """A run that was answered because it waits for an approval has the floor until it has ended."""
        if not self._live_run:
            return
        try:
            await self._host.run(self._live_run).ask(AwaitEnd())
        except TreadleError as exc:
            _log.warning("run %s of %s stays open: %s", self._live_run, self.address, exc)
        finally:
            self._live_run = ""

    def _side(self, run_id: str) -> "_Side":
        return _Side(self._entity, run_id)


class _Side:
    """The session's part in the appends of one run."""

    def __init__(
        self,
        entity: Entity[Session],
        run_id: str,
        prompt: str = "",
        signal_id: str = "",
        images: tuple[str, ...] = (),
    ) -> None:
        self._entity = entity
        self._run_id = run_id
        self._prompt = prompt
        self._signal_id = signal_id
        self._images = images

    def opening(self) -> Append:
        state = self._entity.state
        opened = open_run(self._run_id, self._prompt, self._signal_id, state, self._images)
        if not opened:
            # It was read anew since the run was decided on, and another process has begun one.
            version = self._entity.version
            raise VersionConflict(self._entity.stream, version, version)
        return self._entity.stage(opened)

    def closing(self, closing: Closing, told: tuple[str, ...]) -> Append | None:
        output = closing.output if isinstance(closing, RunCompleted | RunInterrupted) else ""
        ended = RunState(closing.event_tag.removeprefix("run."))
        events = end_run(self._run_id, ended, output, self._entity.state, told)
        return self._entity.stage(events) if events else None

    def queued(self, pending: Pending, index: int) -> None:
        self._entity.staged(pending, index)

    async def reload(self) -> None:
        await self._entity.load()


def _digests(images: Sequence[Image]) -> tuple[str, ...]:
    return tuple(image.digest for image in images)


def _moved() -> Unavailable:
    return Unavailable("this session here", "another node takes its signals", retry_after_s=0.0)


async def _answer(replies: "list[Any]", work: Awaitable[RunResult | None]) -> Exception | None:
    """Give the result of `work`, or its error, to all who wait for it; returns the error."""
    try:
        result = await work
    except asyncio.CancelledError:
        # It is the session that was cancelled, not whoever waits.
        stopped = Unavailable("this session", "it was stopped during the run, which `resume` continues")
        for reply in replies:
            reply.set_exception(stopped)
        raise
    except Exception as exc:
        for reply in replies:
            reply.set_exception(exc)
        return exc
    for reply in replies:
        reply.set(result)
    return None
