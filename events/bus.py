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

from .errors import ConfigError, Refused, TreadleError, Unavailable, Undecodable

MESSAGE_ID_HEADER = "Nats-Msg-Id"
"""Carries the `message_id` of a queued message."""

ERROR_HEADER = "Treadle-Error"
"""Set on an answer that is an error: the name of what the caller does next, see `answer`."""


class BusMessage(Struct, frozen=True):
    """One published or asked message. An answer has the subject that was asked."""

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
        listener that falls more than the adapter's bound behind, or whose connection was lost, is given what
        came before and then `Unavailable`, never a silent gap. `Bus.close` ends the iteration.
        """
        ...

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        """Ask, and wait for one answer.

        Raises:
            Unserved: Nobody serves the subject; the request reached nobody.
            Unavailable: Nobody answered within `timeout_s`, or the connection is gone.
        """
        ...

    def serve(self, subject: str, handler: Handler, queue: str = "") -> AbstractAsyncContextManager[None]:
        """Answer requests on `subject` with what `handler` returns, while the context is open.

        Several servers of one `queue` share the requests. Requests are handled concurrently. A handler that
        raises answers with the header `Treadle-Error` and the message as data; the caller reads the reply
        through `answer`. When the context ends, what is still being handled is cancelled and answered so.
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
            TooLarge: More than fits into one message.
        """
        ...

    def consume(
        self, consumer: str, subject: str, *, ack_wait_s: float = 30.0, limit: int = 256
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Take queued messages of `subject`, shared with every consumer of the same name, in this process or not.

        Args:
            consumer: The cursor's name; it outlives this process. On one queue the subjects of two consumers
                must not overlap, so consumers are named for what they take: one agent's signals, say.
            ack_wait_s: Seconds after which an unsettled message is delivered again.
            limit: How many messages this consumer may hold unsettled at once.
        Raises:
            Unavailable: No queue takes this subject, or the broker does not answer. Once entered, an outage only
                pauses the iteration.
            ConfigError: The consumer exists with another subject, or another consumer takes some of it.
        """
        ...

    async def close(self) -> None: ...


_ANSWERED: tuple[type[TreadleError], ...] = (Refused, Unavailable, ConfigError, Undecodable)


def error_answer(error: Exception) -> tuple[bytes, dict[str, str]]:
    """Data and headers that tell the caller of `error`; `answer` is the other side.

    What crosses the wire is what the caller does next and the message, not the class.
    """
    kind = next((known.__name__ for known in _ANSWERED if isinstance(error, known)), "Fault")
    text = f"{error.what}: {error.why}" if isinstance(error, Unavailable) else str(error) or type(error).__name__
    return text.encode("utf-8", "backslashreplace"), {ERROR_HEADER: kind}


def answer(reply: BusMessage) -> bytes:
    """The data of `reply`, or the error that it carries.

    Raises:
        Refused, Unavailable, ConfigError, Undecodable: The handler raised one of these or one of their kind.
        TreadleError: The handler failed in another way.
    """
    kind = reply.headers.get(ERROR_HEADER)
    if kind is None:
        return reply.data
    text = reply.data.decode("utf-8", "replace")
    match kind:
        case "Unavailable":
            raise Unavailable(repr(reply.subject), text)
        case "Refused":
            raise Refused(text)
        case "ConfigError":
            raise ConfigError(text)
        case "Undecodable":
            raise Undecodable(text)
        case _:
            raise TreadleError(f"{reply.subject!r} failed: {text}")
