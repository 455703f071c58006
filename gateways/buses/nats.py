"""The bus over NATS: core messages, requests, and JetStream work queues.

During an outage nothing is buffered and nothing waits: what cannot be sent now raises `Unavailable`, and the
caller, who knows what it is for, decides. The connection is sought for ever. Meanwhile listeners are told that
they have missed something, services come back by themselves, and consumers go on where they were.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ...events.bus import BusMessage, Delivery, Handler
from ...events.errors import ConfigError, Unavailable, Unserved
from ...events.logs import get_logger
from ...events.subjects import DEFAULT_NAMESPACE, Subjects
from ..broker.client import FLUSH_TIMEOUT_S, PING_INTERVAL_S, Client, back_off
from ..broker.credentials import Credentials
from ..broker.errors import translated
from ..broker.jetstream import JetStream, Outgoing, Stored
from ..broker.server import check_number
from ..broker.streams import stream_name
from ..broker.tls import Tls
from .listener import Listener
from .pull import PullConsumer
from .serving import Serving
from .wire import check_message, check_pattern

logger = get_logger("treadle.nats")

_UNREAD = 65_536
"""How many messages one read from the socket may bring; they wait in nats-py until the listener has them."""


class NatsBus:
    """`Bus` over one NATS connection; made by `connect`, which see."""

    def __init__(
        self,
        client: Client,
        url: str,
        namespace: str,
        *,
        listener_limit: int,
        serving_limit: int,
        timeout_s: float,
        replicas: int,
    ) -> None:
        self.subjects = Subjects(namespace)
        self.client = client
        """The connection itself, for what the port does not say: micro services, key-value, object store."""
        self.jetstream = JetStream(client, timeout_s, replicas)
        self._url = url
        self._listener_limit = listener_limit
        self._serving_limit = serving_limit
        self._timeout_s = timeout_s
        self._listeners: dict[Subscription, Listener[BusMessage]] = {}
        self._outages = 0
        self._consumers: set[PullConsumer] = set()
        self._denied: list[str] = []
        self._not_let_in: Exception | None = None
        self._closed = False

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        name: str = "treadle",
        credentials: Path | None = None,
        tls: Tls | None = None,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 5.0,
        listener_limit: int = 65_536,
        serving_limit: int = 1_024,
        replicas: int = 0,
    ) -> "NatsBus":
        """Connect to a server, or to one of several of a cluster.

        Args:
            url: `nats://host:port`, with user and password or a token if the server wants them. Those of several
                servers of a cluster are separated by commas; whichever is there is taken, now and after an outage.
            name: What the server's monitoring calls this connection.
            credentials: A seed file of `treadle nats auth`, or a `.creds` file; of mode 0600.
            tls: Whom to trust; None for a plain connection, or for `tls://` and a server that the system trusts.
            connect_timeout_s: How long to look for a server now; a connection that is lost later is sought for ever.
            timeout_s: How long the server may take to confirm what it stored.
            listener_limit: How many messages may wait for one listener.
            serving_limit: How many requests one service handles at once.
            replicas: How many servers shall keep each stream at least; 0: three, if there are so many.
        Raises:
            Unavailable: No server within `connect_timeout_s`.
            ConfigError: The server does not let us in, is too old, we do not trust it, or a file of ours is not what it
                should be.
        """
        urls = [each.strip() for each in url.split(",") if each.strip()]
        shown = ", ".join(without_secrets(each) for each in urls)
        client = Client()
        bus = cls(
            client,
            shown,
            namespace,
            listener_limit=listener_limit,
            serving_limit=serving_limit,
            timeout_s=timeout_s,
            replicas=replicas,
        )
        identity = client.identify(Credentials.read(credentials)) if credentials is not None else {}
        await bus._connect(urls, name, identity, tls, connect_timeout_s)
        return bus

    @property
    def connected(self) -> bool:
        return not self._closed and self.client.is_connected

    @property
    def outages(self) -> int:
        """How often the connection was lost."""
        return self._outages

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._check_connected()
        check_message(subject, data, headers, self.client.max_payload)
        with translated(f"NATS for {subject!r}"):
            await self.client.publish(subject, data, headers=dict(headers) if headers else None)

    @asynccontextmanager
    async def subscribe(self, subject: str, queue: str = "") -> AsyncGenerator[AsyncIterator[BusMessage]]:
        self._check_connected()
        check_pattern(subject)
        listener: Listener[BusMessage] = Listener(f"subscription {subject!r}", self._listener_limit)

        async def receive(msg: Msg) -> None:
            listener.offer(BusMessage(msg.subject, msg.data, msg.headers or {}))

        outages = self._outages
        subscription = await self._listen(subject, receive, queue)
        self._listeners[subscription] = listener
        if self._outages != outages:
            self._interrupt(listener)
        try:
            yield listener
        finally:
            del self._listeners[subscription]
            listener.end()
            await self._unsubscribe(subscription)

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        self._check_connected()
        check_message(subject, data, headers, self.client.max_payload)
        what = f"service {subject!r}"
        try:
            with translated(what):
                reply = await self.client.request(
                    subject, data, timeout=timeout_s, headers=dict(headers) if headers else None
                )
        except Unavailable as error:
            match error.__cause__:
                case errors.NoRespondersError():
                    raise Unserved(what) from error
                case TimeoutError():
                    raise Unavailable(what, f"no answer within {timeout_s:g} s") from error
                case _:
                    raise
        return BusMessage(subject, reply.data, reply.headers or {})

    @asynccontextmanager
    async def serve(self, subject: str, handler: Handler, queue: str = "") -> AsyncGenerator[None]:
        self._check_connected()
        check_pattern(subject)
        serving = Serving(subject, handler, self._serving_limit)

        async def receive(msg: Msg) -> None:
            async def respond(data: bytes, headers: Mapping[str, str]) -> None:
                if msg.reply:
                    await self.publish(msg.reply, data, headers)

            serving.take(BusMessage(msg.subject, msg.data, msg.headers or {}), respond)

        subscription = await self._listen(subject, receive, queue)
        try:
            yield
        finally:
            await self._unsubscribe(subscription)
            await serving.close()

    async def enqueue(
        self, subject: str, data: bytes, message_id: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        [stored] = await self._store([Outgoing(subject, data, message_id, headers or {})])
        return not stored.duplicate

    async def publish_stored(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """Publish `messages` to their streams in order, and wait until all are stored.

        Raises:
            Unavailable: Not all were confirmed; publish all again with the same ids.
        """
        return await self._store(messages)

    @asynccontextmanager
    async def consume(
        self, consumer: str, subject: str, *, ack_wait_s: float = 30.0, limit: int = 256
    ) -> AsyncGenerator[AsyncIterator[Delivery]]:
        self._check_connected()
        check_pattern(subject)
        stream = await self.jetstream.stream_of(subject)
        filters = self.subjects.stored(subject)
        async with self._consuming(consumer, stream, filters, ack_wait_s, limit) as deliveries:
            yield deliveries

    @asynccontextmanager
    async def consume_stored(
        self, consumer: str, kind: str, *subjects: str, ack_wait_s: float, limit: int
    ) -> AsyncGenerator[AsyncIterator[Delivery]]:
        """As `consume`, of what is under `subjects` in the stream of this kind, wherever it was sent."""
        self._check_connected()
        stream = stream_name(kind, self.subjects)
        async with self._consuming(consumer, stream, subjects, ack_wait_s, limit) as deliveries:
            yield deliveries

    @asynccontextmanager
    async def _consuming(
        self, consumer: str, stream: str, filters: Sequence[str], ack_wait_s: float, limit: int
    ) -> AsyncGenerator[AsyncIterator[Delivery]]:
        pull = PullConsumer(
            self.client,
            self.jetstream,
            consumer,
            stream,
            filters,
            self.subjects.as_sent,
            ack_wait_s=ack_wait_s,
            limit=limit,
        )
        try:
            await pull.open()
            self._consumers.add(pull)
            yield pull
        finally:
            self._consumers.discard(pull)
            await pull.close()

    async def close(self) -> None:
        """Say what is still to be said, and leave. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        for consumer in list(self._consumers):
            await consumer.close()
        for listener in self._listeners.values():
            listener.end()
        await self.client.close()

    async def __aenter__(self) -> "NatsBus":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _connect(
        self, urls: list[str], name: str, identity: Mapping[str, Any], tls: Tls | None, timeout_s: float
    ) -> None:
        what = f"NATS at {self._url}"
        context = tls.context() if tls is not None else None
        try:
            with translated(what):
                async with asyncio.timeout(timeout_s):
                    await self.client.connect(
                        urls,
                        name=name,
                        tls=context,
                        **identity,
                        error_cb=self._on_error,
                        disconnected_cb=self._on_disconnect,
                        reconnected_cb=self._on_reconnect,
                        max_reconnect_attempts=-1,
                        reconnect_time_wait=cast(int, 0.1),
                        reconnect_to_server_handler=back_off,
                        ping_interval=PING_INTERVAL_S,
                        max_outstanding_pings=1,
                        flush_timeout=FLUSH_TIMEOUT_S,
                    )
                check_number(what, self.client.version)
        except BaseException as error:
            self._closed = True
            await self.client.close()
            # Of several servers the last one that was tried may just not be there.
            reason = self._not_let_in or self.client.last_error
            if isinstance(error, Unavailable) and reason is not None:
                if isinstance(reason, ssl.SSLError):
                    raise ConfigError(f"{what} cannot be spoken to in TLS: {reason}") from error
                if self._not_let_in is not None:
                    raise ConfigError(f"{what} does not let us in: {reason}") from error
                raise Unavailable(what, f"no connection within {timeout_s:g} s: {reason}") from error
            raise

    async def _listen(self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str) -> Subscription:
        """Subscribe, and wait until the server knows it; or why not."""
        with translated(f"subscription {subject!r}"):
            subscription = await self.client.listen(subject, receive, queue, limit=max(self._listener_limit, _UNREAD))
            try:
                await self.client.flush(timeout=cast(int, self._timeout_s))
            except BaseException:
                await self._unsubscribe(subscription)
                raise
        if any(f'"{subject.lower()}"' in denied for denied in self._denied):
            await self._unsubscribe(subscription)
            raise ConfigError(f"NATS at {self._url} does not let us listen to {subject!r}")
        return subscription

    async def _unsubscribe(self, subscription: Subscription) -> None:
        # A connection that is closed or draining has nothing to unsubscribe from any more.
        with suppress(errors.ConnectionClosedError, errors.ConnectionDrainingError, errors.BadSubscriptionError):
            await subscription.unsubscribe()

    async def _store(self, messages: Sequence[Outgoing]) -> list[Stored]:
        self._check_connected()
        for message in messages:
            check_message(message.subject, message.data, message.all_headers(), self.client.max_payload)
        return await self.jetstream.store_all(messages)

    def _check_connected(self) -> None:
        if self._closed:
            raise Unavailable(f"NATS at {self._url}", "this connection was closed")
        if not self.client.is_connected:
            raise Unavailable(f"NATS at {self._url}", "the connection is lost and is being sought")

    async def _on_disconnect(self) -> None:
        if self._closed:
            return
        logger.warning("the connection to NATS at %s is lost", self._url)
        lost = errors.ConnectionReconnectingError()
        self.client.fail_requests(lost)
        self.jetstream.fail_pipelines(lost)
        self._outages += 1
        for listener in self._listeners.values():
            self._interrupt(listener)

    def _interrupt(self, listener: Listener[BusMessage]) -> None:
        why = "the connection was lost; listen again and read up what was missed"
        listener.end(Unavailable("the subscription", why))

    async def _on_reconnect(self) -> None:
        logger.warning("connected to NATS at %s again", self._url)
        self._not_let_in = None
        try:
            check_number(f"NATS at {self._url}", self.client.version)
        except ConfigError as error:
            logger.error("%s", error)  # one of several servers, say, that was replaced; better than none
        for consumer in self._consumers:
            consumer.reconnected()

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, errors.SlowConsumerError) and error.sub in self._listeners:
            self._listeners[error.sub].end(
                Unavailable(
                    f"subscription {error.subject!r}",
                    "messages came faster than they could be listened to; listen again",
                )
            )
        if "authorization" in str(error).lower():
            self._not_let_in = error
        if "permissions violation" in str(error).lower():
            self._denied = [*self._denied[-31:], str(error).lower()]
        if self.connected:
            logger.warning("NATS at %s: %s", self._url, error)
        else:
            logger.debug("NATS at %s while connecting: %s", self._url, error)


def shown_urls(urls: str) -> str:
    """One URL or several, with commas, as they may be shown."""
    return ", ".join(without_secrets(each) for each in urls.split(",")) if urls else ""


def without_secrets(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
