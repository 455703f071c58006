"""What a run tells while it happens, to those in this process who listen: recorded events and live chunks."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

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


class Feed:
    """A reader's view of one run: yields recorded events once they are on disk, chunks and notes, in order."""

    def __init__(self) -> None:
        self._items: deque[Batch | ModelChunk | Note] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._abandoned = False

    def recorded(self, batch: Batch) -> None:
        if self._abandoned:
            return
        self._items.append(batch)
        self._changed.set()

    def note(self, note: Note) -> None:
        if not self._abandoned:
            self._items.append(note)
            self._changed.set()

    async def chunk(self, chunk: ModelChunk) -> None:
        """Hand a chunk over, and wait while the reader is too far behind."""
        if self._abandoned:
            await asyncio.sleep(0)  # nothing slows this model down any more, and it may never wait by itself
            return
        self._items.append(chunk)
        self._changed.set()
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

    async def __aiter__(self) -> AsyncIterator[Batch | ModelChunk | Note]:
        while True:
            while self._items:
                item = self._items.popleft()
                if len(self._items) < CHUNKS_AHEAD:
                    self._room.set()
                if isinstance(item, Batch):
                    await item.pending
                yield item
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()
