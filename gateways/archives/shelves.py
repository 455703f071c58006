"""The archives of a journal at hand: which parts of which files hold what is asked for, and the newest few unpacked.

Used on threads: a block is 256 KiB of JSON, and comes from a disk that may be far away.
"""

import errno
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from heapq import merge
from itertools import islice
from pathlib import Path

from ...events.envelope import Recorded
from ...events.errors import Unavailable
from .archive_file import Block, Damaged, Record, read_block, read_index
from .catalog import Archive, Shelved

KEPT_BLOCKS = 32
KEPT_INDEXES = 64

Part = tuple[int, int]
"""A part of a file that cannot be read: the archive's id, and the part as `Damaged` names it."""


class Shelves:
    """Reads archives. Safe to use from several threads."""

    def __init__(self) -> None:
        # What raises is not kept: a file that is put back is read.
        self._index = lru_cache(KEPT_INDEXES)(_read_index)
        self._block = lru_cache(KEPT_BLOCKS)(_read_block)

    def stream(self, archive: Archive, shelved: Shelved, after: int) -> Iterator[Recorded]:
        """The events of `shelved` with a version above `after`, in order.

        Raises:
            Damaged, CorruptEvent: When it comes to an event that cannot be read.
            Unavailable: The directory cannot be reached.
        """
        wanted = shelved.positions[max(after - shelved.after, 0) :]
        if not wanted:
            return
        last = 0
        for block in self._index(archive):
            if block.last_position < wanted[0] or block.first_position > wanted[-1]:
                continue
            if not any(block.first_position <= position <= block.last_position for position in wanted):
                continue
            for record in self._block(archive, block):
                if record.stream == shelved.stream and record.version > after:
                    last = record.position
                    yield record.recorded
        assert last == wanted[-1], f"{archive.path} ends {shelved.stream!r} at {last}, the catalog at {wanted[-1]}"

    def between(
        self, archives: Sequence[Archive], after: int, upto: int, limit: int, category: str, skip: Collection[Part]
    ) -> tuple[list[Recorded], Damaged | None]:
        """At most `limit` events of these archives above position `after` and not above `upto`, in order.

        Args:
            skip: Parts that are known to be damaged.
        Returns:
            Those before the first part that turns out to be damaged, and what is wrong with it.
        Raises:
            Unavailable: A directory cannot be reached.
        """
        found: list[Recorded] = []
        parts = [self._of_one(archive, after, upto, category, skip) for archive in archives]
        try:
            for record in islice(merge(*parts, key=_position), limit):
                found.append(record.recorded)
        except Damaged as damaged:
            return [event for event in found if event.position < damaged.first_position], damaged
        return found, None

    def _of_one(
        self, archive: Archive, after: int, upto: int, category: str, skip: Collection[Part]
    ) -> Iterator[Record]:
        if archive.last_position <= after or archive.first_position > upto or (archive.id, -1) in skip:
            return
        for block in self._index(archive):
            if block.last_position <= after or block.first_position > upto or (archive.id, block.offset) in skip:
                continue
            for record in self._block(archive, block):
                if after < record.position <= upto and (not category or record.stream.partition("-")[0] == category):
                    yield record


def _position(record: Record) -> int:
    return record.position


def _read_index(archive: Archive) -> Sequence[Block]:
    with _reaching(archive):
        return read_index(archive.path, archive)


def _read_block(archive: Archive, block: Block) -> list[Record]:
    with _reaching(archive):
        return read_block(archive.path, archive, block)


@contextmanager
def _reaching(archive: Archive) -> Generator[None]:
    """Tells a file that is damaged from one that is not there now, but will be."""
    try:
        yield
    except OSError as exc:
        raise _unreachable(archive, exc) from exc
    except Damaged as exc:
        if not _has_archives(Path(archive.directory)):
            raise _unreachable(archive, FileNotFoundError(errno.ENOENT, "no archive is there")) from exc
        raise


def _has_archives(directory: Path) -> bool:
    """An empty directory is where something is to be mounted."""
    try:
        return any(path.name.endswith(SUFFIX) for path in directory.iterdir())
    except FileNotFoundError:
        return False


def _unreachable(archive: Archive, exc: OSError) -> Unavailable:
    return Unavailable(
        f"archive {str(archive.path)!r}",
        f"{exc.strerror or exc}; mount {archive.directory!r}, or copy the archives there "
        f"(SHA-256 of this one: {archive.sha256})",
        5.0,
    )


SUFFIX = ".jsonl.gz"
"""The end of an archive's name."""
