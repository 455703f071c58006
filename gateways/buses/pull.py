"""A JetStream consumer that outlives its broker.

It asks for messages (pull), so the server never sends more than we can hold, and it keeps asking: after a
reconnect, when heartbeats stay away, when the server refuses or has forgotten the consumer. A consumer that
went silent and looked alive is the failure this file exists for.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ...events.bus import Delivery
from ...events.errors import ConfigError, Unavailable
from ...events.logs import get_logger
from ...events.subjects import escape
from ..broker.client import Client, delay_s
from ..broker.errors import translated
from ..broker.jetstream import NANOSECONDS, JetStream, JetStreamError

logger = get_logger("treadle.nats")

_EXPIRES_S = 30.0
_HEARTBEAT_S = 2.0
_SILENCE_S = 2.5 * _HEARTBEAT_S
_PATIENCE = 8
"""How often a consumer of a cluster may have no leader before it is taken for gone: for about eight seconds."""

_CONSUMER_DIFFERS = 10148
_FILTERS_OVERLAP = (10099, 10100)


class PullConsumer:
    """An iterator over the deliveries of one durable consumer, between `open` and `close`.

    Args:
        filters: Which subjects of the stream it takes.
        sent: Where a message was sent that is on this subject of the stream.

    `held` is what was delivered and neither settled nor given up by the server; with what was asked for it
    never exceeds `limit`.
    """

    def __init__(
        self,
        client: Client,
        js: JetStream,
        consumer: str,
        stream: str,
        filters: Sequence[str],
        sent: Callable[[str], str],
        *,
        ack_wait_s: float,
        limit: int,
    ) -> None:
        self._client = client
        self._js = js
        self._name = escape(consumer)
        self._stream = stream
        self._filters = list(filters)
        self.sent = sent
        self.ack_wait_s = ack_wait_s
        self._limit = limit
        self._inbox = client.new_inbox()
        self._listening: Subscription | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked = 0
        self._lost = False
        self._failures = 0
        self._heard_at = 0.0
        self._expire_at = 0.0
        self._wake = asyncio.Event()
        self._waiting: deque[_Delivery] = deque()
        self._held: dict[int, _Delivery] = {}
        self._more = asyncio.Event()
        self._ended = False

    async def open(self) -> None:
        """Create the consumer, and start asking.

        Raises:
            Unavailable: There is no such stream, or the server does not answer.
            ConfigError: The consumer exists with another subject, or another one takes some of it.
        """
        await self._make()
        with translated(f"consumer {self._name!r}"):
            self._listening = await self._client.listen(self._inbox, self._receive, limit=4 * self._limit + 1024)
        self._asking = asyncio.create_task(self._ask_forever(), name=f"pull {self._name}")

    async def close(self) -> None:
        """Stop asking; what was not handed out goes back at once."""
        self.end()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._listening is not None and self._client.is_connected:
            # What the server has sent by now still comes, and `_receive` sends it back.
            with contextlib.suppress(Unavailable), translated(f"consumer {self._name!r}"):
                await self._client.drain_subscription(self._listening)
        while self._waiting:
            await self._send_back(self._waiting.popleft())

    def end(self) -> None:
        """End the iteration."""
        self._ended = True
        self._more.set()

    def reconnected(self) -> None:
        """The server has forgotten what was asked of it: ask again."""
        self._asked, self._lost, self._failures = 0, False, 0
        self._wake.set()

    def settled(self, delivery: "_Delivery") -> None:
        if self._held.get(delivery.sequence) is delivery:
            del self._held[delivery.sequence]
            self._wake.set()

    async def send(self, delivery: "_Delivery", verb: bytes) -> None:
        """Tell the server what became of `delivery`.

        Raises:
            Unavailable: Not told; it will deliver again.
        """
        what = f"consumer {self._name!r}"
        if not self._client.is_connected:
            raise Unavailable(what, "the connection is lost; the message will be delivered again")
        with translated(what):
            await self._client.publish(delivery.reply, verb)

    def __aiter__(self) -> "PullConsumer":
        return self

    async def __anext__(self) -> Delivery:
        while not self._ended:
            while self._waiting:
                delivery = self._waiting.popleft()
                # Whoever is slow gets what the server has given up on as well; it comes again with the next attempt.
                if delivery.expires_at > _now():
                    return delivery
                self.settled(delivery)
            self._more.clear()
            await self._more.wait()
        raise StopAsyncIteration

    async def _make(self) -> None:
        config: dict[str, Any] = {
            "name": self._name,
            "durable_name": self._name,
            **_filtering(self._filters),
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_s * NANOSECONDS),
            "max_deliver": -1,
            "max_ack_pending": -1,
        }
        try:
            await self._js.make_consumer(self._stream, config, "create")
        except JetStreamError as error:
            if error.err_code in _FILTERS_OVERLAP:
                raise ConfigError(
                    f"consumer {self._name!r} of {_named(self._filters)} would share messages with another consumer of "
                    f"stream {self._stream!r}; use the same name, or subjects that do not overlap"
                ) from error
            if error.err_code != _CONSUMER_DIFFERS:
                raise
            await self._update(config)

    async def _update(self, config: dict[str, Any]) -> None:
        found = (await self._js.call(f"CONSUMER.INFO.{self._stream}.{self._name}"))["config"]
        taken = found.get("filter_subjects") or [found.get("filter_subject", ">")]
        if sorted(taken) != sorted(self._filters):
            raise ConfigError(
                f"consumer {self._name!r} takes {_named(taken)}, not {_named(self._filters)}; name it "
                f"differently, or delete it first (nats consumer rm {self._stream} {self._name})"
            )
        await self._js.make_consumer(self._stream, {**found, **config}, "update")

    async def _ask_forever(self) -> None:
        while not self._ended:
            try:
                await self._ask()
            except (Unavailable, JetStreamError, ConfigError) as error:
                self._failures += 1
                self._lost = True
                logger.warning("consumer %s: %s", self._name, error)
            pause = delay_s(self._failures) if self._lost or self._failures else min(_HEARTBEAT_S, self.ack_wait_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def _ask(self) -> None:
        """Ask for as much as there is room for, unless enough was asked for already."""
        if not self._client.is_connected:
            return
        if self._lost:
            # A stream that was deleted and laid again has lost its consumers.
            await self._make()
            self._lost, self._asked = False, 0
        elif self._asked and _now() - self._heard_at > _SILENCE_S:
            logger.warning("consumer %s heard nothing for %g s; asking again", self._name, _SILENCE_S)
            self._asked = 0
        if _now() >= self._expire_at:
            self._give_up_expired()
        room = self._limit - len(self._held) - self._asked
        # Asking for each free place would be a request per message.
        if room > 0 and (self._asked == 0 or room >= self._limit // 2):
            with translated(f"consumer {self._name!r}"):
                await self._client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}", _pull(room), self._inbox
                )
            if self._asked == 0:
                self._heard_at = _now()
            self._asked += room

    def _give_up_expired(self) -> None:
        now = _now()
        self._expire_at = now + min(1.0, self.ack_wait_s / 4)  # not with every message that is settled
        for sequence in [s for s, delivery in self._held.items() if delivery.expires_at <= now]:
            del self._held[sequence]

    async def _receive(self, msg: Msg) -> None:
        self._heard_at = _now()
        headers = msg.headers or {}
        status = headers.get("Status", "")
        if status and not msg.reply:
            self._hear(status, headers)
            return
        self._asked = max(0, self._asked - 1)
        self._failures = 0
        delivery = _Delivery(self, msg)
        if self._ended:
            await self._send_back(delivery)
            return
        self._held[delivery.sequence] = delivery
        self._waiting.append(delivery)
        self._more.set()
        if self._asked == 0:
            self._wake.set()

    def _hear(self, status: str, headers: Mapping[str, str]) -> None:
        if status == "100":
            self._failures = 0
            return
        if status in ("404", "408"):
            self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", self._asked)))
            self._wake.set()
            return
        # 409 and 503: the consumer was deleted, another server leads it, the server is going down or is not ready yet.
        about = headers.get("Description", "")
        logger.info("consumer %s: status %s %s", self._name, status, about)
        self._asked = 0
        # In a cluster nobody answers until a leader is elected: hundreds of consumers that were then made anew would
        # keep the cluster from it.
        gone = status == "503" and self._failures >= (_PATIENCE if self._js.cluster else 0)
        self._lost = self._lost or gone or "deleted" in about.lower()
        if self._failures == 0:
            self._wake.set()  # at once the first time, then as the pauses of `_ask_forever` come
        self._failures += 1

    async def _send_back(self, delivery: "_Delivery") -> None:
        with contextlib.suppress(Unavailable):  # then the server gives up on it by itself
            await delivery.nak()


class _Delivery:
    """A message of a work queue in our hands."""

    __slots__ = ("_consumer", "_settled", "attempt", "data", "expires_at", "headers", "reply", "sequence", "subject")

    def __init__(self, consumer: PullConsumer, msg: Msg) -> None:
        self._consumer = consumer
        self._settled = False
        metadata = msg.metadata
        self.subject = consumer.sent(msg.subject)
        self.data = msg.data
        self.headers: Mapping[str, str] = msg.headers or {}
        self.reply = msg.reply
        self.attempt = metadata.num_delivered
        self.sequence = metadata.sequence.stream
        self.expires_at = _now() + consumer.ack_wait_s

    async def ack(self) -> None:
        await self._settle(b"+ACK")

    async def nak(self, delay_s: float = 0.0) -> None:
        if delay_s > 0:
            await self._settle(b"-NAK " + msgspec.json.encode({"delay": int(delay_s * NANOSECONDS)}))
        else:
            await self._settle(b"-NAK")

    async def term(self, reason: str) -> None:
        logger.warning("message %d on %s is given up: %s", self.sequence, self.subject, reason)
        await self._settle(b"+TERM " + reason.encode("utf-8", "backslashreplace"))

    async def in_progress(self) -> None:
        if not self._settled:
            await self._consumer.send(self, b"+WPI")
            self.expires_at = _now() + self._consumer.ack_wait_s

    async def _settle(self, verb: bytes) -> None:
        if not self._settled:
            await self._consumer.send(self, verb)
            self._settled = True
            self._consumer.settled(self)


def _filtering(filters: Sequence[str]) -> dict[str, Any]:
    return {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": list(filters)}


def _named(filters: Sequence[str]) -> str:
    return " and ".join(map(repr, filters))


def _pull(batch: int) -> bytes:
    return msgspec.json.encode(
        {
            "batch": batch,
            "expires": int(_EXPIRES_S * NANOSECONDS),
            "idle_heartbeat": int(_HEARTBEAT_S * NANOSECONDS),
        }
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
