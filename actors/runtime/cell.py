"""What stands at a live address, whatever runs the actor: the interface the directory works with."""

import asyncio
from typing import Any, Protocol

from .future import Reply
from .kind import Actor, Kind
from .mailbox import Envelope
from .phase import Phase

__all__ = ["Cell"]


class Cell(Protocol):
    """A live address. All methods are for the thread of the loop, unless they say otherwise."""

    address: str
    kind: Kind
    phase: Phase
    parent: "Cell | None"

    @property
    def actor(self) -> Actor:
        """The instance that serves the address now; another one after a restart."""
        ...

    @property
    def waiting(self) -> int:
        """Messages waiting. Any thread may ask."""
        ...

    @property
    def children(self) -> "set[Cell]":
        """Actors that stop with this one."""
        ...

    def put(self, envelope: Envelope) -> None:
        """Take a message, or raise `MailboxFull`."""
        ...

    def accept(self, envelope: Envelope) -> None:
        """Take a message that was counted when it left another thread."""
        ...

    def fail(self, error: Exception, *, answered: bool = False) -> None:
        """Treat `error` as a failure of this actor, before it handles another message."""
        ...

    def stop(self) -> Reply[Any]:
        """Stop after the messages that are waiting now."""
        ...

    def passivate(self) -> bool:
        """Begin to unload the actor if nothing waits and it agrees; tells whether it began."""
        ...

    def kill(self) -> list[asyncio.Task[Any]]:
        """Cancel whatever runs; returns what may take a moment to end. A thread cannot be cancelled."""
        ...

    def status(self) -> str:
        """Address, phase and mail, as a reader of a log wants them."""
        ...
