"""The bus: how things are told across a process boundary, and asked.

A port with two adapters, `gateways/buses/inprocess.py` and `gateways/buses/nats.py`, which share the
contract suite in `tests/contracts/bus.py`. Subjects are NATS subjects (see `subjects.py`), payloads bytes.

Three kinds of messages:

* *published*: to whoever listens now, at most once, in order per publisher (`publish`, `subscribe`);
* *asked*: one answer from one of those who serve the subject (`request`, `serve`);
* *queued*: kept until somebody has acknowledged them, at least once (`enqueue`, `consume`): signals.

Nothing here proves anything: an acknowledgement is a courtesy to the broker, the journal is the truth.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class BusMessage(Struct, frozen=True):
    """One published or asked message."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = {}


class Delivery(Protocol):
    """One queued message, held by one consumer until it is settled or `ack_wait_s` has passed."""

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def attempt(self) -> int:
        """1 for the first delivery, and so on."""
        ...

    @property
    def sequence(self) -> int:
        """The message's number in its queue: the same for every delivery of it."""
        ...

    async def ack(self) -> None:
        """Done with: the queue forgets it. Settling twice does nothing."""
        ...

    async def nak(self, delay_s: float = 0.0) -> None:
        """Not now: deliver again after `delay_s`."""
        ...

    async def term(self, reason: str) -> None:
        """Never again."""
        ...

    async def in_progress(self) -> None:
        """Still at it: start `ack_wait_s` anew."""
        ...


Handler = Callable[[BusMessage], Awaitable[bytes]]


class Bus(Protocol):
    """What the system needs of a messaging layer."""

    @property
    def connected(self) -> bool: ...

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Tell whoever listens now.

        Raises:
            Unavailable: The connection is gone; nothing was sent.
        """
        ...

    def subscribe(self, subject: str, queue: str = "") -> AbstractAsyncContextManager[AsyncIterator[BusMessage]]:
        """Listen to a subject or a pattern; with `queue`, share the messages with the others of that group.

        The subscription stands when the context is entered: nothing published afterwards is missed. A
        listener that falls more than the adapter's bound behind gets `Unavailable`, never a silent gap.
        """
        ...

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        """Ask, and wait for one answer.

        Raises:
            Unavailable: Nobody serves the subject, or nobody answered within `timeout_s`.
        """
        ...

    def serve(self, subject: str, handler: Handler, queue: str = "") -> AbstractAsyncContextManager[None]:
        """Answer requests on `subject` with what `handler` returns, while the context is open.

        Several servers of one `queue` share the requests. Requests are handled concurrently. A handler that
        raises answers with the header `Treadle-Error` and the message as data.
        """
        ...

    async def enqueue(
        self, subject: str, data: bytes, message_id: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Queue a message durably (as durably as the adapter can).

        Args:
            message_id: A second message with this id is dropped within the queue's window.
        Returns:
            False when it was dropped as a duplicate.
        Raises:
            Unavailable: No queue takes this subject, or the broker did not confirm; ask again with the same id.
        """
        ...

    def consume(
        self, consumer: str, subject: str, *, ack_wait_s: float = 30.0, limit: int = 256
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Take queued messages of `subject`, shared with every consumer of the same name, in this process or not.

        Args:
            consumer: The cursor's name; it outlives this process.
            ack_wait_s: Seconds after which an unsettled message is delivered again.
            limit: How many messages may be held unsettled at once.
        """
        ...

    async def close(self) -> None: ...
