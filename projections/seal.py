"""Seals: signed statements of how far the journal and the audit went, kept apart from both.

A seal says: "the first `events` events of the journal, up to `position`, have this `journal_hash`, and the first
`entries` entries of the audit end in this `entry_hash`". Who cuts, edits or replaces the journal or the audit later,
however consistently, cannot make it agree with a seal that was made before, unless they hold the private key or remove
the seals as well: so copy the seals, or the newest one, to where those who can write the journal cannot write.

A seal is one line of JSON. Its last member is the signature (hex) of the line without that member:

    {"treadle":"audit-seal","position":812,"events":812,…,"public_key":"…","signature":"…"}
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import msgspec
from msgspec import Struct

from ..events.errors import Undecodable

SEAL = "audit-seal"


class Signer(Protocol):
    """Holds a private key. `gateways/signing.py` has one for Ed25519."""

    @property
    def public_key(self) -> str:
        """The key to verify with, hex."""
        ...

    def sign(self, message: bytes) -> bytes: ...


CheckSignature: TypeAlias = Callable[[str, bytes, bytes], bool]
"""Whether a public key (hex), a message and a signature belong together."""


class SealLog(Protocol):
    """Where seals are kept: a file that only grows, apart from the journal and the views."""

    def append(self, line: bytes) -> None:
        """Keep a seal; on disk when it returns.

        Raises:
            Unavailable: It was not kept.
        """
        ...

    def lines(self) -> Iterable[bytes]:
        """All seals, the oldest first, without line ends."""
        ...


class MemorySeals:
    """Seals of a journal in memory: the newest `kept` of them."""

    def __init__(self, kept: int = 1000) -> None:
        self._lines: deque[bytes] = deque(maxlen=kept)

    def append(self, line: bytes) -> None:
        self._lines.append(line)

    def lines(self) -> Iterable[bytes]:
        return tuple(self._lines)


class Seal(Struct, frozen=True):
    """What is signed. The fields' order is the order in the line.

    Attributes:
        events, position: How many events are covered, and where the last one stands in the journal.
        journal_hash: Over the hashes of these events, in order (see `accumulate` in `audit.py`).
        entries, entry_hash: How many audit entries are covered, and the hash of the last one.
        at: When it was signed, by the signer's clock.
        public_key: Hex; empty, as is the signature, when nobody signed.
    """

    treadle: str
    position: int
    events: int
    journal_hash: str
    entries: int
    entry_hash: str
    at: str
    public_key: str


class _SignedSeal(Seal, frozen=True):
    signature: str


_TAIL = b',"signature":"'


def sign(seal: Seal, signer: Signer | None) -> bytes:
    """The line of a seal; with an empty signature when there is no signer."""
    body = msgspec.json.encode(seal)
    signature = signer.sign(body).hex() if signer is not None else ""
    return b'%b,"signature":"%b"}' % (body[:-1], signature.encode())


def read_seal(line: bytes) -> tuple[Seal, bytes, bytes]:
    """A seal, the message that was signed, and the signature.

    Raises:
        Undecodable: The line is no seal.
    """
    try:
        found = msgspec.json.decode(line, type=_SignedSeal)
        signature = bytes.fromhex(found.signature)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise Undecodable(f"not a seal: {exc}") from exc
    return found, line[: line.rfind(_TAIL)] + b"}", signature
