"""Signals in: takes them from the bus to their sessions, holds them while their run lasts, parks what cannot be run.

A signal is acknowledged when its effect is in the journal and its run has ended. If this process dies before, the
broker delivers it again, and the session, which knows the signal's id, continues the same run.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from ..actors.host import Host
from ..actors.result import RunResult
from ..actors.session_messages import ParkSignal, SignalSession
from ..events.bus import MESSAGE_ID_HEADER, Bus, Delivery
from ..events.errors import NotFound, Owned, TooLarge, TreadleError, Unavailable, Undecodable
from ..events.logs import get_logger
from ..events.redaction import redact, redact_bytes, redacted
from ..events.signal import SIGNAL_LIMIT_BYTES, RuntimeSignal, decode_signal
from ..events.subjects import SignalAddress, Subjects
from .buses.nats import NatsBus
from .intake import Intake

ACK_WAIT_S = 6.0
"""Seconds after which the broker gives a signal to somebody else, unless its holder says that it is at it."""

ATTEMPTS = 5
"""How often a signal that cannot be run is tried before it is parked; reasons that pass (an outage, a session that is
busy elsewhere) are not counted."""

LIMIT = 1024
"""How many signals are handled at once."""

HELD_OF_A_SESSION = 16
"""How many signals of one session are held at once until their runs have ended. Those behind them are acknowledged when
they are in the journal, or one busy session would be in the way of all that share its partition."""

FAILURES_KEPT = 10_000
"""Of how many signals it is remembered how often they could not be run."""

_log = get_logger("treadle.signals")


class Signals:
    """Takes signals for the agents of a host.

    Args:
        hand_on: Has another node take a signal for an agent that is not hosted here, and says whether there is one.
    Attributes:
        done, parked: How many were acknowledged and set aside since the start.
    """

    def __init__(
        self,
        bus: Bus,
        host: Host,
        subjects: Subjects,
        *,
        hand_on: Callable[[SignalAddress, RuntimeSignal], Awaitable[bool]] | None = None,
        ack_wait_s: float = ACK_WAIT_S,
    ) -> None:
        self.done = 0
        self.parked = 0
        self._bus = bus
        self._host = host
        self._subjects = subjects
        self._hand_on = hand_on
        self.ack_wait_s = ack_wait_s
        self._intakes: list[Intake] = []
        self._held: Counter[SignalAddress] = Counter()
        self._failures: Counter[int] = Counter()  # of signals that could not be run, by their number in the queue

    @property
    def running(self) -> int:
        """Signals whose runs are going on."""
        return sum(len(intake.held) for intake in self._intakes)

    async def start(self) -> None:
        """Take every signal that the bus has; where they are placed, those that are in no partition."""
        everything = f"{self._subjects.namespace}.signal.>"
        wait_s = self.ack_wait_s
        consuming: AbstractAsyncContextManager[AsyncIterator[Delivery]]
        if isinstance(self._bus, NatsBus):
            filters = self._subjects.unplaced()
            consuming = self._bus.consume_stored("signals", "signals", *filters, ack_wait_s=wait_s, limit=LIMIT)
        else:
            consuming = self._bus.consume("signals", everything, ack_wait_s=wait_s, limit=LIMIT)
        await self.take("signals", consuming)

    async def take(self, name: str, consuming: AbstractAsyncContextManager[AsyncIterator[Delivery]]) -> Intake:
        """Take what this queue delivers, until the intake is shut."""
        self._intakes = [intake for intake in self._intakes if intake.open or intake.held]
        intake = Intake(name, self._handle, self.ack_wait_s)
        await intake.take(consuming)
        self._intakes.append(intake)
        return intake

    async def close(self) -> None:
        """Take no more. Signals whose runs go on are left to be delivered again."""
        await asyncio.gather(*(intake.close() for intake in self._intakes))

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
            signal = redacted(decode_signal(delivery.data, signal_id))
        except Undecodable as exc:
            await self._park(delivery, address, signal_id, str(exc))
            return
        try:
            result = await self._run(address, signal)
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
            self._failures.pop(delivery.sequence, None)
            self.done += 1
            if result is not None:
                _log.info("signal %s led to run %s, %s", signal.id, result.run_id, result.state)

    async def _run(self, address: SignalAddress, signal: RuntimeSignal) -> RunResult | None:
        """The end of the signal's run; None when there is none, or when it is another node's to run."""
        if address.agent in self._host:
            crowded = self._held[address] >= HELD_OF_A_SESSION
            asked = SignalSession(signal, "taken" if crowded else "ended", causation_id=signal.id)
            self._held[address] += 1
            try:
                result: RunResult | None = await self._host.session(*address).ask(asked)
            finally:
                self._held[address] -= 1
                if not self._held[address]:
                    del self._held[address]
            return result
        if self._hand_on is None or not await self._hand_on(address, signal):
            raise NotFound("agent", address.agent, "no node that takes these signals hosts it")
        return None

    async def _try_again(self, delivery: Delivery, address: SignalAddress, signal_id: str, reason: str) -> None:
        # Not `attempt`: that counts what the broker delivered during outages, and to nodes that died, as well.
        if len(self._failures) >= FAILURES_KEPT:
            self._failures.clear()  # of signals that other nodes have taken since, in all likelihood
        self._failures[delivery.sequence] += 1
        tried = self._failures[delivery.sequence]
        if tried < ATTEMPTS:
            await delivery.nak(0.1 * 2**tried)
            return
        await self._park(delivery, address, signal_id, f"{reason} (tried {tried} times)")
        del self._failures[delivery.sequence]

    async def _park(self, delivery: Delivery, address: SignalAddress | None, signal_id: str, reason: str) -> None:
        """Set the signal aside, with its reason; then note it in its session, if it has one; then let go of it."""
        reason, data = redact(reason), redact_bytes(delivery.data)
        headers = {
            "Treadle-Reason": " ".join(reason.split())[:1000],
            "Treadle-Subject": delivery.subject,
            "Treadle-Attempts": str(delivery.attempt),
        }
        parked = self._subjects.parked(delivery.subject)
        # The same id in every attempt at parking, and not the signal's own: the broker keeps ids by stream.
        message_id = f"parked-{_id_of(delivery)}"
        try:
            await self._bus.enqueue(parked, data, message_id, headers)
        except TooLarge:
            # It just fitted, and does not any more with its reason.
            headers["Treadle-Truncated"] = str(len(delivery.data))
            await self._bus.enqueue(parked, data[:SIGNAL_LIMIT_BYTES], message_id, headers)
        if address is not None:
            await self._host.session(*address).ask(ParkSignal(signal_id, reason, len(delivery.data)))
        await delivery.term(reason[:200])
        self.parked += 1
        _log.warning("signal %d on %s is parked: %s", delivery.sequence, delivery.subject, reason)


def _id_of(delivery: Delivery) -> str:
    """An id for a signal that brings none: the same for every delivery of it, and in every life of its queue."""
    digest = hashlib.sha256(delivery.subject.encode() + b"\0" + delivery.data).hexdigest()[:12]
    return f"{delivery.sequence}-{digest}"
