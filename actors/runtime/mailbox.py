"""Messages waiting for a coroutine actor.

A mailbox belongs to an address, not to an instance: it outlives a restart, and a passivation that mail arrives during.
It is bounded; whoever puts one message too many gets `MailboxFull`. Stop messages always fit, or a flooded actor could
not be stopped.

Order is the order of arrival on the loop. Messages of another thread cross over with `call_soon_threadsafe`, so those
of one thread keep their order among themselves.
"""

from collections import deque
from collections.abc import Iterable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pykka
from pykka._envelope import Envelope as PykkaEnvelope  # pyright: ignore[reportPrivateUsage]
from pykka.messages import _ActorStop  # pyright: ignore[reportPrivateUsage]

from ...events.errors import MailboxFull

# pykka's refs and proxies put these two into an inbox; neither has a public name.
if TYPE_CHECKING:
    Envelope: TypeAlias = PykkaEnvelope[Any]
else:
    Envelope = PykkaEnvelope  # calling a subscripted class costs a microsecond, and there is one for every message


def is_stop(envelope: Envelope) -> bool:
    """Whether this asks the actor to stop."""
    return envelope.message.__class__ is _ActorStop


def stop_envelope(reply: pykka.Future[Any] | None = None) -> Envelope:
    """Pykka's request to stop."""
    return Envelope(_ActorStop(), reply)


__all__ = ["Envelope", "MailOwner", "Mailbox", "is_stop", "stop_envelope"]


class MailOwner(Protocol):
    """Whoever drains a mailbox."""

    @property
    def thread_id(self) -> int:
        """Thread of the loop that drains."""
        ...

    def arrived(self) -> None:
        """Mail is waiting. Called on the loop's thread, after each message."""
        ...

    def cross(self, envelope: Envelope) -> None:
        """Bring an envelope from another thread to the loop, or raise `MailboxFull`."""
        ...


class Mailbox:
    """A bounded queue, drained on the event loop by its owner. Also a pykka inbox."""

    __slots__ = ("_owner", "address", "capacity", "queue")

    def __init__(self, address: str, capacity: int, owner: MailOwner) -> None:
        self.address = address
        self.capacity = capacity
        self.queue: deque[Envelope] = deque()
        self._owner = owner

    def put(self, envelope: Envelope, /) -> None:
        """Take a message, from any thread.

        Raises:
            MailboxFull: `capacity` messages are waiting; this one was not taken.
        """
        if get_ident() != self._owner.thread_id:
            self._owner.cross(envelope)
        elif len(self.queue) >= self.capacity and not is_stop(envelope):
            raise MailboxFull(self.address, self.capacity)
        else:
            self.queue.append(envelope)
            self._owner.arrived()

    def accept(self, envelope: Envelope) -> None:
        """Take a message that has been counted already, full or not: one that crossed over from another thread."""
        self.queue.append(envelope)
        self._owner.arrived()

    def put_front(self, envelopes: Iterable[Envelope]) -> None:
        """Put messages ahead of all others, in their order. They were counted when they came, so they always fit."""
        self.queue.extendleft(reversed(list(envelopes)))
        if self.queue:
            self._owner.arrived()

    def get(self) -> Envelope:
        """The oldest message; `IndexError` if there is none."""
        return self.queue.popleft()

    def empty(self) -> bool:
        return not self.queue

    def __len__(self) -> int:
        return len(self.queue)

    def __repr__(self) -> str:
        return f"<Mailbox {self.address}, {len(self.queue)} of {self.capacity} waiting>"
