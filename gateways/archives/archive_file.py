"""The file of an archive: gzip members one after the other, so that `zcat` shows all of it.

Each member but the last is a block of records in the order of their positions; the last one is the index:

    [position, "stream", version, length, payload_length]      one line for each event, then
    {"id": …, "hash": …}                                       the event as stored, `length` bytes and a newline
    …                                                          its claim-checked payload, if it has one, and a newline

    {"treadle_archive": 1, "journal": …, "blocks": […], "streams": […]}

The index says where each block begins and what its SHA-256 is; the journal's catalog says it of the index. So whatever
is read was checked first, and nothing else has to be read for it.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from ...events.envelope import EMPTY, Head, Recorded, read_stored, verify_chain
from ...events.errors import Undecodable
from .catalog import Archive, Shelved

FORMAT = 1
BLOCK_BYTES = 256 * 1024
"""How much goes into a block, before compression: what is read and unpacked for one event."""

_LEVEL = 6


class Block(Struct, frozen=True, array_like=True):
    """A part of the file; `sha256` is that of its compressed bytes."""

    offset: int
    size_bytes: int
    sha256: str
    first_position: int
    last_position: int
    events: int


class StreamEntry(Struct, frozen=True, array_like=True):
    """What the file has of a stream: the versions above `after`, up to `version`, whose hash this is."""

    stream: str
    after: int
    version: int
    hash: str
    positions: list[int]


class Index(Struct, frozen=True):
    """The last member of the file."""

    treadle_archive: int
    journal: str
    blocks: list[Block]
    streams: list[StreamEntry]


class _Blocks(Struct, frozen=True):
    """The part of the index that readers need."""

    treadle_archive: int
    blocks: list[Block]


class Record(NamedTuple):
    """An event in a block."""

    position: int
    stream: str
    version: int
    stored: bytes
    payload: bytes | None

    @property
    def recorded(self) -> Recorded:
        """Raises `CorruptEvent`."""
        return read_stored(self.stored, self.position, self.payload, stream=self.stream, version=self.version)


class Damaged(Undecodable):
    """A part of an archive is not what was written.

    Attributes:
        part: The offset of the block; -1 for the index, and so the whole file.
        first_position, last_position: What cannot be read because of it lies in between.
    """

    def __init__(self, archive: Archive, part: int, first_position: int, last_position: int, why: str) -> None:
        super().__init__(f"archive {str(archive.path)!r} {why}; put a whole copy of that file back")
        self.archive = archive
        self.part = part
        self.first_position = first_position
        self.last_position = last_position


class _Members:
    """Writes the members of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._whole = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._whole.hexdigest()

    def add(self, raw: bytes) -> tuple[int, int, str]:
        """Compress and write; returns where the member begins, its size, and its SHA-256."""
        # No time in it: the same events make the same file.
        compressed = gzip.compress(raw, _LEVEL, mtime=0)
        offset = self._file.tell()
        self._file.write(compressed)
        self._whole.update(compressed)
        return offset, len(compressed), hashlib.sha256(compressed).hexdigest()


_header = msgspec.json.Decoder(tuple[int, str, int, int, int]).decode


def write(
    path: Path, journal: str, events: Sequence[Recorded], shelved: Sequence[Shelved], archive: Archive
) -> Archive:
    """Write the events, which are in the order of their positions, to a new file, and fsync it.

    Returns:
        `archive` with what is known of the file now.
    """
    blocks: list[Block] = []
    raw_bytes = 0
    with path.open("xb") as file:
        members = _Members(file)
        lines: list[bytes] = []
        size, begun = 0, 0
        for number, event in enumerate(events):
            lines.append(_record(event))
            size += len(lines[-1])
            if size >= BLOCK_BYTES or number == len(events) - 1:
                offset, size_bytes, sha256 = members.add(b"".join(lines))
                places = events[begun].position, event.position, number + 1 - begun
                blocks.append(Block(offset, size_bytes, sha256, *places))
                raw_bytes += size
                lines, size, begun = [], 0, number + 1
        streams = [StreamEntry(s.stream, s.after, s.head.version, s.head.hash, s.positions) for s in shelved]
        index = members.add(msgspec.json.encode(Index(FORMAT, journal, blocks, streams)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return msgspec.structs.replace(
        archive,
        events=len(events),
        streams=len(streams),
        raw_bytes=raw_bytes,
        size_bytes=index[0] + index[1],
        sha256=members.sha256,
        index_offset=index[0],
        index_sha256=index[2],
        first_position=events[0].position,
        last_position=events[-1].position,
    )


def check(path: Path, archive: Archive, events: Sequence[Recorded], shelved: Sequence[Shelved]) -> None:
    """Read the file back: every byte of it, every event, every chain.

    Raises:
        Undecodable: It does not hold what it should.
    """
    expected = iter(events)
    ends = {part.stream: Head(part.after, _before(part, events)) for part in shelved}
    whole = hashlib.sha256(path.read_bytes()).hexdigest()
    if whole != archive.sha256:
        raise Damaged(archive, -1, 0, 0, f"was not written whole: it has SHA-256 {whole}, expected {archive.sha256}")
    for block in read_index(path, archive):
        for record in read_block(path, archive, block):
            event, found = next(expected, None), record.recorded
            if event is None or (found.position, found.stored, found.data) != (
                event.position,
                event.stored,
                event.data,
            ):
                raise Damaged(archive, block.offset, 0, 0, f"has another event at position {record.position}")
            ends[found.stream] = verify_chain([found], ends[found.stream])
    if next(expected, None) is not None or ends != {part.stream: part.head for part in shelved}:
        raise Damaged(archive, -1, 0, 0, "lacks events that were written to it")


def read_index(path: Path, archive: Archive) -> Sequence[Block]:
    """The blocks of a file.

    Raises:
        Damaged: The file is missing, cut off, or its index was changed.
        OSError: It cannot be reached.
    """
    everything = -1, archive.first_position, archive.last_position
    try:
        compressed = _part(path, archive.index_offset, archive.size_bytes - archive.index_offset)
    except FileNotFoundError:
        why = f"is missing, its SHA-256 was {archive.sha256}"
        raise Damaged(archive, *everything, why) from None
    found = hashlib.sha256(compressed).hexdigest()
    if found != archive.index_sha256:
        why = f"was changed: its index has SHA-256 {found}, expected {archive.index_sha256}"
        raise Damaged(archive, *everything, why + _length(path, archive))
    index = msgspec.json.decode(gzip.decompress(compressed), type=_Blocks)
    if index.treadle_archive > FORMAT:
        why = f"has format {index.treadle_archive}, this Treadle knows {FORMAT}: upgrade Treadle"
        raise Damaged(archive, *everything, why)
    return index.blocks


def read_block(path: Path, archive: Archive, block: Block) -> list[Record]:
    """The records of a block.

    Raises:
        Damaged: It was changed or cut off.
        OSError: It cannot be reached.
    """
    place = block.offset, block.first_position, block.last_position
    try:
        compressed = _part(path, block.offset, block.size_bytes)
    except FileNotFoundError:
        raise Damaged(archive, *place, f"is missing, its SHA-256 was {archive.sha256}") from None
    found = hashlib.sha256(compressed).hexdigest()
    if found != block.sha256:
        why = f"was changed: the block at byte {block.offset} has SHA-256 {found}, expected {block.sha256}"
        raise Damaged(archive, *place, why + _length(path, archive))
    try:
        return list(_records(gzip.decompress(compressed)))
    except (EOFError, OSError, zlib.error, ValueError, msgspec.MsgspecError) as exc:
        raise Damaged(archive, *place, f"has a block at byte {block.offset} of another form ({exc})") from exc


def _record(event: Recorded) -> bytes:
    payload = event.data if event.blob else b""
    header = (event.position, event.stream, event.version, len(event.stored), len(payload))
    parts = [msgspec.json.encode(header), event.stored, *([payload] if event.blob else [])]
    return b"\n".join(parts) + b"\n"


def _records(raw: bytes) -> Iterator[Record]:
    at = 0
    while at < len(raw):
        newline = raw.index(b"\n", at)
        position, stream, version, length, payload_length = _header(raw[at:newline])
        at = newline + 1
        stored = raw[at : at + length]
        at += length + 1
        payload = None
        if payload_length:
            payload = raw[at : at + payload_length]
            at += payload_length + 1
        yield Record(position, stream, version, stored, payload)


def _part(path: Path, offset: int, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size_bytes)


def _length(path: Path, archive: Archive) -> str:
    size = path.stat().st_size
    return "" if size == archive.size_bytes else f" (the file has {size} bytes of {archive.size_bytes})"


def _before(part: Shelved, events: Sequence[Recorded]) -> str:
    """The hash that the first event of this part was chained to."""
    if part.after == 0:
        return EMPTY.hash
    first = part.positions[0]
    return next(event.prev_hash for event in events if event.position == first)
