"""Messages that nobody took: counted, and the last of them kept with the reason."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pykka

from ...events.errors import TreadleError
from ...events.logs import get_logger
from .future import Reply
from .mailbox import Envelope, is_stop

__all__ = ["ActorDead", "DeadLetter", "DeadLetterObserver", "DeadLetters"]

logger = get_logger(__name__)


class ActorDead(TreadleError, pykka.ActorDeadError):
    """The address has no actor that takes the message."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address!r} did not take the message: {reason}")
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, where it was sent to, and why nobody took it."""

    address: str
    message: Any
    reason: str


DeadLetterObserver: TypeAlias = Callable[[DeadLetter], None]


class DeadLetters:
    """The dead letters of a system. Thread-safe. Memory is bounded by `kept` messages."""

    def __init__(self, kept: int = 100) -> None:
        self.last: deque[DeadLetter] = deque(maxlen=kept)
        self.by_reason: Counter[str] = Counter()
        self._observers: list[DeadLetterObserver] = []
        self._lock = threading.RLock()  # re-entrant for the same reason as the one of `future.py`

    @property
    def count(self) -> int:
        """How many there were, kept or not."""
        return self.by_reason.total()

    def observe(self, observer: DeadLetterObserver) -> Callable[[], None]:
        """Call `observer` for each dead letter, in the thread it died in. Returns a function that ends this."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def add(self, address: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """Bury a message and tell whoever asked: `error` if given, else `ActorDead`.

        A stop message is no dead letter: what it asks for is so.
        """
        if is_stop(envelope):
            answer(envelope, value=False)
            return
        letter = DeadLetter(address, envelope.message, reason)
        with self._lock:
            self.by_reason[reason] += 1
            self.last.append(letter)
        for observer in tuple(self._observers):
            try:
                observer(letter)
            except Exception:  # an observer that fails must not take the teller with it
                logger.exception("an observer of dead letters failed on a message to %r", address)
        answer(envelope, error=error or ActorDead(address, reason))

    def __repr__(self) -> str:
        return f"<DeadLetters {self.count}, {len(self.last)} kept>"


def answer(envelope: Envelope, value: Any = None, error: BaseException | None = None) -> None:
    """Answer whoever asked, if somebody did and has no answer yet."""
    reply = envelope.reply_to
    if reply is None:
        return
    if isinstance(reply, Reply):
        reply.settle(value, error)
    elif error is not None:
        reply.set_exception((type(error), error, error.__traceback__))
    else:
        reply.set(value)
