"""The bus inside one process: NATS' subjects and JetStream's work queues without a broker.

Deterministic: messages are handed out in the order they were sent, redelivered ones first, queue groups take
turns. Time is that of the running event loop. Nothing outlives the process.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from ...events.bus import MESSAGE_ID_HEADER, BusMessage, Delivery, Handler
from ...events.errors import ConfigError, Unavailable, Unserved
from ...events.logs import get_logger
from ...events.subjects import DEFAULT_NAMESPACE, Subjects, matches, overlap
from .interest import Interest
from .listener import Listener
from .serving import Respond, Serving
from .wire import MAX_PAYLOAD_BYTES, check_message, check_pattern

logger = get_logger("treadle.bus")


class _Party(NamedTuple):
    """Somebody who listens or serves. `take` gets the message and, when it was asked, how to answer."""

    queue: str
    take: Callable[[BusMessage, Respond | None], None]


class InProcessBus:
    """`Bus` in memory.

    Args:
        namespace: Signals and parked signals of this namespace are queued.
        listener_limit: How many messages may wait for one listener.
        serving_limit: How many requests one service handles at once.
        queue_limit: How many messages one queue holds; more are refused with `Unavailable`.
        duplicate_window_s: How long a queue remembers message ids.
    """

    def __init__(
        self,
        namespace: str = DEFAULT_NAMESPACE,
        *,
        listener_limit: int = 65_536,
        serving_limit: int = 1_024,
        queue_limit: int = 100_000,
        duplicate_window_s: float = 120.0,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        self.subjects = Subjects(namespace)
        self._listener_limit = listener_limit
        self._serving_limit = serving_limit
        self._max_payload_bytes = max_payload_bytes
        self._parties: Interest[_Party] = Interest()
        self._turns: dict[str, int] = {}
        self._listeners: set[Listener[BusMessage]] = set()
        self._queues = [
            _Queue(f"{namespace}.{kind}.", queue_limit, duplicate_window_s) for kind in ("signal", "parked")
        ]
        self._closed = False

    @property
    def connected(self) -> bool:
        return not self._closed

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._check_open()
        check_message(subject, data, headers, self._max_payload_bytes)
        self._tell(BusMessage(subject, data, headers or {}), None)
        queue = self._queue_of(subject)
        if queue is not None:
            queue.add(subject, data, "", headers or {})

    @asynccontextmanager
    async def subscribe(self, subject: str, queue: str = "") -> AsyncGenerator[AsyncIterator[BusMessage]]:
        self._check_open()
        check_pattern(subject)
        listener: Listener[BusMessage] = Listener(f"subscription {subject!r}", self._listener_limit)
        self._listeners.add(listener)

        def take(message: BusMessage, _: Respond | None) -> None:
            listener.offer(message)

        remove = self._parties.add(subject, _Party(queue, take))
        try:
            yield listener
        finally:
            remove()
            self._listeners.discard(listener)
            listener.end()

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        self._check_open()
        check_message(subject, data, headers, self._max_payload_bytes)
        reply: asyncio.Future[BusMessage] = asyncio.get_running_loop().create_future()

        async def respond(data: bytes, headers: Mapping[str, str]) -> None:
            check_message(subject, data, headers, self._max_payload_bytes)
            if not reply.done():
                reply.set_result(BusMessage(subject, data, headers))

        if not self._tell(BusMessage(subject, data, headers or {}), respond):
            raise Unserved(f"service {subject!r}")
        try:
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError as error:
            raise Unavailable(f"service {subject!r}", f"no answer within {timeout_s:g} s") from error

    @asynccontextmanager
    async def serve(self, subject: str, handler: Handler, queue: str = "") -> AsyncGenerator[None]:
        self._check_open()
        check_pattern(subject)
        serving = Serving(subject, handler, self._serving_limit)

        def take(message: BusMessage, respond: Respond | None) -> None:
            serving.take(message, respond or _forget)

        remove = self._parties.add(subject, _Party(queue, take))
        try:
            yield
        finally:
            remove()
            await serving.close()

    async def enqueue(
        self, subject: str, data: bytes, message_id: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        self._check_open()
        headers = {**(headers or {}), MESSAGE_ID_HEADER: message_id} if message_id else headers or {}
        check_message(subject, data, headers, self._max_payload_bytes)
        queue = self._queue_of(subject)
        if queue is None:
            raise Unavailable(f"queue of {subject!r}", "no queue takes this subject")
        self._tell(BusMessage(subject, data, headers), None)
        return queue.add(subject, data, message_id, headers)

    @asynccontextmanager
    async def consume(
        self, consumer: str, subject: str, *, ack_wait_s: float = 30.0, limit: int = 256
    ) -> AsyncGenerator[AsyncIterator[Delivery]]:
        self._check_open()
        check_pattern(subject)
        queue = next((q for q in self._queues if overlap(q.pattern, subject)), None)
        if queue is None:
            raise Unavailable(f"queue of {subject!r}", "no queue takes this subject")
        member = _Member(queue.cursor(consumer, subject, ack_wait_s), limit)
        try:
            yield member
        finally:
            member.end()

    async def close(self) -> None:
        self._closed = True
        for listener in self._listeners:
            listener.end()
        for queue in self._queues:
            queue.close()

    def _tell(self, message: BusMessage, respond: Respond | None) -> bool:
        """Give `message` to everybody who listens, and to one of each queue group; False when nobody does."""
        groups: dict[str, list[_Party]] = {}
        parties = self._parties.find(message.subject)
        for party in parties:
            if party.queue:
                groups.setdefault(party.queue, []).append(party)
            else:
                party.take(message, respond)
        for name, members in groups.items():
            turn = self._turns[name] = self._turns.get(name, -1) + 1
            members[turn % len(members)].take(message, respond)
        return bool(parties)

    def _queue_of(self, subject: str) -> "_Queue | None":
        return next((queue for queue in self._queues if subject.startswith(queue.prefix)), None)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus", "it was closed")


async def _forget(data: bytes, headers: Mapping[str, str]) -> None:
    """What a service answers to a message that nobody asked."""


class _Stored(NamedTuple):
    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]


class _Queue:
    """Messages that wait to be acknowledged, as a JetStream stream with work queue retention keeps them."""

    def __init__(self, prefix: str, limit: int, window_s: float) -> None:
        self.prefix = prefix
        self.pattern = f"{prefix}>"
        self._limit = limit
        self._window_s = window_s
        self._last = 0
        self.stored: dict[int, _Stored] = {}
        self._recent: dict[str, float] = {}
        self._cursors: dict[str, _Cursor] = {}

    def add(self, subject: str, data: bytes, message_id: str, headers: Mapping[str, str]) -> bool:
        if message_id and not self._is_new(message_id):
            return False
        if len(self.stored) >= self._limit:
            self._recent.pop(message_id, None)
            raise Unavailable(f"queue {self.pattern!r}", f"{self._limit} messages are waiting in it")
        self._last += 1
        self.stored[self._last] = _Stored(self._last, subject, data, headers)
        for cursor in self._cursors.values():
            if matches(cursor.subject, subject):
                cursor.append(self._last)
        return True

    def cursor(self, name: str, subject: str, ack_wait_s: float) -> "_Cursor":
        cursor = self._cursors.get(name)
        if cursor is None:
            for other, taken in self._cursors.items():
                if overlap(taken.subject, subject):
                    raise ConfigError(
                        f"consumer {name!r} of {subject!r} would share messages with consumer {other!r} of "
                        f"{taken.subject!r}; use the same name, or subjects that do not overlap"
                    )
            cursor = self._cursors[name] = _Cursor(self, subject)
            for sequence, stored in self.stored.items():
                if matches(subject, stored.subject):
                    cursor.append(sequence)
        elif cursor.subject != subject:
            raise ConfigError(
                f"consumer {name!r} takes {cursor.subject!r}, not {subject!r}; name it differently, or delete it first"
            )
        cursor.ack_wait_s = ack_wait_s
        return cursor

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()

    def _is_new(self, message_id: str) -> bool:
        now = asyncio.get_running_loop().time()
        while self._recent:
            oldest = next(iter(self._recent))
            if self._recent[oldest] > now:
                break
            del self._recent[oldest]
        if message_id in self._recent:
            return False
        self._recent[message_id] = now + self._window_s
        return True


class _Cursor:
    """What one consumer still has to take of a queue, and what its members hold."""

    def __init__(self, queue: _Queue, subject: str) -> None:
        self.queue = queue
        self.subject = subject
        self.ack_wait_s = 30.0
        self.ready: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.held: dict[int, _Delivery] = {}
        self.members: set[_Member] = set()

    def append(self, sequence: int) -> None:
        self.ready.append(sequence)
        self.wake()

    def hand_out(self, member: "_Member") -> "_Delivery":
        sequence = self.ready.popleft()
        attempt = self._attempts[sequence] = self._attempts.get(sequence, 0) + 1
        delivery = self.held[sequence] = _Delivery(self, member, self.queue.stored[sequence], attempt)
        self.expire_after(sequence, self.ack_wait_s)
        return delivery

    def settle(self, delivery: "_Delivery") -> None:
        """Forget the message, as NATS does even when another member holds it by now."""
        sequence = delivery.sequence
        waits_again = sequence in self.queue.stored and sequence not in self.held
        self._release(sequence)
        self._attempts.pop(sequence, None)
        self.queue.stored.pop(sequence, None)
        if waits_again:
            self.ready.remove(sequence)
        self.wake()

    def expire_after(self, sequence: int, delay_s: float) -> None:
        self._stop_timer(sequence)
        self._timers[sequence] = asyncio.get_running_loop().call_later(delay_s, self.deliver_again, sequence)

    def deliver_again(self, sequence: int) -> None:
        self._release(sequence)
        if sequence in self.queue.stored:
            self.ready.appendleft(sequence)
        self.wake()

    def hold_back(self, delivery: "_Delivery", delay_s: float) -> None:
        self._release(delivery.sequence)
        if delay_s > 0:
            self.expire_after(delivery.sequence, delay_s)
        else:
            self.deliver_again(delivery.sequence)
        self.wake()

    def wake(self) -> None:
        for member in self.members:
            member.more.set()

    def close(self) -> None:
        for sequence in list(self._timers):
            self._stop_timer(sequence)
        for member in list(self.members):
            member.end()

    def _release(self, sequence: int) -> None:
        self._stop_timer(sequence)
        delivery = self.held.pop(sequence, None)
        if delivery is not None:
            delivery.member.held -= 1

    def _stop_timer(self, sequence: int) -> None:
        timer = self._timers.pop(sequence, None)
        if timer is not None:
            timer.cancel()


class _Member:
    """One `consume` context: an iterator over the deliveries of a cursor that other members may share."""

    def __init__(self, cursor: _Cursor, limit: int) -> None:
        self._cursor = cursor
        self._limit = limit
        self._ended = False
        self.held = 0
        self.more = asyncio.Event()
        cursor.members.add(self)

    def __aiter__(self) -> "_Member":
        return self

    async def __anext__(self) -> Delivery:
        while not self._ended:
            if self._cursor.ready and self.held < self._limit:
                self.held += 1
                return self._cursor.hand_out(self)
            self.more.clear()
            await self.more.wait()
        raise StopAsyncIteration

    def end(self) -> None:
        self._ended = True
        self._cursor.members.discard(self)
        self.more.set()


class _Delivery:
    """A message in the hands of one member."""

    __slots__ = ("_cursor", "_settled", "_stored", "attempt", "member")

    def __init__(self, cursor: _Cursor, member: _Member, stored: _Stored, attempt: int) -> None:
        self._cursor = cursor
        self._stored = stored
        self._settled = False
        self.member = member
        self.attempt = attempt

    @property
    def subject(self) -> str:
        return self._stored.subject

    @property
    def data(self) -> bytes:
        return self._stored.data

    @property
    def headers(self) -> Mapping[str, str]:
        return self._stored.headers

    @property
    def sequence(self) -> int:
        return self._stored.sequence

    async def ack(self) -> None:
        if not self._settled:
            self._settled = True
            self._cursor.settle(self)

    async def nak(self, delay_s: float = 0.0) -> None:
        if not self._settled:
            self._settled = True
            if self._is_current:
                self._cursor.hold_back(self, delay_s)

    async def term(self, reason: str) -> None:
        if not self._settled:
            self._settled = True
            logger.warning("message %d on %s is given up: %s", self.sequence, self.subject, reason)
            self._cursor.settle(self)

    async def in_progress(self) -> None:
        if not self._settled and self._is_current:
            self._cursor.expire_after(self.sequence, self._cursor.ack_wait_s)

    @property
    def _is_current(self) -> bool:
        return self._cursor.held.get(self.sequence) is self
