"""An actor system: one event loop, its addresses, its supervisor's last resort, its end."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ...events.errors import ConfigError, TreadleError
from .cell import Cell
from .dead_letters import DeadLetters
from .directory import Directory
from .kind import Actor, Factory, Kind
from .ref import Ref
from .supervisor import Failure, FailureHandler, Supervision

__all__ = ["ActorSystem", "StillRunning", "SystemStats"]

# What cancelled tasks get for their clean-up, once the time-out of `close` is over.
_GRACE_S = 1.0


class StillRunning(TreadleError, TimeoutError):
    """Actors did not stop in time: `cancelled` had to be cancelled, `survivors` run on even so."""

    def __init__(self, timeout_s: float, cancelled: tuple[str, ...], survivors: tuple[str, ...]) -> None:
        parts = [f"{len(cancelled)} cancelled: {', '.join(cancelled)}"] if cancelled else []
        if survivors:
            parts.append(f"{len(survivors)} still running: {', '.join(survivors)}")
        super().__init__(f"actors did not stop within {timeout_s:g} s ({'; '.join(parts)})")
        self.timeout_s = timeout_s
        self.cancelled = cancelled
        self.survivors = survivors


@dataclass(frozen=True, slots=True)
class SystemStats:
    """A look at a system. `live` and `waiting` are now, the rest counts since the start."""

    live: int
    waiting: int
    started: int
    stopped: int
    passivated: int
    restarted: int
    failed: int
    dead_letters: int


class ActorSystem:
    """Owns actors, from the moment it is entered until it is closed.

    `async with ActorSystem() as system` binds it to the running loop. Many systems can share a process, or a loop; they
    share nothing else.

    Args:
        capacity: Messages that may wait in a mailbox, unless its kind says otherwise.
        stash_capacity: Messages an actor may hold back.
        max_live: Soft cap of live actors; beyond it, the longest idle that can be woken again are passivated.
        idle_timeout_s: Passivate after so long without mail, unless the kind says otherwise; `None` is never.
        supervision: Strategy of actors that declare none.
        on_escalation: Called with a failure that nobody in the system handles. Without it, it is logged as critical.
        close_timeout_s: Time that leaving the `async with` gives the actors to stop.
    """

    def __init__(
        self,
        name: str = "treadle",
        *,
        capacity: int = 10_000,
        stash_capacity: int = 10_000,
        max_live: int | None = None,
        idle_timeout_s: float | None = None,
        supervision: Supervision | None = None,
        on_escalation: FailureHandler | None = None,
        dead_letters_kept: int = 100,
        failures_kept: int = 100,
        close_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.dead_letters = DeadLetters(dead_letters_kept)
        self._close_timeout_s = close_timeout_s
        self._closed = False
        self.directory = Directory(
            defaults=Kind(
                factory=_no_factory,
                supervision=supervision or Supervision(),
                capacity=capacity,
                stash_capacity=stash_capacity,
                idle_timeout_s=idle_timeout_s,
            ),
            max_live=max_live,
            dead_letters=self.dead_letters,
            failures_kept=failures_kept,
            on_escalation=on_escalation,
        )

    async def __aenter__(self) -> Self:
        if self._closed or self.directory.is_open:
            raise ConfigError(f"actor system {self.name!r} was entered before; make a new one")
        self.directory.bind(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def register(
        self,
        kind: str,
        factory: Factory,
        *,
        supervision: Supervision | None = None,
        capacity: int | None = None,
        stash_capacity: int | None = None,
        idle_timeout_s: float | None = None,
    ) -> None:
        """Let a message to an address of this kind wake an actor, made by `factory(address)`.

        The kind of an address is the part before its first hyphen: `session` of `session-alice/desk/conv-1`. May be
        called before the system is entered.
        """
        self.directory.register(
            kind,
            factory,
            supervision=supervision,
            capacity=capacity,
            stash_capacity=stash_capacity,
            idle_timeout_s=idle_timeout_s,
        )

    def spawn(
        self,
        factory: Callable[[], Actor],
        address: str | None = None,
        *,
        supervision: Supervision | None = None,
        capacity: int | None = None,
        stash_capacity: int | None = None,
    ) -> Ref:
        """Start an actor now, at `address` or one named after its class. `factory()` is called again for a restart.

        Unlike an actor of a registered kind it is not passivated, and when it has stopped its address is empty.

        Raises:
            ConfigError: The address is taken, or the factory made something that is no actor.
        """
        return self.directory.spawn(
            factory, address, supervision=supervision, capacity=capacity, stash_capacity=stash_capacity
        )

    def ref(self, address: str) -> Ref:
        """A ref to an address, whether somebody lives there or not."""
        return self.directory.ref(address)

    @property
    def failures(self) -> deque[Failure]:
        """The last failures, oldest first."""
        return self.directory.failures

    def stats(self) -> SystemStats:
        counts = self.directory.counts
        return SystemStats(
            live=len(self.directory),
            waiting=sum(cell.waiting for cell in self.directory),
            started=counts.started,
            stopped=counts.stopped,
            passivated=counts.passivated,
            restarted=counts.restarted,
            failed=counts.failed,
            dead_letters=self.dead_letters.count,
        )

    async def close(self, timeout_s: float | None = None) -> None:
        """Stop every actor after the mail it has. Nothing is left afterwards: no task, no timer, no thread.

        Closing again does nothing. Later messages become dead letters.

        Raises:
            StillRunning: Some actors needed more than `timeout_s` seconds. Coroutine actors have been cancelled; a
                thread cannot be, and runs on.
        """
        if self._closed:
            return
        self._closed = True
        if not self.directory.thread_id:
            return
        timeout_s = self._close_timeout_s if timeout_s is None else timeout_s
        self.directory.close()
        late = await self._empty(timeout_s)
        survivors: set[str] = set()
        tasks = [task for cell in late for task in cell.kill()]
        if tasks:
            _, unending = await asyncio.wait(tasks, timeout=_GRACE_S)
            survivors.update(task.get_name() for task in unending)
        await self.directory.seal()
        survivors.update(cell.address for cell in self.directory)
        if late:
            cancelled = sorted({cell.address for cell in late} - survivors)
            raise StillRunning(timeout_s, tuple(cancelled), tuple(sorted(survivors)))

    async def _empty(self, timeout_s: float) -> list[Cell]:
        """Wait until nobody lives here; who does after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self.directory):
                    await self.directory.someone_left()
        except TimeoutError:
            pass
        return list(self.directory)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self.directory.is_open else "not entered"
        stats = self.stats()
        return f"<ActorSystem {self.name} {state}, {stats.live} live, {stats.waiting} waiting>"


def _no_factory(address: str) -> Actor:
    raise ConfigError(f"no factory for {address!r}")
