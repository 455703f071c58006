"""The address of an actor, and everything one can do with it.

A ref is the same for coroutine actors, threads and actors that are not loaded: it names an address, not an instance,
and stays valid while the actor there restarts, is passivated and wakes.
"""

from typing import TYPE_CHECKING, Any

import pykka

from .dead_letters import ActorDead
from .future import Reply, refuse_on_a_loop
from .mailbox import Envelope, stop_envelope

if TYPE_CHECKING:
    from .directory import Directory

__all__ = ["Ref"]


class Ref:
    """An address in a directory. Hashable, and equal to every other ref to the same place.

    `tell`, `ask` and `stop` may be called in any thread. Messages of one thread arrive in the order they were sent.
    """

    __slots__ = ("_directory", "address")

    def __init__(self, address: str, directory: "Directory") -> None:
        self.address = address
        self._directory = directory

    def tell(self, message: Any) -> None:
        """Send a message and expect no answer.

        Raises:
            MailboxFull: It was not taken; slow down and send again.

        When nobody lives at the address and nobody can be woken there, it becomes a dead letter.
        """
        self._directory.deliver(self.address, Envelope(message))

    def ask(self, message: Any, timeout_s: float | None = None) -> Reply[Any]:
        """Send a message, now; `await` the result for the answer.

        Args:
            timeout_s: How long awaiting lasts at most, in seconds, before it raises `AskTimeout`.

        What the handler raises is raised where it is awaited; so are `MailboxFull` and `ActorDead`. Cancelling the
        wait disturbs nobody else: the message is handled all the same.
        """
        reply: Reply[Any] = Reply(self.address, timeout_s)
        self._directory.deliver(self.address, Envelope(message, reply))
        return reply

    def ask_blocking(self, message: Any, timeout_s: float | None = None) -> Any:
        """Send a message and block this thread for the answer.

        Raises:
            WouldDeadlock: This thread runs an event loop; use `await ref.ask(…)`. The message was not sent.
            AskTimeout: No answer within `timeout_s` seconds.
        """
        refuse_on_a_loop(self.address)
        return self.ask(message).get(timeout=timeout_s)

    def stop(self) -> Reply[Any]:
        """Ask the actor to stop after the messages that are waiting now.

        The answer, if wanted, comes when it has stopped: `True`, or `False` if none was live. Nobody is woken for it.
        An address that can be woken lives on: a later message starts a new actor there.
        """
        reply: Reply[Any] = Reply(self.address)
        self._directory.deliver(self.address, stop_envelope(reply))
        return reply

    def passivate(self) -> bool:
        """Unload the actor now, if it is idle and agrees; tells whether it began to. For the loop's thread."""
        cell = self._directory.live(self.address)
        return cell is not None and cell.passivate()

    @property
    def is_live(self) -> bool:
        """Whether an actor is loaded at this moment. A ref without one is not dead: telling it may wake one."""
        return self.address in self._directory

    def proxy(self) -> pykka.ActorProxy[Any]:
        """A pykka proxy to the instance that is live now: `await proxy.method(…)`, `await proxy.attribute`.

        Raises:
            ActorDead: None is live. A proxy needs the instance; it ends with it, unlike this ref.
        """
        cell = self._directory.live(self.address)
        if cell is None:
            raise ActorDead(self.address, "a proxy needs a live actor")
        return pykka.ActorProxy(actor_ref=cell.actor.actor_ref)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ref):
            return NotImplemented
        return self.address == other.address and self._directory is other._directory

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        cell = self._directory.live(self.address)
        return f"<Ref {cell.status() if cell is not None else f'{self.address} not loaded'}>"
