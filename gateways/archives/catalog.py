"""What a journal knows of its archives: which files there are, and which streams are in them.

The catalog is in the journal's own database, and changes in the transaction that removes the rows: an event is in the
journal or in an archive, and never in neither or in both.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from ...events.envelope import Head, Recorded


class Archive(Struct, frozen=True):
    """A file with the events of closed streams.

    Attributes:
        directory: Where it is.
        raw_bytes, size_bytes: Before compression, and after.
        sha256: Of the whole file.
        index_offset, index_sha256: Where its index begins, and what the rest of the file from there has to be.
    """

    id: int
    directory: str
    file: str
    events: int
    streams: int
    raw_bytes: int
    size_bytes: int
    sha256: str
    index_offset: int
    index_sha256: str
    first_position: int
    last_position: int

    @property
    def path(self) -> Path:
        return Path(self.directory, self.file)


class Shelved(Struct, frozen=True):
    """Events of one stream in one archive: the versions above `after`, up to its head, and their positions.

    A stream that was written to after it was archived may be archived again: it has several of these.
    """

    stream: str
    after: int
    head: Head
    archive: int
    positions: list[int]


class Place(NamedTuple):
    """An event's, as the catalog knows it."""

    position: int
    stream: str
    version: int


class Catalog(Protocol):
    """Reads what a journal knows of its archives. Belongs to the event loop."""

    async def archivings(self) -> int:
        """How often streams were moved; while it stands still, nothing else here changes."""
        ...

    async def archives(self) -> Sequence[Archive]:
        """All of them."""
        ...

    async def find(self, stream: str) -> Sequence[Shelved]:
        """Where the events of a stream are, by version; nothing when it was not archived."""
        ...

    async def contents(self, archive: int) -> Sequence[Shelved]:
        """All that is in one archive."""
        ...


class Closing(NamedTuple):
    """An event that may be the last of its stream."""

    position: int
    stream: str
    version: int
    stored: bytes


class Store(Protocol):
    """The archiver's hold on a journal's database. Used by one thread, and never by the one of the journal."""

    @property
    def name(self) -> str:
        """The journal's, for messages."""
        ...

    @property
    def default_directory(self) -> Path | None:
        """Where archives go when nobody says; None when that has to be said."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Held by one archiver at a time. The database or the kernel lets go of it when the process dies.

        Raises:
            Unavailable: Another one is at work.
        """
        ...

    def prepare(self) -> None:
        """Make the tables and the trigger, the first time."""
        ...

    def unfinished(self) -> Sequence[tuple[int, Path]]:
        """The files that were begun and from which nothing is read: what a killed archiver left."""
        ...

    def begin(self, directory: str, file: str) -> int:
        """Note that this file is being made. Returns its id."""
        ...

    def abandon(self, archive: int) -> None:
        """Forget a file that was begun."""
        ...

    def closings(self, types: Sequence[str], after: int) -> Iterator[Closing]:
        """The events of these types above position `after`, in order."""
        ...

    def ends(self) -> tuple[str, int] | None:
        """The stream of the journal's first event, and its newest position; None when it is empty."""
        ...

    def head(self, stream: str) -> Head:
        """The end of a stream."""
        ...

    def archived_head(self, stream: str) -> Head:
        """The end of what was archived of a stream before; `EMPTY` when nothing was."""
        ...

    def events(self, stream: str) -> Sequence[Recorded]:
        """The events of a stream that are in the journal. Raises `CorruptEvent`."""
        ...

    def move(self, archive: Archive, shelved: Sequence[Shelved]) -> None:
        """Remove the rows and enter them in the catalog: one transaction.

        Raises:
            Unavailable: The rows are not the ones that were read; nothing was changed.
        """
        ...

    def drop_blobs(self) -> int:
        """Remove the payloads that no event in the journal names any more. Returns how many those were."""
        ...
