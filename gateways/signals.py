"""Signals in: takes them from the bus to their sessions, holds them while their run lasts, parks what cannot be run.

A signal is acknowledged when its effect is in the journal and its run has ended. If this process dies before, the
broker delivers it again, and the session, which knows the signal's id, continues the same run.
"""

import asyncio
import hashlib
import logging
from contextlib import AsyncExitStack

from ..actors.host import Host
from ..actors.result import RunResult
from ..actors.session_messages import ParkSignal, SignalSession
from ..events.bus import MESSAGE_ID_HEADER, Bus, Delivery
from ..events.errors import NotFound, Owned, TooLarge, TreadleError, Unavailable, Undecodable
from ..events.signal import SIGNAL_LIMIT_BYTES, decode_signal
from ..events.subjects import SignalAddress, Subjects

ACK_WAIT_S = 6.0
"""Seconds after which the broker gives a signal to somebody else, unless its holder says that it is at it."""

ATTEMPTS = 5
"""How often a signal that cannot be run is tried before it is parked; reasons that pass (an outage, a session that is
busy elsewhere) are not counted."""

_log = logging.getLogger("treadle.signals")


class Signals:
    """Takes signals for the agents of a host.

    Attributes:
        running: Signals whose runs are going on.
        done, parked: How many were acknowledged and set aside since the start.
    """

    def __init__(self, bus: Bus, host: Host, subjects: Subjects, *, ack_wait_s: float = ACK_WAIT_S) -> None:
        self.running = 0
        self.done = 0
        self.parked = 0
        self._bus = bus
        self._host = host
        self._subjects = subjects
        self._ack_wait_s = ack_wait_s
        self._stack = AsyncExitStack()
        self._taking: asyncio.Task[None] | None = None
        self._handling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        everything = f"{self._subjects.namespace}.signal.>"
        consuming = self._bus.consume("signals", everything, ack_wait_s=self._ack_wait_s, limit=1024)
        deliveries = await self._stack.enter_async_context(consuming)

        async def take() -> None:
            async for delivery in deliveries:
                task = asyncio.create_task(self._hold(delivery), name=f"signal {delivery.sequence}")
                self._handling.add(task)
                task.add_done_callback(self._handling.discard)

        self._taking = asyncio.create_task(take(), name="signals")

    async def close(self) -> None:
        """Take no more. Signals whose runs go on are left to be delivered again."""
        tasks = [*self._handling, *([self._taking] if self._taking is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._stack.aclose()

    async def _hold(self, delivery: Delivery) -> None:
        """Handle a signal while telling the broker that somebody does."""
        beat = _Beat(delivery, self._ack_wait_s / 3)
        self.running += 1
        try:
            await self._handle(delivery)
        except Unavailable as exc:
            # The broker could not be told what became of it: it will ask again, and the session will know.
            _log.warning("signal %d on %s: %s", delivery.sequence, delivery.subject, exc)
        except Exception:
            # Not settled: the broker gives it to somebody again after `ack_wait_s`.
            _log.exception("signal %d on %s could not be settled", delivery.sequence, delivery.subject)
        finally:
            self.running -= 1
            beat.stop()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            address = self._subjects.parse_signal(delivery.subject)
            if not address.session_id:
                raise ValueError("its id is empty")
        except ValueError as exc:
            await self._park(delivery, None, "", f"no session: {exc}")
            return
        signal_id = delivery.headers.get(MESSAGE_ID_HEADER) or _id_of(delivery)
        try:
            signal = decode_signal(delivery.data, signal_id)
        except Undecodable as exc:
            await self._park(delivery, address, signal_id, str(exc))
            return
        try:
            if address.agent not in self._host:
                raise NotFound("agent", address.agent, "no node that takes these signals hosts it")
            session = self._host.session(*address)
            result: RunResult | None = await session.ask(SignalSession(signal, causation_id=signal.id))
        except (Unavailable, Owned) as exc:
            _log.warning("signal %s on %s waits: %s", signal.id, delivery.subject, exc)
            await delivery.nak(getattr(exc, "retry_after_s", 1.0))
        except TreadleError as exc:
            await self._try_again(delivery, address, signal.id, str(exc))
        except Exception as exc:
            _log.exception("signal %s on %s failed", signal.id, delivery.subject)
            await self._try_again(delivery, address, signal.id, f"{type(exc).__name__}: {exc}")
        else:
            await delivery.ack()
            self.done += 1
            if result is not None:
                _log.info("signal %s led to run %s, %s", signal.id, result.run_id, result.state)

    async def _try_again(self, delivery: Delivery, address: SignalAddress, signal_id: str, reason: str) -> None:
        if delivery.attempt >= ATTEMPTS:
            await self._park(delivery, address, signal_id, f"{reason} (tried {delivery.attempt} times)")
        else:
            await delivery.nak(0.1 * 2**delivery.attempt)

    async def _park(self, delivery: Delivery, address: SignalAddress | None, signal_id: str, reason: str) -> None:
        """Set the signal aside, with its reason; then note it in its session, if it has one; then let go of it."""
        headers = {
            "Treadle-Reason": " ".join(reason.split())[:1000],
            "Treadle-Subject": delivery.subject,
            "Treadle-Attempts": str(delivery.attempt),
        }
        parked = self._subjects.parked(delivery.subject)
        # The same id in every attempt at parking, and not the signal's own: the broker keeps ids by stream.
        message_id = f"parked-{_id_of(delivery)}"
        try:
            await self._bus.enqueue(parked, delivery.data, message_id, headers)
        except TooLarge:
            # It just fitted, and does not any more with its reason.
            headers["Treadle-Truncated"] = str(len(delivery.data))
            await self._bus.enqueue(parked, delivery.data[:SIGNAL_LIMIT_BYTES], message_id, headers)
        if address is not None:
            await self._host.session(*address).ask(ParkSignal(signal_id, reason, len(delivery.data)))
        await delivery.term(reason[:200])
        self.parked += 1
        _log.warning("signal %d on %s is parked: %s", delivery.sequence, delivery.subject, reason)


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


def _id_of(delivery: Delivery) -> str:
    """An id for a signal that brings none: the same for every delivery of it, and in every life of its queue."""
    digest = hashlib.sha256(delivery.subject.encode() + b"\0" + delivery.data).hexdigest()[:12]
    return f"{delivery.sequence}-{digest}"
