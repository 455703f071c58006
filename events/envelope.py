"""The envelope around every event, its stored form, and the hash chain of a stream.

The stored form is one JSON object, the same bytes in the journal, on NATS and in an archive. Its last member,
`hash`, is the SHA-256 (hex) of the object without that member; `prev_hash` is the hash of the stream's event
before it, 64 zeros for the first. So anybody can verify a stream with a JSON file and `sha256`:

    {"id": …, "stream": "run-7f3a", "version": 2, …, "prev_hash": "…", "data": {…}, "hash": "…"}

`position` is the journal's and not part of the stored form: the same event keeps its bytes wherever it goes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import Any, NewType, cast

import msgspec

from .errors import CorruptEvent, Undecodable
from .event import Event, UnknownEvent, event_type
from .upcasting import lift

StreamName = NewType("StreamName", str)
Position = NewType("Position", int)

Row = tuple[str, int, str, bytes]
"""An event on its way into a journal: stream, version, type, stored form."""

GENESIS = "0" * 64
_TAIL = len(b',"hash":""}') + 64
_BLOB_KEY = b',"blob":"'
_BLOB = -_TAIL - len(b'"') - 64


class Meta(msgspec.Struct, frozen=True, gc=False):
    """Whose events these are and what led to them: the same for all events of an append.

    Attributes:
        user_id: Whose events these are; empty for anonymous.
        session_id, run_id: The conversation and the run, where there is one.
        correlation_id: The conversation of messages that all this belongs to.
        causation_id: The event or message that led here.
        traceparent: W3C trace context of the caller.
        epoch: The writer's fencing number: grows with each activation that writes.
    """

    user_id: str = ""
    session_id: str = ""
    run_id: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    epoch: int = 0


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The stored form, without `hash`. The fields' order is the order in the JSON text."""

    id: str
    stream: str
    version: int
    type: str
    schema: int
    at: datetime
    user_id: str
    session_id: str
    run_id: str
    correlation_id: str
    causation_id: str
    traceparent: str
    epoch: int
    key_id: str
    prev_hash: str
    data: Any
    blob: str = ""


class _StoredEnvelope(msgspec.Struct, frozen=True):
    """How an envelope is read back: the payload stays bytes until somebody wants it."""

    id: str
    stream: str
    version: int
    type: str
    schema: int
    at: datetime
    user_id: str
    session_id: str
    run_id: str
    correlation_id: str
    causation_id: str
    traceparent: str
    epoch: int
    key_id: str
    prev_hash: str
    data: msgspec.Raw
    hash: str
    blob: str = ""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The end of a stream: what the next append builds on. Version 0 is an empty stream."""

    version: int = 0
    hash: str = GENESIS


EMPTY = Head()


class Recorded(msgspec.Struct, frozen=True, dict=True):
    """An event as the journal holds it.

    `stored` are the bytes in the journal, `data` the payload's JSON (fetched from the blob store if it was
    claim-checked), `position` its place in the journal.
    """

    id: str
    stream: str
    version: int
    position: int
    type: str
    schema: int
    at: datetime
    user_id: str
    session_id: str
    run_id: str
    correlation_id: str
    causation_id: str
    traceparent: str
    epoch: int
    key_id: str
    prev_hash: str
    hash: str
    data: bytes
    stored: bytes
    blob: str = ""

    @cached_property
    def event(self) -> Event:
        """The event, lifted to today's schema; `UnknownEvent` when its tag or schema is not known here.

        Raises:
            CorruptEvent: The payload does not fit its type.
        """
        try:
            return decode_event(self.type, self.schema, self.data)
        except Undecodable as exc:
            raise CorruptEvent(self.stream, self.version, self.position, str(exc)) from exc

    @property
    def category(self) -> str:
        return self.stream.partition("-")[0]

    @property
    def head(self) -> Head:
        return Head(self.version, self.hash)


_encode = msgspec.json.Encoder().encode
_decode_envelope = msgspec.json.Decoder(_StoredEnvelope).decode
_sha256 = hashlib.sha256
# msgspec leaves bytes that are no UTF-8 to the standard library.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


def encode_event(event: Event) -> bytes:
    """The payload's JSON: the fields alone."""
    return bytes(event.data) if isinstance(event, UnknownEvent) else _encode(event)


@cache
def _decoder(cls: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(cls)


def decode_event(tag: str, schema: int, data: bytes) -> Event:
    """The event of a stored payload.

    Raises:
        Undecodable: The payload does not fit the type filed under `tag`.
    """
    cls = event_type(tag)
    if cls is None:
        return UnknownEvent(type=tag, schema=schema, data=msgspec.Raw(data))
    try:
        if schema == cls.event_schema:
            return _decoder(cls).decode(data)
        lifted = lift(tag, msgspec.json.decode(data), schema, cls.event_schema)
        if lifted is None:
            return UnknownEvent(type=tag, schema=schema, data=msgspec.Raw(data))
        return msgspec.convert(lifted, cls)
    except _UNREADABLE as exc:
        raise Undecodable(f"payload of {tag!r} schema {schema}: {exc}") from exc


def link(envelope: Envelope) -> tuple[bytes, str]:
    """The stored form of `envelope` and its hash."""
    body = _encode(envelope)
    digest = _sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}'.encode(), digest


def hash_of(stored: bytes) -> str:
    """What the hash of these stored bytes has to be."""
    return _sha256(stored[:-_TAIL] + b"}").hexdigest()


def read_stored(
    stored: bytes, position: int, blob: bytes | None = None, *, stream: str = "", version: int = 0
) -> Recorded:
    """A stored event as `Recorded`; its hash is checked, its place in the chain is not (`verify_chain` does).

    Args:
        blob: The payload, when the event names one.
        stream, version: Where the bytes were found, to compare and for the error.
    Raises:
        CorruptEvent: The bytes are no event, or not the event that was stored here.
    """
    try:
        found = _decode_envelope(stored)
    except _UNREADABLE as exc:
        raise CorruptEvent(stream, version, position, str(exc)) from exc
    where = stream or found.stream, version or found.version, position
    if hash_of(stored) != found.hash:
        raise CorruptEvent(*where, f"the bytes do not match their hash {found.hash[:12]}…")
    if stream and (found.stream, found.version) != (stream, version):
        raise CorruptEvent(*where, f"the row holds event {found.version} of {found.stream!r}")
    data = bytes(found.data)
    if found.blob:
        if blob is None or _sha256(blob).hexdigest() != found.blob:
            raise CorruptEvent(*where, f"its payload, blob {found.blob[:12]}…, is missing or was changed")
        data = blob
    return Recorded(
        found.id, found.stream, found.version, position, found.type, found.schema, found.at,
        found.user_id, found.session_id, found.run_id, found.correlation_id, found.causation_id,
        found.traceparent, found.epoch, found.key_id, found.prev_hash, found.hash, data, stored, found.blob,
    )  # fmt: skip


def blob_of(stored: bytes) -> str:
    """The digest of the blob that a stored event names, empty when it holds its payload itself."""
    # Found by its place: the member before `hash`. A payload cannot look like it, what stands there then is `}`.
    if stored[_BLOB - len(_BLOB_KEY) : _BLOB] != _BLOB_KEY:
        return ""
    return stored[_BLOB : _BLOB + 64].decode("ascii", "replace")


def verify_chain(events: Iterable[Recorded], head: Head = EMPTY) -> Head:
    """Checks that `events` continue a stream from `head` without a hole and returns its new head.

    Raises:
        CorruptEvent: Names the first event that is out of place.
    """
    for event in events:
        if event.version != head.version + 1:
            raise CorruptEvent(
                event.stream, event.version, event.position, f"it follows version {head.version}: events are missing"
            )
        if event.prev_hash != head.hash:
            raise CorruptEvent(
                event.stream,
                event.version,
                event.position,
                f"it was chained to {event.prev_hash[:12]}…, the event before it has {head.hash[:12]}…",
            )
        head = Head(event.version, event.hash)
    return head


def verify_read(events: Sequence[Recorded], after: int) -> None:
    """Checks that `events`, read from a stream, follow version `after` and one another.

    What `after` itself was is not known here; from 0 on this verifies the stream as it is.

    Raises:
        CorruptEvent: Names the first event that is out of place.
    """
    if events:
        verify_chain(events, Head(after, events[0].prev_hash) if after else EMPTY)


def envelopes(
    stream: str, head: Head, events: Sequence[Event], meta: Meta, ids: Sequence[str], at: datetime, limit_bytes: int
) -> tuple[list[Row], Head, list[tuple[str, bytes]]]:
    """`events` as rows on top of `head`, the new head, and the blobs to store beside them: digest and bytes.

    Payloads over `limit_bytes` are claim-checked: the envelope carries the digest, the blob the bytes.
    """
    # The hottest loop there is: what does not change is read once, and `link` is written out.
    rows: list[Row] = []
    blobs: list[tuple[str, bytes]] = []
    version, prev = head.version, head.hash
    user_id, session_id, run_id, epoch = meta.user_id, meta.session_id, meta.run_id, meta.epoch
    correlation_id, causation_id, traceparent = meta.correlation_id, meta.causation_id, meta.traceparent
    for event, id in zip(events, ids, strict=True):
        version += 1
        cls = type(event)
        tag, schema, data = cls.event_tag, cls.event_schema, cast(Any, event)
        if not tag:
            if not isinstance(event, UnknownEvent):
                raise TypeError(f"{cls.__qualname__} has no tag and cannot be stored")
            tag, schema, data = event.type, event.schema, event.data
        envelope = Envelope(
            id, stream, version, tag, schema, at, user_id, session_id, run_id, correlation_id, causation_id,
            traceparent, epoch, "", prev, data,
        )  # fmt: skip
        body = _encode(envelope)
        digest = _sha256(body).hexdigest()
        stored = body[:-1] + f',"hash":"{digest}"}}'.encode()
        if len(stored) > limit_bytes:
            payload = encode_event(event)
            if len(payload) > limit_bytes:
                blob = _sha256(payload).hexdigest()
                blobs.append((blob, payload))
                stored, digest = link(msgspec.structs.replace(envelope, data=None, blob=blob))
        rows.append((stream, version, tag, stored))
        prev = digest
    return rows, Head(version, prev), blobs
