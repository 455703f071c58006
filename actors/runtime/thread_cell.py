"""The seat of a `pykka.ThreadingActor` in the directory: its address, its thread, its supervisor.

pykka runs the actor's setup and its receive loop, unchanged. The thread is ours, so that closing a system can wait for
it, and so that a restarted or resumed actor finds the mail that was waiting.
"""

import queue
import threading
from typing import TYPE_CHECKING, Any, cast

import pykka

from ...events.errors import MailboxFull
from ...events.logs import get_logger
from .cell import Cell
from .dead_letters import answer
from .future import Reply
from .kind import Actor, Kind
from .mailbox import Envelope, is_stop, stop_envelope
from .phase import Phase
from .supervisor import Directive, Failure, Restarts

if TYPE_CHECKING:
    import asyncio

    from .directory import Directory

__all__ = ["ThreadCell"]

logger = get_logger(__name__)


class ThreadCell:
    """A live address served by a thread. See `Cell` for what the methods promise.

    pykka's rule for errors holds: one that answers an ask is the asker's, so only an error in handling a tell, or in
    `on_start`, is a failure. The actor is not passivated, since nothing shows whether its thread is idle.
    """

    def __init__(
        self, directory: "Directory", kind: Kind, address: str, actor: pykka.ThreadingActor, parent: Cell | None
    ) -> None:
        self.directory = directory
        self.kind = kind
        self.address = address
        self.parent = parent
        self.phase = Phase.STARTING
        self.children: set[Cell] = set()
        self._inbox = cast("queue.Queue[Envelope]", actor.actor_inbox)
        self._stoppers: list[Envelope] = []
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._restarts = Restarts(kind.supervision)
        self._timer: asyncio.TimerHandle | None = None
        self._adopt(actor)

    @property
    def actor(self) -> Actor:
        return self._actor

    @property
    def waiting(self) -> int:
        return self._inbox.qsize()

    def put(self, envelope: Envelope) -> None:
        if self._inbox.qsize() >= self.kind.capacity and not is_stop(envelope):
            raise MailboxFull(self.address, self.kind.capacity)
        self.accept(envelope)

    def accept(self, envelope: Envelope) -> None:
        if is_stop(envelope):
            # pykka would answer from the thread, before it has ended.
            self._stoppers.append(envelope)
            envelope = stop_envelope()
        self._inbox.put(envelope)
        if self._timer is not None and is_stop(envelope):
            # Nobody waits for a restart that is not wanted any more.
            self._timer.cancel()
            self._timer = None
            self._end(None)

    def stop(self) -> Reply[Any]:
        reply: Reply[Any] = Reply(self.address)
        self.accept(stop_envelope(reply))
        return reply

    def fail(self, error: Exception, *, answered: bool = False) -> None:
        # The failure of a child: the thread cannot be interrupted, so it is asked to end and the error decides then.
        self._error = error
        self._inbox.put(stop_envelope())

    def passivate(self) -> bool:
        return False

    def kill(self) -> "list[asyncio.Task[Any]]":
        return []

    def begin(self) -> None:
        """Start the thread."""
        self._run(fresh=True)

    def _adopt(self, actor: pykka.ThreadingActor) -> None:
        self._actor = actor
        actor.actor_urn = self.address
        actor.actor_inbox = cast(Any, self._inbox)
        actor._actor_ref = pykka.ActorRef(actor)  # pyright: ignore[reportPrivateUsage]
        report = actor._handle_failure  # pyright: ignore[reportPrivateUsage]

        def note_and_report(kind: Any, error: Any, traceback: Any) -> None:
            self._error = error
            report(kind, error, traceback)

        # pykka tells nobody that an actor failed; this is where it logs it.
        actor._handle_failure = note_and_report  # type: ignore[assignment,method-assign]  # pyright: ignore[reportPrivateUsage]

    def _run(self, *, fresh: bool) -> None:
        self.phase = Phase.RUNNING
        self._thread = threading.Thread(
            target=self._live, args=(fresh,), name=self.address, daemon=self._actor.use_daemon_thread
        )
        self._thread.start()

    def _live(self, fresh: bool) -> None:
        # pykka's `_actor_loop` without its teardown, which would throw away the mail that a restart needs.
        try:
            if fresh:
                self._actor._actor_loop_setup()  # pyright: ignore[reportPrivateUsage]
            self._actor._actor_loop_running()  # pyright: ignore[reportPrivateUsage]
        finally:
            try:
                self.directory.loop.call_soon_threadsafe(self._ended)
            except RuntimeError:  # the loop is closed: `close` has named this thread and gone on without it
                logger.warning("the thread of %s has outlived its event loop", self.address)

    def _ended(self) -> None:
        if self._thread is not None:
            self._thread.join()  # it has nothing left to do
            self._thread = None
        error, self._error = self._error, None
        if error is None:
            self._end(None)
            return
        directive = self.kind.supervision.decide(error)
        delay_s = None
        if directive is Directive.RESTART:
            delay_s = self._restarts.delay_s(self.directory.loop.time())
            if delay_s is None:
                directive = self.kind.supervision.exhausted
        failure = Failure(self.address, error, directive)
        self.directory.failed(failure)
        match directive:
            case Directive.RESUME:
                self._actor.actor_stopped.clear()
                self._run(fresh=False)
            case Directive.RESTART:
                self.phase = Phase.RESTARTING
                self.directory.counts.restarted += 1
                self._timer = self.directory.loop.call_later(delay_s or 0.0, self._renew)
            case Directive.STOP:
                self._end(error)
            case Directive.ESCALATE:
                self._end(error)
                self.directory.escalate(failure, self.parent)

    def _renew(self) -> None:
        self._timer = None
        try:
            actor = self.directory.make(self.kind, self.address, pykka.ThreadingActor)
        except Exception as error:
            self._error = error
            self._ended()
            return
        self._adopt(actor)
        self._run(fresh=True)

    def _end(self, error: Exception | None) -> None:
        self.phase = Phase.STOPPED
        for child in tuple(self.children):
            child.stop()
        mail: list[Envelope] = []
        while not self._inbox.empty():
            mail.append(self._inbox.get())
        self.directory.remove(self)
        wakes = error is None and self.kind.wakes and self.directory.is_open
        for envelope in mail:
            if is_stop(envelope):
                answer(envelope, True)
            elif wakes:
                self.directory.deliver(self.address, envelope)
            else:
                self.directory.dead_letters.add(self.address, envelope, "failed" if error else "stopped", error)
        for stop in self._stoppers:
            answer(stop, True)

    def status(self) -> str:
        return f"{self.address} {self.phase}, {self.waiting} waiting"

    def __repr__(self) -> str:
        return f"<ThreadCell {self.status()}>"
