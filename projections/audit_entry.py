"""One entry of the audit, and its stored form.

The stored form is a JSON object in one line. Its last member, `hash`, is the SHA-256 (hex) of the object without that
member, and `prev_hash` is the hash of the entry before it (64 zeros for the first): as with events in the journal,
anybody can check it with a JSON parser and `sha256`.
"""

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ..events.errors import Undecodable
from .views import stamp


class AuditEntry(Struct, frozen=True):
    """Who did what.

    Attributes:
        sequence: 1, 2, 3 … without a hole.
        position, stream, version, event_id, event_hash: The event that this entry tells of.
        action: The event's tag.
        actor: `user:<id>`, `agent:<name>`, `process:<owner>`, `system`, `anonymous`, or who an approval was given by.
        entity: What it was done to, as `<kind>:<id>`.
        detail: A few names and numbers; never a text that somebody wrote.
        journal_hash: Over all events of the journal up to this one.
        prev_hash, hash: The chain.
    """

    sequence: int
    position: int
    at: datetime
    stream: str
    version: int
    event_id: str
    action: str
    actor: str
    entity: str
    user_id: str
    session_id: str
    run_id: str
    detail: dict[str, Any]
    event_hash: str
    journal_hash: str
    prev_hash: str
    hash: str


_TAIL = len(b',"hash":""}') + 64
_decode = msgspec.json.Decoder(AuditEntry).decode
_encode = msgspec.json.Encoder().encode
_FIELDS = AuditEntry.__struct_fields__[:-1]


def entry_body(entry: AuditEntry) -> bytes:
    """What is hashed: the object without `hash`."""
    body = {name: getattr(entry, name) for name in _FIELDS}
    body["at"] = stamp(entry.at)
    return _encode(body)


def entry_hash(entry: AuditEntry) -> str:
    """What the hash of this entry has to be."""
    return hashlib.sha256(entry_body(entry)).hexdigest()


def entry_line(entry: AuditEntry) -> bytes:
    """The stored form, with the hash that the entry has."""
    return b'%b,"hash":"%b"}' % (entry_body(entry)[:-1], entry.hash.encode())


def read_entry(line: bytes) -> tuple[AuditEntry, bool]:
    """The entry in a line, and whether the line's bytes match its hash.

    Raises:
        Undecodable: The line is no entry.
    """
    try:
        entry = _decode(line)
    except msgspec.MsgspecError as exc:
        raise Undecodable(f"not an audit entry: {exc}") from exc
    return entry, hashlib.sha256(line[:-_TAIL] + b"}").hexdigest() == entry.hash
