"""Firings: takes what timers have fired, and makes signals of it.

Every node that hosts takes part; one of them has each firing. It is acknowledged when its signal is queued. If the node
dies in between, another one queues the same signal again, with the same id, and the session knows it.
"""

import asyncio
from contextlib import AsyncExitStack

import msgspec

from ..events.bus import Bus, Delivery
from ..events.errors import ConfigError, TooLarge, Unavailable
from ..events.logs import get_logger
from ..events.redaction import redact, redact_bytes, redacted
from ..events.signal import SIGNAL_LIMIT_BYTES
from ..events.subjects import Subjects
from .timers import REVISION, TimerBody

_log = get_logger("treadle.timers")


class Firings:
    """Takes firings for a namespace.

    Attributes:
        fired: How many signals were queued since the start.
    """

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self.fired = 0
        self._bus = bus
        self._subjects = subjects
        self._stack = AsyncExitStack()
        self._taking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        deliveries = await self._stack.enter_async_context(self._bus.consume("timers", self._subjects.timers_due()))

        async def take() -> None:
            async for delivery in deliveries:
                await self._handle(delivery)

        self._taking = asyncio.create_task(take(), name="firings")

    async def close(self) -> None:
        """Take no more. A firing that is not settled yet is delivered again."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait((self._taking,))
        await self._stack.aclose()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._fire(delivery)
        except Unavailable as exc:
            _log.warning("the firing on %s waits: %s", delivery.subject, exc)
            await self._later(delivery, exc.retry_after_s)
        except Exception:
            # The others must not wait for this one.
            _log.exception("the firing on %s could not be handled", delivery.subject)
            await self._later(delivery, min(2.0**delivery.attempt, 60.0))

    async def _fire(self, delivery: Delivery) -> None:
        try:
            timer_id = self._subjects.parse_timer(delivery.subject)
            body = msgspec.json.decode(delivery.data, type=TimerBody)
            subject = self._subjects.signal(body.user_id, body.agent, body.session_id)
            signal = {**redacted(body.signal), "id": _firing_id(timer_id, delivery)}
            await self._bus.enqueue(subject, msgspec.json.encode(signal), signal["id"])
        except (msgspec.MsgspecError, ValueError, RecursionError, ConfigError, TooLarge) as exc:
            await self._park(delivery, str(exc))
            return
        await delivery.ack()
        self.fired += 1
        _log.info("timer %s fired: signal %s on %s", timer_id, signal["id"], subject)

    async def _park(self, delivery: Delivery, reason: str) -> None:
        headers = {"Treadle-Reason": " ".join(redact(reason).split())[:1000], "Treadle-Subject": delivery.subject}
        parked = self._subjects.parked(delivery.subject)
        await self._bus.enqueue(parked, redact_bytes(delivery.data)[:SIGNAL_LIMIT_BYTES], headers=headers)
        await delivery.term(reason[:200])
        _log.warning("the firing on %s is parked: %s", delivery.subject, reason)

    async def _later(self, delivery: Delivery, delay_s: float) -> None:
        try:
            await delivery.nak(delay_s)
        except Unavailable as exc:
            _log.info("the firing on %s comes again by itself: %s", delivery.subject, exc)


def _firing_id(timer_id: str, delivery: Delivery) -> str:
    """The same for every delivery of a firing, and for a second firing at the same time, should the server make one.

    A repeated timer's firing says when the next one is, which tells it from all others of its revision; one that fires
    once has its time in the revision.
    """
    revision = delivery.headers.get(REVISION) or str(delivery.sequence)
    following = delivery.headers.get("Nats-Schedule-Next", "purge")
    return f"{timer_id}-{revision}" + ("" if following == "purge" else f"-{following}")
