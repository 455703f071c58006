"""Signals: how the world speaks to a session."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from .errors import Undecodable

Urgency = Literal["low", "normal", "high", "critical"]

UNTOLD = frozenset({"", "custom", "nats", "cli", "event", "normal"})
"""What `source`, `type` and `urgency` are when the sender has said nothing: the way it came, any event, as usual."""

SIGNAL_LIMIT_BYTES = 256 * 1024
"""A signal above this size is parked."""


DEPTH_LIMIT = 64
"""How deep JSON from outside may be nested: it is encoded, shown and decoded again by code that recurses."""


_NOTHING: tuple[Any, ...] = (None, {}, "")
"""Payloads that say nothing."""


def too_deep(value: Any, limit: int = DEPTH_LIMIT) -> bool:
    """Whether decoded JSON is nested deeper than `limit` levels."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _inside(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _inside(value: Any) -> list[Any]:
    """What a JSON object or array holds."""
    held: Any = value
    return list(held.values() if isinstance(value, dict) else held)


class RuntimeSignal(Struct, frozen=True, omit_defaults=True):
    """One thing that happened, whoever noticed it: a gateway, a timer, a webhook, an application.

    Attributes:
        id: Unique; a second signal with the same id has no second effect. Empty: the transport gives one.
        summary: What a person would say of it; it opens the prompt of the run.
        source, type, urgency, observed_at: Who noticed it, what kind of thing it is, how much it matters, and when it
            was seen (ISO 8601 with a zone); shown to the model where the sender has said so.
        payload: JSON; shown to the model as it is.
        dedupe_key: The producer's own key: signals of one session that share it have one effect.
    """

    summary: str
    id: str = ""
    source: str = "custom"
    type: str = "event"
    payload: Any = None
    urgency: Urgency = "normal"
    session_id: str = ""
    run_id: str = ""
    dedupe_key: str = ""
    observed_at: str = ""

    @classmethod
    def create(cls, content: str, **fields: Any) -> "RuntimeSignal":
        """A signal that says `content`; the other fields by name."""
        return cls(summary=content, **fields)

    @property
    def prompt(self) -> str:
        """What the run is asked: the summary, a line for each thing that was said about it, the payload as JSON.

        It follows from the signal alone, and the run records it: a replay reads the very same words. A signal that is
        nothing but words is asked in just these words.
        """
        said = {"type": self.type, "urgency": self.urgency, "source": self.source, "observed_at": self.observed_at}
        # On one line each: a line break in a name would let its sender write the next line.
        lines = [f"{name}: {' '.join(text.split())}" for name, text in said.items() if text.strip() not in UNTOLD]
        payload = ""
        if self.payload not in _NOTHING:
            payload = msgspec.json.format(msgspec.json.encode(self.payload), indent=2).decode()
        return "\n\n".join(filter(None, (self.summary, "\n".join(lines), payload)))


class _Wire(Struct, frozen=True, forbid_unknown_fields=True):
    summary: str
    id: str = ""
    source: str = "nats"
    type: str = "event"
    payload: Any = None
    urgency: Urgency = "normal"
    dedupe_key: str = ""
    observed_at: str = ""


_decode = msgspec.json.Decoder(_Wire).decode


def decode_signal(data: bytes, signal_id: str) -> RuntimeSignal:
    """The signal in a message's bytes, JSON: `{"summary": …}` and what else there is to say.

    Args:
        signal_id: The id it gets when it brings none.
    Raises:
        Undecodable: Too large, no JSON, a missing or unknown field, or what `check_signal` refuses.
    """
    if len(data) > SIGNAL_LIMIT_BYTES:
        raise Undecodable(
            f"the signal has {len(data)} bytes, the limit is {SIGNAL_LIMIT_BYTES}; send a reference to the data instead"
        )
    try:
        wire = _decode(data)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Undecodable(f"the signal is not what docs/nats.md describes: {exc}") from exc
    signal = RuntimeSignal(
        summary=wire.summary,
        id=wire.id or signal_id,
        source=wire.source,
        type=wire.type,
        payload=wire.payload,
        urgency=wire.urgency,
        dedupe_key=wire.dedupe_key,
        observed_at=wire.observed_at,
    )
    check_signal(signal)
    return signal


def check_signal(signal: RuntimeSignal) -> None:
    """Refuse a signal that a session could not take.

    Raises:
        Undecodable: It is nested too deep, says nothing, or `observed_at` is no time.
    """
    if too_deep(signal.payload):
        raise Undecodable(f"the payload is nested deeper than {DEPTH_LIMIT} levels; send it as a text instead")
    if not signal.summary.strip() and signal.payload in _NOTHING:
        raise Undecodable("the signal has neither a summary nor a payload")
    if signal.observed_at and not _is_time(signal.observed_at):
        raise Undecodable(
            f"observed_at {signal.observed_at[:64]!r} is no ISO 8601 time with a zone, as 2026-01-01T00:00:00Z is"
        )


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False
