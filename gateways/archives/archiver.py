"""Moves closed streams to archives, in steps of which each may be the last:

    locked      one archiving at a time; what an earlier one left unfinished is removed
    begun       the file's name is noted in the journal
    written     to a temporary name, and fsynced
    verified    read back, every byte, every event, every chain
    named       renamed, and the directory fsynced
    moved       one transaction: the rows go, the catalog has them
    swept       payloads that no event in the journal names any more go

Killed before "moved", the journal has all events and the file is removed by the next archiving; after it the archive
has them. Nothing is read from a file that was not verified.

What stays in any case is the stream of the journal's first event, by which its relay knows it, and that of its newest
event, by which everybody knows where it ends.
"""

import os
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from ...events.call import CallEnded
from ...events.envelope import Recorded, read_stored
from ...events.errors import ConfigError, CorruptEvent, Unavailable
from ...events.run import CLOSING_TAGS
from .archive_file import check, write
from .catalog import Archive, Closing, Shelved, Store
from .shelves import SUFFIX

FILE_BYTES = 16 * 1024 * 1024
"""How much goes into one file, before compression. Its rows leave the journal in one transaction."""


CLOSING = CLOSING_TAGS | {CallEnded.event_tag}
"""What ends a stream for good: a run, and a worker's record of a call."""


class Kept(Struct, frozen=True):
    """A closed stream that stays in the journal, and why."""

    stream: str
    why: str


class Report(Struct, frozen=True):
    """What an archiving did.

    Attributes:
        removed: Files that an earlier archiving had left unfinished.
        blobs: Payloads that went with their events.
    """

    archives: list[Archive]
    kept: list[Kept]
    removed: list[str]
    blobs: int

    @property
    def streams(self) -> int:
        return sum(archive.streams for archive in self.archives)

    @property
    def events(self) -> int:
        return sum(archive.events for archive in self.archives)


def nobody(step: str) -> None:
    """Is told a step, and does nothing."""


class Archiver:
    """Moves the streams of one journal that were closed before a time.

    Args:
        directory: Where the files go; None for the journal's own place.
        closing_types: A stream is closed while its last event is of one of these.
        told: Called after each step with its name.
    """

    def __init__(
        self,
        store: Store,
        *,
        closed_before: datetime,
        directory: Path | None = None,
        closing_types: Collection[str] = CLOSING,
        file_bytes: int = FILE_BYTES,
        told: Callable[[str], None] = nobody,
    ) -> None:
        self._store = store
        self._before = closed_before
        chosen = directory if directory is not None else store.default_directory
        if chosen is None:
            raise ConfigError(
                f"journal {store.name!r} has no place for archives of its own: name a directory that every node "
                "reaches under the same path, with --into DIR"
            )
        self._directory = chosen.absolute()
        self._types = sorted(closing_types)
        self._file_bytes = file_bytes
        self._told = told
        self._staying = ""
        self._kept: dict[str, Kept] = {}

    def run(self) -> Report:
        """Move them. Blocks; run it on a thread.

        Raises:
            ConfigError: The directory cannot be made.
            Unavailable: Another archiving is at work, the journal or the directory does not serve. What was moved
                until then is moved.
            ReadOnly: The journal may not be written.
        """
        with self._store.locked():
            self._store.prepare()
            removed = [self._remove(*unfinished) for unfinished in self._store.unfinished()]
            self._told("locked")
            archives: list[Archive] = []
            if (ends := self._store.ends()) is not None:
                first, last = ends
                self._staying = first
                self._make_directory()
                batch: list[list[Recorded]] = []
                size = 0
                for closing in self._store.closings(self._types, 0):
                    if events := self._closed(closing, last):
                        batch.append(events)
                        size += sum(len(event.stored) + len(event.data) for event in events)
                    if size >= self._file_bytes:
                        archives.append(self._archive(batch))
                        batch, size = [], 0
                if batch:
                    archives.append(self._archive(batch))
            blobs = self._store.drop_blobs()
            self._told("swept")
        return Report(archives, list(self._kept.values()), removed, blobs)

    def _closed(self, closing: Closing, last: int) -> list[Recorded]:
        """The events of the stream that this event closes; nothing when it does not, or when they stay."""
        position, stream, version, stored = closing
        try:
            closed_at = read_stored(stored, position, stream=stream, version=version).at
            if closed_at >= self._before or stream == self._staying or position == last:
                return []
            if self._store.head(stream).version != version:
                return []  # it went on
            return list(self._store.events(stream))
        except CorruptEvent as exc:
            self._kept[stream] = Kept(stream, str(exc))
            return []

    def _archive(self, streams: Sequence[list[Recorded]]) -> Archive:
        events = sorted((event for stream in streams for event in stream), key=lambda event: event.position)
        name = f"events-{events[0].position}-{events[-1].position}-{secrets.token_hex(4)}{SUFFIX}"
        id = self._store.begin(str(self._directory), name)
        shelved = [
            Shelved(of[0].stream, of[0].version - 1, of[-1].head, id, [event.position for event in of])
            for of in streams
        ]
        self._told("begun")
        path = self._directory / name
        temporary = path.with_name(_temporary(name))
        try:
            archive = Archive(id, str(self._directory), name, 0, 0, 0, 0, "", 0, "", 0, 0)
            archive = write(temporary, self._store.name, events, shelved, archive)
            self._told("written")
            check(temporary, archive, events, shelved)
            self._told("verified")
            temporary.rename(path)
            _sync(self._directory)
            self._told("named")
        except OSError as exc:
            self._remove(id, path)
            raise Unavailable(f"archive {str(path)!r}", f"{exc.strerror or exc}; nothing was moved to it", 5.0) from exc
        self._store.move(archive, shelved)
        self._told("moved")
        return archive

    def _remove(self, id: int, path: Path) -> str:
        for leftover in (path, path.with_name(_temporary(path.name))):
            leftover.unlink(missing_ok=True)
        self._store.abandon(id)
        return str(path)

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(exist_ok=True)
            _sync(self._directory.parent)
        except OSError as exc:
            raise ConfigError(
                f"archives cannot go to {str(self._directory)!r}: {exc.strerror or exc}; name another directory with "
                "--into DIR"
            ) from exc


def _temporary(name: str) -> str:
    # Not with the archives' suffix: nobody may take it for one.
    return f"{name}.part"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
