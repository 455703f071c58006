"""Intake: what one queue delivers, each handled in a task of its own, while the broker hears that somebody is at it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from ..events.bus import Delivery
from ..events.errors import Unavailable
from ..events.logs import get_logger

_GIVEN_BACK_S = 0.5
"""How long what is given back stays with the broker: its run is being suspended meanwhile."""

_log = get_logger("treadle.signals")


class Intake:
    """The deliveries of one queue, from `take` to `shut` or `close`.

    Args:
        handle: Handles a delivery, and settles it.
        ack_wait_s: How long the broker waits for a sign of life before it delivers again.
    Attributes:
        open: It takes what is delivered.
    """

    def __init__(self, name: str, handle: Callable[[Delivery], Awaitable[None]], ack_wait_s: float) -> None:
        self.open = False
        self._name = name
        self._handle = handle
        self._ack_wait_s = ack_wait_s
        self._stack = AsyncExitStack()
        self._taking: asyncio.Task[None] | None = None
        self._handling: dict[asyncio.Task[None], Delivery] = {}

    @property
    def held(self) -> tuple[Delivery, ...]:
        """What is being handled."""
        return tuple(self._handling.values())

    async def take(self, consuming: AbstractAsyncContextManager[AsyncIterator[Delivery]]) -> None:
        """Take from now on."""
        deliveries = await self._stack.enter_async_context(consuming)

        async def take_each() -> None:
            async for delivery in deliveries:
                task = asyncio.create_task(self._hold(delivery), name=f"{self._name} {delivery.sequence}")
                self._handling[task] = delivery
                task.add_done_callback(self._forget)

        self._taking = asyncio.create_task(take_each(), name=self._name)
        self.open = True

    async def shut(self) -> None:
        """Take no more. What is being handled goes on, and what was not begun goes back."""
        self.open = False
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait((self._taking,))
        await self._stack.aclose()

    async def wait(self, timeout_s: float) -> bool:
        """Until all that was begun is settled; False when that is not so after `timeout_s`."""
        if self._handling:
            await asyncio.wait(self._handling, timeout=timeout_s)
        return not self._handling

    async def close(self) -> None:
        """Take no more, and give back what is being handled, for somebody else to go on with."""
        await self.shut()
        handling = dict(self._handling)
        for task in handling:
            task.cancel()
        if handling:
            await asyncio.wait(handling)
        for delivery in handling.values():
            with contextlib.suppress(Unavailable):  # then it is delivered again when nobody has said a word for long
                await delivery.nak(_GIVEN_BACK_S)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._handling[task]

    async def _hold(self, delivery: Delivery) -> None:
        """Handle a delivery while telling the broker that somebody does."""
        beat = _Beat(delivery, self._ack_wait_s / 3)
        try:
            await self._handle(delivery)
        except Unavailable as exc:
            # The broker could not be told what became of it: it will ask again, and the session will know.
            _log.warning("signal %d on %s: %s", delivery.sequence, delivery.subject, exc)
        except Exception:
            # Not settled: the broker gives it to somebody again after `ack_wait_s`.
            _log.exception("signal %d on %s could not be settled", delivery.sequence, delivery.subject)
        finally:
            beat.stop()


class _Beat:
    """Tells the broker, again and again, that somebody is at a signal. Most are done before the first time."""

    __slots__ = ("_delivery", "_every_s", "_telling", "_timer")

    def __init__(self, delivery: Delivery, every_s: float) -> None:
        self._delivery = delivery
        self._every_s = every_s
        self._telling: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(every_s, self._due)

    def stop(self) -> None:
        self._timer.cancel()
        if self._telling is not None:
            self._telling.cancel()

    def _due(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._due)
        self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        delivery = self._delivery
        try:
            await delivery.in_progress()
        except Unavailable as exc:
            _log.warning("signal %d on %s is not kept alive: %s", delivery.sequence, delivery.subject, exc)
