"""The engine of a coroutine actor: one address, its mailbox, and the instance that serves it.

The mailbox belongs to the cell and the instance to a phase of it: a restart, or mail that arrives during a passivation,
puts a new instance behind the same mail. All of it runs in one thread, so a check and the change after it are one step
unless an `await` stands between them.

An idle actor has neither a task nor a timer. Mail starts one callback (`_drain`, while handlers are plain functions) or
one task (`_run`), which lasts until the mailbox is empty; starting, restarting and stopping are work for the same task,
so they never overlap with a handler.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from pykka import messages

from ...events.errors import MailboxFull, TreadleError
from ...events.logs import get_logger
from .actor import CoroutineActor
from .background import Background
from .cell import Cell
from .dead_letters import ActorDead, answer
from .future import Reply
from .kind import Kind
from .mailbox import Envelope, Mailbox, is_stop, stop_envelope
from .phase import Phase
from .stash import Stash
from .supervisor import Directive, Failure, Restarts

if TYPE_CHECKING:
    from .directory import Directory

__all__ = ["CoroutineCell", "HandlerCancelled"]

logger = get_logger(__name__)

# Messages handled before other callbacks of the loop get their turn. Large enough that the turn itself costs nothing.
_BURST = 64


class HandlerCancelled(TreadleError):
    """A handler awaited something that was cancelled; the actor itself was not."""

    def __init__(self, address: str, message: Any) -> None:
        super().__init__(f"{address!r} was handling {message!r} and awaited something that was cancelled")
        self.address = address


class _Failed:
    """A failure that happened beside the messages; it jumps the queue."""

    __slots__ = ("answered", "error")

    def __init__(self, error: Exception, answered: bool) -> None:
        self.error = error
        self.answered = answered


# Messages that `on_receive` never sees.
_OWN: frozenset[type[Any]] = frozenset(
    {stop_envelope().message.__class__, _Failed, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr}
)

# The instance is on its way out: a failure now changes nothing, and must not be blamed on the next instance.
_LEAVING = frozenset({Phase.RESTARTING, Phase.PASSIVATING, Phase.STOPPING, Phase.STOPPED})


class CoroutineCell:
    """A live address served by a `CoroutineActor`. See `Cell` for what the methods promise."""

    __slots__ = (
        "_background",
        "_busy",
        "_children",
        "_current",
        "_owed",
        "_restarts",
        "_stash",
        "_task",
        "_timer",
        "actor",
        "address",
        "directory",
        "kind",
        "mailbox",
        "parent",
        "phase",
    )

    def __init__(
        self, directory: "Directory", kind: Kind, address: str, actor: CoroutineActor, parent: Cell | None
    ) -> None:
        self.directory = directory
        self.kind = kind
        self.address = address
        self.parent = parent
        self.mailbox = Mailbox(address, kind.capacity, self)
        self.phase = Phase.STARTING
        self.actor = actor
        self._busy = False  # a callback or a task is at work, or will be soon: mail need not start one
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._current: Envelope | None = None
        # Made when first used: most actors never need them.
        self._background: Background | None = None
        self._children: set[Cell] | None = None
        self._owed: set[Envelope] | None = None
        self._restarts: Restarts | None = None
        self._stash: Stash | None = None
        self._adopt(actor)

    # Mail.

    @property
    def thread_id(self) -> int:
        return self.directory.thread_id

    @property
    def waiting(self) -> int:
        return len(self.mailbox.queue)

    def put(self, envelope: Envelope) -> None:
        queue = self.mailbox.queue
        if len(queue) >= self.mailbox.capacity and not is_stop(envelope):
            raise MailboxFull(self.address, self.mailbox.capacity)
        queue.append(envelope)
        if not self._busy:
            self.arrived()

    def accept(self, envelope: Envelope) -> None:
        self.mailbox.accept(envelope)

    def cross(self, envelope: Envelope) -> None:
        self.directory.cross(self.address, envelope)

    def arrived(self) -> None:
        if self._busy:
            return
        if self.phase is Phase.RUNNING:
            if self.kind.wakes:
                self.directory.busy(self)
            if self.actor.handles_inline:
                self._busy = True
                self.directory.serve(self._drain)
            else:
                self._launch(None)
        elif self.phase is Phase.RESTARTING and is_stop(self.mailbox.queue[-1]):
            self._stop_restarting(self.mailbox.queue.pop())

    def stop(self) -> Reply[Any]:
        reply: Reply[Any] = Reply(self.address)
        self.accept(stop_envelope(reply))
        return reply

    def fail(self, error: Exception, *, answered: bool = False) -> None:
        if self.phase in _LEAVING:
            self.directory.failed(Failure(self.address, error, Directive.STOP))
        else:
            self.mailbox.put_front([Envelope(_Failed(error, answered))])

    # Running.

    def begin(self) -> None:
        """Start the instance; mail waits until `on_start` is done."""
        if type(self.actor).on_start is CoroutineActor.on_start:
            self.phase = Phase.RUNNING
            if self.mailbox.queue:
                self.arrived()
            elif self.kind.wakes:
                self.directory.idle(self)
        else:
            self._launch(self._start())

    def _adopt(self, actor: CoroutineActor) -> None:
        self.actor = actor
        actor.cell = self
        actor.actor_urn = self.address
        actor.actor_inbox = self.mailbox

    def _launch(self, first: Coroutine[Any, Any, None] | None) -> None:
        self._busy = True
        # The actor has the context variables of the system, not of whoever happened to send the first message.
        self._task = self.directory.loop.create_task(
            self._run(first), name=self.address, context=self.directory.context.copy()
        )

    async def _run(self, first: Coroutine[Any, Any, None] | None) -> None:
        """Do `first`, then handle mail until there is none."""
        queue = self.mailbox.queue
        try:
            if first is not None:
                await first
            handled = 0
            while queue and self.phase is Phase.RUNNING:
                await self._handle(queue.popleft())
                handled += 1
                if handled % _BURST == 0:
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._abandon()
            raise
        except BaseException as error:
            # KeyboardInterrupt and its like end the loop: nobody may wait for this actor.
            self._abandon(error)
            raise
        cancelled = self._is_cancelled()
        self._task = None
        if cancelled:  # and the handler swallowed it
            self._abandon()
        else:
            self._rest()

    def _drain(self) -> None:
        """Handle mail with plain functions, in the loop's own callback. The first thing to wait for gets a task."""
        queue = self.mailbox.queue
        actor = self.actor
        for _ in range(_BURST):
            if not queue:
                break
            envelope = queue.popleft()
            if envelope.message.__class__ in _OWN:
                self._launch(self._handle(envelope))
                return
            self._current = envelope
            try:
                result = actor.on_receive(envelope.message)
            except Exception as error:
                self._launch(self._failed(error, envelope))
                return
            except asyncio.CancelledError as cancelled:
                self._launch(self._failed(self._cancelled_within(cancelled, envelope.message), envelope))
                return
            except BaseException as error:
                self._abandon(error)  # it ends the loop
                raise
            if result.__class__ is CoroutineType:
                self._launch(self._handle(envelope, result))
                return
            if envelope.reply_to is not None and self._current is envelope:
                self._answer(envelope, result)
        self._current = None
        if queue:
            self.directory.serve_later(self._drain)
        else:
            self._rest()

    def _rest(self) -> None:
        self._busy = False
        if self.phase is Phase.RUNNING:
            if self.mailbox.queue:
                self.arrived()
            elif self.kind.wakes:
                self.directory.idle(self)
        elif self.phase is Phase.RESTARTING:
            for envelope in self.mailbox.queue:
                if is_stop(envelope):  # it came while the failed instance was cleaning up
                    self.mailbox.queue.remove(envelope)
                    self._stop_restarting(envelope)
                    break

    async def _handle(self, envelope: Envelope, begun: Coroutine[Any, Any, Any] | None = None) -> None:
        """Handle one message, or finish one whose plain handler returned the coroutine `begun`."""
        self._current = envelope
        message = envelope.message
        try:
            result: Any
            if begun is not None:
                result = begun
            elif message.__class__ not in _OWN:
                result = self.actor.on_receive(message)
            elif isinstance(message, _Failed):
                self._current = None
                await self._supervise(message.error, message.answered)
                return
            else:
                result = self.actor.receive(message)
            if result.__class__ is CoroutineType:
                result = await result
        except Exception as error:
            await self._failed(error, envelope)
        except asyncio.CancelledError as cancelled:
            await self._failed(self._cancelled_within(cancelled, message), envelope)
        else:
            if envelope.reply_to is not None and self._current is envelope:
                self._answer(envelope, result)
        self._current = None

    def _is_cancelled(self) -> bool:
        return self._task is not None and self._task.cancelling() > 0

    def _cancelled_within(self, cancelled: asyncio.CancelledError, what: Any) -> HandlerCancelled:
        """The failure that a cancellation stands for; one of the actor itself goes on its way."""
        if self._is_cancelled():
            raise cancelled
        error = HandlerCancelled(self.address, what)
        error.__cause__ = cancelled
        return error

    # Answers.

    def _answer(self, envelope: Envelope, result: Any) -> None:
        reply = envelope.reply_to
        if isinstance(result, Reply):
            self._owe(envelope, cast(Any, result))
        elif isinstance(reply, Reply):
            reply.settle(result, None)
        else:
            answer(envelope, result)

    def _owe(self, envelope: Envelope, source: Reply[Any]) -> None:
        """The answer comes later: remember who waits, so that nobody waits for an actor that has ended."""
        if self._owed is None:
            self._owed = set()
        self._owed.add(envelope)
        owed = self._owed

        def pay() -> None:
            # May run in the thread that answered; `discard` is atomic, and the set's other users copy it first.
            owed.discard(envelope)
            if envelope.reply_to is not None:
                source.pass_on(envelope.reply_to)

        source.when_done(pay)

    def _default_on_owed(self, error: BaseException) -> None:
        owed, self._owed = self._owed, None
        for envelope in tuple(owed or ()):
            answer(envelope, error=error)

    # What an actor uses.

    @property
    def has_background(self) -> bool:
        return bool(self._background)

    @property
    def children(self) -> set[Cell]:
        if self._children is None:
            self._children = set()
        return self._children

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        if self.phase in _LEAVING:
            work.close()
            raise RuntimeError(f"{self!r} cannot spawn {name!r}: nobody would wait for it")
        if self._background is None:
            self._background = Background(self.fail)
        directory = self.directory
        return self._background.spawn(directory.loop, work, f"{self.address}:{name}", directory.context.copy())

    def later(self, work: Coroutine[Any, Any, Any], name: str) -> Reply[Any]:
        reply: Reply[Any] = Reply(self.address)
        asked = self._current is not None and self._current.reply_to is not None

        async def answer_later() -> None:
            try:
                reply.settle(await work, None)
            except Exception as error:
                reply.settle(None, error)
                self.fail(error, answered=asked)
            except BaseException:
                # Cancelled by itself, or the process ends: no answer will come. (Of an actor that is leaving, `_leave`
                # tells everybody why.)
                if self.phase not in _LEAVING:
                    reply.settle(None, HandlerCancelled(self.address, name))
                raise

        self.spawn(answer_later(), name)
        return reply

    def hold_back(self, message: Any) -> None:
        envelope = self._current
        if envelope is None or envelope.message is not message:
            raise ValueError(f"{self.address!r} can stash the message it is handling, once, and not {message!r}")
        if self._stash is None:
            self._stash = Stash(self.kind.stash_capacity)
        self._current = None  # the answer is not this handling's any more
        if not self._stash.add(envelope):
            full = MailboxFull(self.address, self._stash.capacity)
            self.directory.dead_letters.add(self.address, envelope, "stash full", full)

    def take_up(self) -> None:
        if self._stash:
            self.mailbox.put_front(self._stash.take_all())

    # Starting, failing, ending.

    async def _start(self) -> None:
        self.phase = Phase.STARTING
        try:
            await _called(self.actor.on_start())
        except Exception as error:
            await self._supervise(error, answered=False)
        except asyncio.CancelledError as cancelled:
            await self._supervise(self._cancelled_within(cancelled, self.phase), answered=False)
        else:
            self.phase = Phase.RUNNING

    async def _failed(self, error: Exception, envelope: Envelope) -> None:
        """A handler raised: tell the asker, then decide."""
        asked = envelope.reply_to is not None
        if asked and self._current is envelope:
            answer(envelope, error=error)
        self._current = None
        await self._supervise(error, asked)

    async def _supervise(self, error: Exception, answered: bool) -> None:
        strategy = self.kind.supervision
        directive = strategy.decide(error, answered=answered)
        if directive is Directive.RESUME and self.phase is not Phase.RUNNING:
            directive = Directive.STOP  # it has not started, so there is nothing to go on with
        if directive is Directive.RESUME and answered:
            logger.debug("%s answered with %r", self.address, error)
            return
        delay_s = None
        if directive is Directive.RESTART:
            if self._restarts is None:
                self._restarts = Restarts(strategy)
            delay_s = self._restarts.delay_s(self.directory.loop.time())
            if delay_s is None:
                directive = strategy.exhausted
        failure = Failure(self.address, error, directive)
        self.directory.failed(failure)
        if directive is Directive.RESUME:
            return
        self.phase = Phase.RESTARTING if delay_s is not None else Phase.STOPPING
        await self._quiet()
        try:
            await _called(self.actor.on_failure(type(error), error, error.__traceback__))
        except Exception as another:
            self.directory.failed(Failure(self.address, another, directive))
        if delay_s is None:
            await self._end(error)
            if directive is Directive.ESCALATE:
                self.directory.escalate(failure, self.parent)
            return
        self._leave(ActorDead(self.address, "restarted before it answered"))
        self.directory.counts.restarted += 1
        self._timer = self.directory.loop.call_later(delay_s, self._restart)

    def _stop_restarting(self, stop: Envelope) -> None:
        """Stop between two instances: there is nothing to stop, only a restart not to wait for."""
        if self.mailbox.queue and self.kind.wakes and self.directory.is_open:
            answer(stop, True)  # the mail would wake a new instance at once, and the back-off is there to prevent that
        else:
            self._cancel_timer()
            self.mailbox.queue.append(stop)
            self._launch(self._end(None))

    def _restart(self) -> None:
        self._timer = None
        self._launch(self._renew())

    def _wake(self) -> None:
        if self.phase is Phase.STARTING:  # not killed meanwhile
            self._launch(self._renew())

    async def _renew(self) -> None:
        """Put a new instance behind the waiting mail."""
        self.phase = Phase.STARTING
        try:
            actor = self.directory.make(self.kind, self.address, CoroutineActor)
        except Exception as error:
            await self._supervise(error, answered=False)
            return
        self._adopt(actor)
        if type(actor).on_start is CoroutineActor.on_start:
            self.phase = Phase.RUNNING
        else:
            await self._start()

    async def _quiet(self) -> None:
        """Wait for everything that depends on the present instance, its children and its tasks, to end."""
        for child in tuple(self._children or ()):
            child.stop()
        while self._children:
            await self.directory.someone_left()
        if self._background is not None:
            await self._background.cancel()

    def _leave(self, error: BaseException) -> None:
        """Be done with the present instance; whom it owes an answer gets `error`, what it held back is mail again."""
        self._background = None
        self._default_on_owed(error)
        if self._stash:
            self.mailbox.queue.extendleft(reversed(self._stash.take_all()))
        self.actor.ended()

    def stop_now(self) -> Coroutine[Any, Any, bool]:
        return self._stop()

    async def _stop(self) -> bool:
        self.phase = Phase.STOPPING
        await self._end(None)
        return True

    def passivate(self) -> bool:
        if self._busy or self.phase is not Phase.RUNNING or self.mailbox.queue or self._stash or self._owed:
            return False
        try:
            willing = self.actor.can_passivate()
        except Exception as error:
            self.fail(error)
            return False
        if not willing:
            return False
        self.directory.unloading(self)
        self.phase = Phase.PASSIVATING
        if not self._background and not self._children and type(self.actor).on_stop is CoroutineActor.on_stop:
            # Nothing to wait for and nobody to ask, and there may be thousands like it: no task for that.
            self._farewell(None)
            self.directory.counts.passivated += 1
        else:
            self._launch(self._passivate())
        return True

    async def _passivate(self) -> None:
        await self._end(None)
        self.directory.counts.passivated += 1

    async def _end(self, error: Exception | None) -> None:
        """End this activation. Mail that waits wakes the next one, if it may, or goes to the dead letters."""
        if error is None:
            if self.phase is not Phase.PASSIVATING:
                self.phase = Phase.STOPPING
            if not self.actor.has_ended:
                await self._quiet()
                try:
                    await _called(self.actor.on_stop())
                except Exception as failure:
                    self.directory.failed(Failure(self.address, failure, Directive.STOP))
        self._farewell(error)

    def _farewell(self, error: Exception | None) -> None:
        """The last step of `_end`. Nothing is awaited in it: no mail can come between the last look and the end."""
        self._leave(error or ActorDead(self.address, "stopped before it answered"))
        queue = self.mailbox.queue
        while queue and (is_stop(queue[0]) or isinstance(queue[0].message, _Failed)):
            self._bury(queue.popleft(), error)
        if queue and error is None and self.kind.wakes and self.directory.is_open:
            self.phase = Phase.STARTING
            self.directory.busy(self)
            self.directory.loop.call_soon(self._wake)
            return
        self.phase = Phase.STOPPED
        while queue:
            self._bury(queue.popleft(), error)
        self.directory.remove(self)

    def _bury(self, envelope: Envelope, error: BaseException | None) -> None:
        message = envelope.message
        if is_stop(envelope):
            answer(envelope, True)
        elif isinstance(message, _Failed):
            self.directory.failed(Failure(self.address, message.error, Directive.STOP))
        else:
            self.directory.dead_letters.add(self.address, envelope, "failed" if error else "stopped", error)

    def kill(self) -> "list[asyncio.Task[Any]]":
        self._cancel_timer()
        tasks = self._background.kill() if self._background is not None else []
        if self._task is None:
            self._abandon()
        else:
            self.phase = Phase.STOPPING  # a handler that swallows the cancellation gets no more mail
            self._task.cancel()
            tasks.append(self._task)
        return tasks

    def _abandon(self, error: BaseException | None = None) -> None:
        """Leave at once, without hooks: the task was cancelled, because the system or the loop is going down."""
        if self.phase is Phase.STOPPED:
            return
        self.phase = Phase.STOPPED
        dead = ActorDead(self.address, "cancelled" if error is None else f"the loop ended: {error!r}")
        if self._background is not None:
            self._background.kill()
        if self._current is not None:
            answer(self._current, error=dead)
        self._leave(dead)
        while self.mailbox.queue:
            self._bury(self.mailbox.queue.popleft(), dead)
        self.directory.remove(self)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def status(self) -> str:
        return f"{self.address} {self.phase}, {len(self.mailbox.queue)} waiting"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status()}>"


async def _called(result: Awaitable[None] | None) -> None:
    """Await what a hook returned, if it was a coroutine function."""
    if result is not None:
        await result
