"""Asking other nodes about actors that work there: `ElsewherePort` over the bus, and the other side of it.

Whoever asks names its question, and asks again while the answer takes long. So a lost answer costs nothing, and a node
that has gone is noticed: then nobody serves its subject.
"""

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack

import msgspec
from msgspec import Struct

from ..actors.context import RunContext
from ..actors.elsewhere import ApproveThere, EndThere, Message, PromptThere, SignalThere, SteerThere, WaitsThere
from ..actors.host import Host
from ..actors.manner import Manner
from ..actors.output import output_of
from ..actors.run_actor import ApproveCall, AwaitEnd, EndRun, NoteWaiting, SteerRun
from ..actors.run_history import history_of
from ..actors.session_messages import EndOpenRun, Prompt, SignalSession
from ..events.bus import Bus, BusMessage, answer
from ..events.child_step import ChildWaits
from ..events.errors import NotFound, Owned, Unavailable
from ..events.logs import get_logger
from ..events.run import RunCancelled, RunInterrupted
from ..events.subjects import Subjects

PATIENCE_S = 10.0
"""How long one question waits for its answer before it is asked again."""

LOOK_EVERY_S = 1.0
"""How often it is looked meanwhile whether whoever was asked is alive."""

_KEPT = 1024  # questions whose answer may have been lost on its way
_log = get_logger("treadle")


class _Question(Struct, frozen=True):
    id: str
    message: Message


class Elsewhere:
    """Asks other nodes, and answers them. Implements `ElsewherePort`."""

    def __init__(self, bus: Bus, subjects: Subjects, host: Host) -> None:
        self._bus = bus
        self._subjects = subjects
        self._host = host
        self._asked: OrderedDict[str, asyncio.Task[None]] = OrderedDict()
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Answer from now on."""
        subject = self._subjects.at(self._host.services.journal.owner)
        await self._stack.enter_async_context(self._bus.serve(subject, self._answer))

    async def close(self) -> None:
        """Answer no more. What was asked and goes on is left to whoever takes it up."""
        await self._stack.aclose()
        tasks = [task for task in self._asked.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def ask(self, owner: str, message: Message) -> None:
        question = msgspec.json.encode(_Question(self._host.services.clock.new_id(), message))
        while not msgspec.json.decode(answer(await self._request(owner, question)), type=bool):
            _log.debug("%s is still at what was asked", owner)

    async def _request(self, owner: str, question: bytes) -> BusMessage:
        """The reply of `owner`.

        Raises:
            Unavailable: There is none, or it has died with our question.
        """
        asking = asyncio.ensure_future(self._bus.request(self._subjects.at(owner), question, 2 * PATIENCE_S))
        try:
            while not (await asyncio.wait((asking,), timeout=LOOK_EVERY_S))[0]:
                if not await self._host.services.journal.is_alive(owner):
                    raise Unavailable(owner, "it has died")
            return asking.result()
        finally:
            asking.cancel()

    async def _answer(self, asked: BusMessage) -> bytes:
        """Whether it is done by now."""
        question = msgspec.json.decode(asked.data, type=_Question)
        task = self._asked.get(question.id)
        if task is None:
            task = self._asked[question.id] = asyncio.create_task(_do(self._host, question.message))
            self._forget()
        await asyncio.wait((task,), timeout=PATIENCE_S)
        if not task.done():
            return b"false"
        try:
            await task
        except Owned as exc:
            raise Unavailable("what works here", f"{exc.owner} works on it now") from exc
        return b"true"

    def _forget(self) -> None:
        for question, task in list(self._asked.items()):
            if len(self._asked) <= _KEPT:
                return
            if task.done():
                del self._asked[question]


async def _do(host: Host, message: Message) -> None:
    """Do here what another node asks."""
    match message:
        case ApproveThere(run_id, call_id, allowed, by, note):
            await host.run(run_id).ask(ApproveCall(call_id, allowed, by, note))
        case SteerThere(run_id, text, steering_id, by, now, to):
            await host.run(run_id).ask(SteerRun(text, steering_id, by, now, to))
        case WaitsThere(run_id, call_id, waiting, at, parked):
            waits = ChildWaits(call_id=call_id, waiting=waiting, at=at)
            await host.run(run_id).ask(NoteWaiting(waits, parked, anywhere=False))
        case EndThere():
            await _end(host, message.run_id, message.closing)
        case PromptThere():
            await _prompt(host, message)
        case SignalThere(user_id, agent, session_id, signal):
            host.agent(agent)  # refuses one that is not here
            asked = SignalSession(signal, answer_when="taken", causation_id=signal.id)
            await host.session(user_id, agent, session_id).ask(asked)


async def _end(host: Host, run_id: str, closing: RunCancelled | RunInterrupted) -> None:
    history = await history_of(host.services.journal, run_id)
    if history.in_session:
        request = history.request
        session = host.session(request.user_id, history.agent, request.session_id)
        await session.ask(EndOpenRun(run_id, closing))
    else:
        await host.run(run_id).ask(EndRun(closing))


async def _prompt(host: Host, message: PromptThere) -> None:
    try:
        history = await history_of(host.services.journal, message.run_id)
    except NotFound:
        context = RunContext(
            user_id=message.user_id,
            session_id=message.session_id,
            metadata=message.metadata,
            inputs=message.inputs,
            knowledge=message.knowledge,
            extensions=message.extensions,
        )
        spec, asked = host.agent(message.agent), message.output
        output = output_of(asked, (spec.manner.output,), host.services.output_of) if asked is not None else None
        prompt = Prompt(
            spec=spec,
            prompt=message.prompt,
            images=message.images,
            run_id=message.run_id,
            context=context,
            manner=Manner(output, message.retries, message.tone),
            parent_run_id=message.parent_run_id,
            parent_call_id=message.parent_call_id,
            depth=message.depth,
            budgets=message.budgets,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            traceparent=message.traceparent,
        )
        await host.session(message.user_id, message.agent, message.session_id).ask(prompt)
    else:
        if history.state.closed is None:
            await host.run(message.run_id).ask(AwaitEnd())
