"""An actor whose handlers are coroutines: pykka's actor, drained on the event loop instead of in a thread.

It differs from `pykka.ThreadingActor` in what it costs (about 1.5 kB, and no thread or task while idle) and in how it
is started: by an `ActorSystem`, which gives it its address, its mailbox and its supervisor. pykka's refs, proxies and
messages work with it.
"""

import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka

from ...events.errors import ConfigError
from .future import Reply
from .phase import Phase

if TYPE_CHECKING:
    import asyncio

    from .coroutine_cell import CoroutineCell
    from .kind import Actor
    from .mailbox import Mailbox
    from .ref import Ref

__all__ = ["CoroutineActor"]


if TYPE_CHECKING:

    class _PykkaActor:
        """`pykka.Actor` without its hooks: those return `None` there, and checkers would hold coroutines to that."""

        actor_urn: str
        actor_inbox: Mailbox
        actor_stopped: threading.Event

        @property
        def actor_ref(self) -> pykka.ActorRef[Any]: ...
        def stop(self) -> None: ...
        def on_receive(self, message: Any) -> Any: ...
        def _handle_receive(self, message: Any) -> Any: ...
else:
    _PykkaActor = pykka.Actor


class CoroutineActor(_PykkaActor):
    """Base class of actors that live on the event loop.

    Messages are handled one at a time, in the order of arrival. What `on_receive` returns answers the ask; what it
    raises goes to the asker, and to the supervisor. A handler that returns a `Reply` answers later, and the actor goes
    on with the next message meanwhile: the reply of another actor (`return self.other.ask(x)`), a task of its own
    (`return self.later(self.fetch())`), or a bare `Reply()` that some later message sets.

    Every hook may be a plain or a coroutine function. A handler runs in the context variables of the system, not in
    those of whoever sent the message.

    Phases: starting → running ⇄ restarting → passivating or stopping → stopped; see `Phase` for what becomes of a
    message in each. `phase` may be set to `REPLAYING` within `on_start`.
    """

    cell: "CoroutineCell"
    """The runtime's side of this actor. Set before `on_start`, not yet there in `__init__`."""

    handles_inline: ClassVar[bool] = True
    """`on_receive` is a plain function: it is called by the loop directly, without a task."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handles_inline = not inspect.iscoroutinefunction(cls.on_receive)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # pykka makes a UUID, an inbox, an Event and a ref here. The cell gives the first two; the others are made when
        # somebody looks, since ten thousand idle actors need none of them.
        pass

    # Its place in the system.

    @property
    def address(self) -> str:
        return self.cell.address

    @property
    def ref(self) -> "Ref":
        """Address of this actor; stays valid when the actor restarts, is passivated and wakes."""
        return self.cell.directory.ref(self.cell.address)

    def ref_to(self, address: str) -> "Ref":
        """Ref to another address of the same system."""
        return self.cell.directory.ref(address)

    @property
    def phase(self) -> Phase:
        return self.cell.phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        if self.cell.phase not in (Phase.STARTING, Phase.REPLAYING) or phase not in (Phase.STARTING, Phase.REPLAYING):
            raise ValueError(f"{self!r} cannot set its phase to {phase}; it may say that it is replaying, in on_start")
        self.cell.phase = phase

    # What an actor overrides.

    def on_receive(self, message: Any) -> Any:
        """Handle a message; the result answers whoever asked. May be a coroutine function."""
        return super().on_receive(message)

    def on_start(self) -> Awaitable[None] | None:
        """Runs before the first message; mail waits. An error is a failure of the actor."""

    def on_stop(self) -> Awaitable[None] | None:
        """Runs after the last message and the last task, when the actor stops or is passivated; `phase` tells which.

        Not after a failure: then `on_failure` runs.
        """

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None] | None:
        """Runs instead of `on_stop` on an instance that a failure ends: restart, stop and escalate, not resume."""

    def can_passivate(self) -> bool:
        """Whether the actor may be unloaded now, though nothing waits. By default not while tasks of its own run."""
        return not self.cell.has_background

    # What an actor uses.

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> "asyncio.Task[Any]":
        """Run `work` beside the messages. Cancelled and awaited when the actor ends; its failure is the actor's."""
        return self.cell.spawn(work, name or str(getattr(work, "__name__", "task")))

    def later(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> Reply[Any]:
        """Run `work` beside the messages; return the result from the handler and it answers the ask when it is done.

        An error goes to the asker and then to the supervisor, as if the handler had raised it.
        """
        return self.cell.later(work, name or str(getattr(work, "__name__", "task")))

    def stash(self, message: Any) -> None:
        """Hold back the message being handled; the sender's reply is kept with it.

        When the stash is full the sender is told: an ask gets `MailboxFull`, a tell becomes a dead letter.
        """
        self.cell.hold_back(message)

    def unstash_all(self) -> None:
        """Take up all stashed messages, in their order, ahead of newer mail."""
        self.cell.take_up()

    def start_child(self, factory: "Callable[[], Actor]", address: str | None = None, **options: Any) -> "Ref":
        """Start an actor that stops with this one and escalates to it; options as for `ActorSystem.spawn`."""
        return self.cell.directory.spawn(factory, address, parent=self.cell, **options)

    # pykka's extension points.

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise ConfigError(
            f"{cls.__name__} runs on an event loop: start it with system.spawn({cls.__name__}), "
            f"or system.register(kind, lambda address: {cls.__name__}()) and tell the address"
        )

    @staticmethod
    def _create_actor_inbox() -> NoReturn:
        raise ConfigError("the mailbox of a CoroutineActor belongs to its address and is made by the ActorSystem")

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        self.cell.begin()

    def _stop(self) -> Any:
        return self.cell.stop_now()

    def receive(self, message: Any) -> Any:
        """Handle any message, pykka's own included: a result, or the coroutine that makes it."""
        return self._handle_receive(message)

    has_ended: bool = False
    """The runtime is done with this instance."""

    def ended(self) -> None:
        """Called by the runtime when it is done with this instance: pykka refs to it find it dead."""
        self.has_ended = True
        if "actor_stopped" in self.__dict__:
            self.actor_stopped.set()

    if not TYPE_CHECKING:  # or a checker would believe in any attribute

        def __getattr__(self, name: str) -> Any:
            """Make what pykka's refs need when somebody wants one. `setdefault`, since two threads may want it."""
            if name == "actor_stopped":
                event = self.__dict__.setdefault(name, threading.Event())
                if self.has_ended:
                    event.set()
                return event
            if name == "_actor_ref":
                return self.__dict__.setdefault(name, pykka.ActorRef(self))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        return self.cell.address if "cell" in self.__dict__ else type(self).__name__

    def __repr__(self) -> str:
        if "cell" not in self.__dict__:
            return f"<{type(self).__name__} not started>"
        return f"<{type(self).__name__} {self.cell.status()}>"
