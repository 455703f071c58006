"""What a run tells while it happens, to those in this process who listen: recorded events and live chunks.

What it asks other runs for is told too, to those who want it: each item says whose it is (`Below`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, structs

from ..events.envelope import Recorded
from ..events.event import Event
from ..events.journal import Pending
from .model import ModelChunk

CHUNKS_AHEAD = 256
"""How far a model may be ahead of a reader before it has to wait."""


class Batch(Struct, frozen=True):
    """Events that were recorded together; `pending` tells when they are on disk."""

    stream: str
    pending: Pending
    events: Sequence[Event]
    version: int
    at: datetime


class Note(Struct, frozen=True):
    """Where a run is, as its strategy says: live, and not kept."""

    type: str
    payload: dict[str, Any]


class Below(Struct, frozen=True):
    """What a run below the one that is read tells.

    Attributes:
        role: What the strategy of the run that asked for it calls it.
        depth: 1 for a run that the one that is read has asked for, 2 for one that this one has, and so on.
        item: A recorded event comes by itself when another process recorded it.
    """

    run_id: str
    session_id: str
    parent_run_id: str
    role: str
    depth: int
    item: Batch | Recorded | ModelChunk | Note


Item: TypeAlias = Batch | ModelChunk | Note | Below


class Reader(Protocol):
    """Whom a run tells what happens in it.

    Attributes:
        children: They want to hear of the runs below it, too.
    """

    @property
    def children(self) -> bool: ...
    def recorded(self, batch: Batch) -> None: ...
    def note(self, note: Note) -> None: ...
    async def chunk(self, chunk: ModelChunk) -> None:
        """Hand a chunk over, and wait while the reader is too far behind."""
        ...

    def below(self, below: Below) -> None: ...
    async def chunk_below(self, below: Below) -> None:
        """As `chunk`, of a run below."""
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


class Feed:
    """A reader's view of one run: yields recorded events once they are on disk, chunks and notes, in order.

    Args:
        children: What the runs below tell is yielded too.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._children = children
        self._items: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._abandoned = False

    @property
    def children(self) -> bool:
        return self._children

    def recorded(self, batch: Batch) -> None:
        self._tell(batch)

    def note(self, note: Note) -> None:
        self._tell(note)

    async def chunk(self, chunk: ModelChunk) -> None:
        """Hand a chunk over, and wait while the reader is too far behind."""
        await self._tell_chunk(chunk)

    def below(self, below: Below) -> None:
        self._tell(below)

    async def chunk_below(self, below: Below) -> None:
        """As `chunk`, of a run below."""
        await self._tell_chunk(below)

    def _tell(self, item: Item) -> None:
        if not self._abandoned:
            self._items.append(item)
            self._changed.set()

    async def _tell_chunk(self, chunk: ModelChunk | Below) -> None:
        if self._abandoned:
            await asyncio.sleep(0)  # nothing slows this model down any more, and it may never wait by itself
            return
        self._tell(chunk)
        if len(self._items) >= CHUNKS_AHEAD:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._changed.set()

    def abandon(self) -> None:
        """The reader has gone: nobody has to wait for it any more, and nothing is kept for it."""
        self._ended = self._abandoned = True
        self._items.clear()
        self._changed.set()
        self._room.set()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            while self._items:
                item = self._items.popleft()
                if len(self._items) < CHUNKS_AHEAD:
                    self._room.set()
                batch = item.item if isinstance(item, Below) else item
                if isinstance(batch, Batch):
                    await batch.pending
                yield item
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()


class ChildFeed:
    """Hands on what a child tells to the readers of the run that asked for it.

    Args:
        readers: They, by now.
        of: Whose it is; the item is another one each time.
    """

    def __init__(self, readers: Callable[[], Sequence[Reader]], of: Below) -> None:
        self._readers = readers
        self._of = of

    @property
    def children(self) -> bool:
        return True

    def recorded(self, batch: Batch) -> None:
        self.below(self._own(batch))

    def note(self, note: Note) -> None:
        self.below(self._own(note))

    async def chunk(self, chunk: ModelChunk) -> None:
        """As `Feed.chunk`: the slowest reader of all slows the model down."""
        await self._hand_on(self._own(chunk))

    def stored(self, recorded: Recorded) -> None:
        """An event that another process recorded."""
        self.below(self._own(recorded))

    def below(self, below: Below) -> None:
        for reader in self._readers():
            reader.below(self._deeper(below))

    async def chunk_below(self, below: Below) -> None:
        await self._hand_on(below)

    async def _hand_on(self, below: Below) -> None:
        for reader in self._readers():
            await reader.chunk_below(self._deeper(below))

    def end(self) -> None:
        """The child has ended; the run that asked for it goes on."""

    def _own(self, item: Batch | Recorded | ModelChunk | Note) -> Below:
        return structs.replace(self._of, depth=0, item=item)

    def _deeper(self, below: Below) -> Below:
        return structs.replace(below, depth=below.depth + 1)
