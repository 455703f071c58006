"""Addresses and the actors that live there.

A live actor is found by its address in constant time; an address whose kind is registered needs no live actor, since
a message wakes one. The check and the entry are one step on the loop, so however many tell at once, one actor wakes
and gets all their messages in the order of arrival.

Everything here happens in the thread of the loop. Messages from other threads cross over first, counted against the
mailbox they go to, and every thread's keep their order.
"""

import asyncio
import contextvars
import logging
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import get_ident
from typing import Any, TypeVar

import pykka

from ...events.errors import ConfigError, Fenced, MailboxFull
from ...events.logs import get_logger
from .actor import CoroutineActor
from .cell import Cell
from .coroutine_cell import CoroutineCell
from .dead_letters import DeadLetters, answer
from .idle import IdleActors
from .kind import Actor, Factory, Kind
from .mailbox import Envelope, is_stop
from .ref import Ref
from .supervisor import Directive, Failure, FailureHandler, Supervision
from .thread_cell import ThreadCell

__all__ = ["Counts", "Directory"]

logger = get_logger(__name__)

# Messages handled while they are sent, before one has to wait for its turn.
_AT_ONCE = 64

A = TypeVar("A", bound=Actor)


@dataclass(slots=True)
class Counts:
    """What has happened since the directory was made."""

    started: int = 0
    stopped: int = 0
    passivated: int = 0
    restarted: int = 0
    failed: int = 0


class Directory:
    """The addresses of one system.

    Args:
        defaults: Settings of a kind or an actor that says nothing else. Its factory is not used.
        max_live: Actors that may live before the longest idle ones are passivated. A soft cap: actors that are busy,
            unwilling, or cannot be woken again are not touched.
    """

    def __init__(
        self,
        *,
        defaults: Kind,
        max_live: int | None,
        dead_letters: DeadLetters,
        failures_kept: int,
        on_escalation: FailureHandler | None,
    ) -> None:
        self.dead_letters = dead_letters
        self.failures: deque[Failure] = deque(maxlen=failures_kept)
        self.counts = Counts()
        self.is_open = False
        self.thread_id = 0  # no thread has this id: until it is bound, every message has to cross and is refused
        self.loop: asyncio.AbstractEventLoop
        self.context: contextvars.Context
        self._defaults = defaults
        self._max_live = max_live
        self._on_escalation = on_escalation
        self._cells: dict[str, Cell] = {}
        self._kinds: dict[str, Kind] = {}
        self._idle = IdleActors()
        self._unloading: set[Cell] = set()
        self._names: Counter[str] = Counter()
        self._left: asyncio.Future[None] | None = None
        self._crossing: Counter[str] = Counter()
        self._crossing_lock = threading.RLock()  # re-entrant for the same reason as the one of `future.py`
        self._sealed = False
        self._serving = False
        self._served = 0

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on this loop, in this thread, from now on."""
        self.loop = loop
        self.context = contextvars.copy_context()
        self.thread_id = get_ident()
        self.is_open = True

    # Kinds and actors.

    def register(self, kind: str, factory: Factory, **options: Any) -> None:
        """Let a message to an address of this kind (`kind`, or `kind-…`) wake an actor made by `factory(address)`."""
        if kind in self._kinds:
            raise ConfigError(f"kind {kind!r} is registered already; an address belongs to one factory")
        if not kind or "-" in kind:
            raise ConfigError(f"{kind!r} cannot be a kind: it is the part of an address before the first hyphen")
        self._kinds[kind] = self._settings(factory, wakes=True, **options)

    def spawn(
        self,
        factory: Callable[[], Actor],
        address: str | None = None,
        *,
        parent: Cell | None = None,
        **options: Any,
    ) -> Ref:
        """Start an actor now. `ConfigError` if the address is taken; what the factory raises comes through."""
        self._demand_loop()
        settings = self._settings(lambda _address: factory(), wakes=False, **options)
        if address is not None and address in self._cells:
            raise ConfigError(f"address {address!r} is taken by {self._cells[address]!r}; stop that actor first")
        actor = factory()
        self._seat(address or self._name(actor), settings, actor, parent).begin()
        self._keep_cap()
        return self.ref(actor.actor_urn)

    def ref(self, address: str) -> Ref:
        return Ref(address, self)

    def live(self, address: str) -> Cell | None:
        """What lives at an address now."""
        return self._cells.get(address)

    def make(self, kind: Kind, address: str, expected: type[A]) -> A:
        """A new instance for an address whose former one ran on the same runtime."""
        actor = kind.factory(address)
        if not isinstance(actor, expected):
            raise ConfigError(f"the factory of {address!r} made a {type(actor).__name__}, not a {expected.__name__}")
        return actor

    def _settings(
        self,
        factory: Factory,
        *,
        wakes: bool,
        supervision: Supervision | None = None,
        capacity: int | None = None,
        stash_capacity: int | None = None,
        idle_timeout_s: float | None = None,
    ) -> Kind:
        defaults = self._defaults
        return Kind(
            factory=factory,
            supervision=supervision or defaults.supervision,
            capacity=defaults.capacity if capacity is None else capacity,
            stash_capacity=defaults.stash_capacity if stash_capacity is None else stash_capacity,
            idle_timeout_s=defaults.idle_timeout_s if idle_timeout_s is None else idle_timeout_s,
            wakes=wakes,
        )

    def _name(self, actor: Actor) -> str:
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(actor).__name__).lower()
        while True:
            self._names[kind] += 1
            address = f"{kind}-{self._names[kind]}"
            if address not in self._cells:
                return address

    def _seat(self, address: str, kind: Kind, actor: Actor, parent: Cell | None) -> CoroutineCell | ThreadCell:
        cell: CoroutineCell | ThreadCell
        if isinstance(actor, CoroutineActor):
            cell = CoroutineCell(self, kind, address, actor, parent)
        elif isinstance(actor, pykka.ThreadingActor):
            cell = ThreadCell(self, kind, address, actor, parent)
        else:
            raise ConfigError(
                f"{type(actor).__name__} at {address!r} is neither a CoroutineActor nor a pykka.ThreadingActor"
            )
        self._cells[address] = cell
        if parent is not None:
            parent.children.add(cell)
        self.counts.started += 1
        return cell

    def remove(self, cell: Cell) -> None:
        """`cell` has ended."""
        if self._cells.get(cell.address) is cell:
            del self._cells[cell.address]
        self.busy(cell)
        if cell.parent is not None:
            cell.parent.children.discard(cell)
        self.counts.stopped += 1
        if self._left is not None:
            self._left.set_result(None)
            self._left = None

    async def someone_left(self) -> None:
        """Wait until the next actor has ended."""
        if self._left is None:
            self._left = self.loop.create_future()
        await asyncio.shield(self._left)

    # Messages.

    def deliver(self, address: str, envelope: Envelope) -> None:
        """Bring a message to the actor at `address`, waking it if need be. Any thread.

        What cannot be delivered becomes a dead letter; `MailboxFull` is raised to a teller and answered to an asker.
        """
        try:
            if get_ident() != self.thread_id:
                self.cross(address, envelope)
                return
            cell = self._cells.get(address)
            if cell is None:
                cell = self._wake(address, envelope)
                if cell is None:
                    return
            cell.put(envelope)
        except MailboxFull as full:
            if envelope.reply_to is None:
                raise
            answer(envelope, error=full)

    def cross(self, address: str, envelope: Envelope) -> None:
        """Bring a message from another thread to the loop; `MailboxFull` when too many wait there and on the way."""
        self._demand_loop()
        if not self._set_out(address, envelope):
            self.dead_letters.add(address, envelope, "system closed")

    def _set_out(self, address: str, envelope: Envelope) -> bool:
        """Count a message and send it over; `False` when nobody is there any more to take it."""
        with self._crossing_lock:
            if self._sealed or self.loop.is_closed():
                return False
            cell = self._cells.get(address)
            kind = cell.kind if cell is not None else self._kind_of(address) or self._defaults
            waiting = cell.waiting if cell is not None else 0
            if self._crossing[address] + waiting >= kind.capacity and not is_stop(envelope):
                raise MailboxFull(address, kind.capacity)
            # Under the lock: once `seal` has it, nothing more sets out.
            try:
                self.loop.call_soon_threadsafe(self._arrive, address, envelope)
            except RuntimeError:  # closed in this moment
                return False
            self._crossing[address] += 1
            return True

    def _arrive(self, address: str, envelope: Envelope) -> None:
        with self._crossing_lock:
            self._crossing[address] -= 1
            if not self._crossing[address]:
                del self._crossing[address]
        cell = self._cells.get(address) or self._wake(address, envelope)
        if cell is not None:
            cell.accept(envelope)

    def _wake(self, address: str, envelope: Envelope) -> Cell | None:
        """Start the actor of an address that has none; without one the message is buried."""
        kind = self._kind_of(address)
        if is_stop(envelope):
            answer(envelope, False)
        elif not self.is_open:
            self.dead_letters.add(address, envelope, "system closed")
        elif kind is None:
            self.dead_letters.add(address, envelope, "no such actor")
        else:
            try:
                cell = self._seat(address, kind, kind.factory(address), None)
                cell.begin()
            except Exception as error:
                self.failed(Failure(address, error, kind.supervision.decide(error)))
                self.dead_letters.add(address, envelope, "could not be started", error)
                return None
            self._keep_cap()
            return cell
        return None

    def _kind_of(self, address: str) -> Kind | None:
        return self._kinds.get(address.partition("-")[0])

    def _demand_loop(self) -> None:
        if not self.thread_id:
            raise ConfigError(
                "the actor system has no event loop yet: enter it with `async with ActorSystem() as system`"
            )

    # Plain handlers.

    def serve(self, drain: Callable[[], None]) -> None:
        """Run `drain` now, or when the handler that has sent the message has come to its end.

        After a number of them one waits for the loop to come round: who asks and asks must not keep it from turning.
        """
        self._served += 1
        if self._serving or self._served >= _AT_ONCE:
            self._served = 0
            self.serve_later(drain)
            return
        self._serving = True
        try:
            self.context.copy().run(drain)
        except BaseException as error:
            # What no actor survives ends the loop. Whoever happened to send the message might take it for its own.
            self.loop.call_soon(_raise, error)
        finally:
            self._serving = False

    def serve_later(self, drain: Callable[[], None]) -> None:
        """Run `drain` when the loop comes round."""
        self.loop.call_soon(drain, context=self.context.copy())

    # Idle actors.

    def idle(self, cell: Cell) -> None:
        """`cell` may be passivated from now on."""
        self._idle.join(cell, self.loop)

    def busy(self, cell: Cell) -> None:
        """`cell` has something to do again."""
        self._idle.leave(cell)
        self._unloading.discard(cell)

    def unloading(self, cell: Cell) -> None:
        """`cell` is being passivated: it still lives, but will not for long."""
        self._idle.leave(cell)
        self._unloading.add(cell)

    def _keep_cap(self) -> None:
        if self._max_live is not None:
            excess = len(self._cells) - len(self._unloading) - self._max_live
            if excess > 0:
                self._idle.unload(excess, self.loop)

    # Failures.

    def failed(self, failure: Failure) -> None:
        """Note a failure."""
        self.counts.failed += 1
        self.failures.append(failure)
        ended = failure.directive in (Directive.STOP, Directive.ESCALATE)
        if isinstance(failure.error, Fenced):
            # Somebody else goes on with it: no fault of ours, and whoever asked has been told.
            logger.info("%s", failure)
            return
        logger.log(logging.ERROR if ended else logging.WARNING, "%s", failure, exc_info=failure.error)

    def escalate(self, failure: Failure, parent: Cell | None) -> None:
        """Hand a failure up: to the parent, or to whoever made the system."""
        if parent is not None and self._cells.get(parent.address) is parent:
            parent.fail(failure.error)
        elif self._on_escalation is not None:
            try:
                self._on_escalation(failure)
            except Exception:  # the actor has ended already, and its neighbours have nothing to do with this
                logger.exception("on_escalation failed on %s", failure)
        else:
            logger.critical("%s, and nobody listens (ActorSystem(on_escalation=…))", failure, exc_info=failure.error)

    # The end.

    def close(self) -> None:
        """Wake nobody any more, and ask every actor to stop after the mail it has."""
        self.is_open = False
        self._idle.close()
        for cell in tuple(self._cells.values()):
            cell.stop()

    async def seal(self) -> None:
        """Take no more messages from other threads, and deal with those on their way."""
        with self._crossing_lock:
            self._sealed = True
        await asyncio.sleep(0)  # the loop keeps order: whatever set out before arrives before this goes on

    def __iter__(self) -> Iterator[Cell]:
        return iter(tuple(self._cells.values()))

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, address: object) -> bool:
        return address in self._cells


def _raise(error: BaseException) -> None:
    raise error
