"""The event-sourced part of an actor: one stream, its fold, and what was recorded and is not on disk yet.

Whatever is recorded is redacted here, before it is folded: no secret is in a journal, and a state is what a replay will
make of it. Nor is anything folded that the journal could not take (`storable.py`): it is refused here, where whoever
records it can still record why. Whoever records something that it goes on with reads it from the state. Copies of what
is in the journal already are taken as they are: what follows them was decided on these very words.

Recording queues and goes on; `flush` waits for the disk. `commit` is for actors that answer one message at a time:
decide, record, flush, and when the stream moved on meanwhile, reload and decide again: asking a decision twice
decides once, so a lost answer is no different from a conflict.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from ..events.envelope import EMPTY, Meta, Recorded, StreamName
from ..events.errors import AppendUncertain, TreadleError, VersionConflict
from ..events.event import Event
from ..events.journal import Append, Journal, Pending, Snapshot
from ..events.logs import get_logger
from ..events.redaction import redacted
from .clock import Clock
from .storable import storable

S = TypeVar("S")
E = TypeVar("E", bound=Event)

SNAPSHOT_EVERY = 500
"""Events between two snapshots: folding so many takes a few milliseconds."""

_ATTEMPTS = 64
"""How often a decision is made anew because another writer was first: nodes that share a budget write to one stream."""

_AT_ONCE = 2
_PAUSE_S, _PAUSE_LIMIT_S = 0.0005, 0.1
_PAGE = 1000
_log = get_logger("treadle.actors")


class Fold(msgspec.Struct, Generic[S], frozen=True):
    """How a category's state comes about.

    Attributes:
        new: The state of an empty stream.
        evolve: Applies one event, in place.
        snapshot: Names the state's form, `<category>/<number>`; empty for categories without snapshots.
    """

    new: Callable[[], S]
    evolve: Callable[[S, Event], S]
    snapshot: str = ""


class Entity(Generic[S]):
    """One stream in one activation.

    Attributes:
        state: The fold of everything recorded, on disk or not.
        head: The end of the stream with everything that was handed to the journal.
        told: Called with what was handed to the journal, and the handle on its outcome.
        meta: What is recorded with the events; its `epoch` grows when it is loaded over another's.
        last_at: When the newest event happened.
    """

    def __init__(self, journal: Journal, clock: Clock, stream: StreamName, fold: Fold[S], meta: Meta) -> None:
        self.stream = stream
        self.state = fold.new()
        self.head = EMPTY
        self.meta = meta
        self.last_at: datetime | None = None
        self.first_at: datetime | None = None
        self._journal = journal
        self._clock = clock
        self._fold = fold
        self.told: Callable[[Pending, Sequence[Event]], None] | None = None
        self._recorded: list[Event] = []
        self._handing_over = False
        self._refusal: Exception | None = None
        self._pending: list[Pending] = []
        self._since_snapshot = 0
        self._stale = False
        self._staging = False
        self._deciding = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._last: Pending | None = None
        self._submitted = 0

    def __repr__(self) -> str:
        waiting = sum(not pending.done for pending in self._pending)
        return f"<Entity {self.stream} v{self.version}, {waiting} pending>"

    @property
    def fresh(self) -> bool:
        """Whether the state is known to be the journal's, apart from what waits for the disk."""
        return not self._stale and not self._staging and not self._deciding.locked() and not self._loading.locked()

    async def load(self) -> None:
        """Read the stream: the snapshot if there is one, then what follows it. Forgets what was not stored.

        Until it returns the state stays what it was: whoever records meanwhile builds on that, and is read too.
        """
        async with self._loading:
            self.hand_over()
            while True:
                await self._settled()
                submitted = self._submitted
                loaded = await self._read()
                if self._submitted == submitted:
                    break
            self.state, self.head = loaded.state, loaded.head
            self.first_at, self.last_at = loaded.first_at or self.first_at, loaded.last_at
            self._since_snapshot = loaded.since_snapshot
            self._pending.clear()
            self._refusal = None
            self._stale = self._staging = False
            if loaded.head.version:
                self.meta = msgspec.structs.replace(self.meta, epoch=max(loaded.epoch, self.meta.epoch) + 1)

    async def refresh(self) -> None:
        """`load` if the journal has moved on: another process may have written to the stream."""
        await self._settled()
        if self._stale or self._staging or (await self._journal.head(self.stream)) != self.head:
            await self.load()

    async def _settled(self) -> None:
        """Wait until the journal has answered everything submitted so far, whatever it says."""
        while self._last is not None and not self._last.done:
            try:
                await self._last
            except TreadleError as exc:
                _log.debug("%r is read again after %s", self.stream, exc)

    async def _read(self) -> "_Loaded[S]":
        # Most streams that are loaded are new, and one question tells.
        version = (await self._journal.head(self.stream)).version
        loaded = (version >= SNAPSHOT_EVERY and await self._load_snapshot()) or _Loaded(self._fold.new())
        if not version:
            return loaded
        evolve = self._fold.evolve
        while True:
            page = await self._journal.read(self.stream, loaded.head.version, _PAGE)
            for recorded in page:
                loaded.state = evolve(loaded.state, recorded.event)
            if page:
                loaded.since_snapshot += len(page)
                loaded.follow(page[0], page[-1])
            if len(page) < _PAGE:
                return loaded

    async def _load_snapshot(self) -> "_Loaded[S] | None":
        """The state in the snapshot, if it is one of this very history."""
        if not self._fold.snapshot:
            return None
        found = await self._journal.load_snapshot(self.stream, self._fold.snapshot)
        if found is None:
            return None
        last = await self._journal.read(self.stream, found.head.version - 1, 1)
        if not last or last[0].head != found.head:
            _log.warning("snapshot of %r is of another history (a restored file?); folding from the start", self.stream)
            return None
        try:
            loaded = _Loaded(msgspec.json.decode(found.state, type=type(self.state)))
        except msgspec.MsgspecError:
            _log.warning("snapshot of %r does not decode; folding from the start", self.stream)
            return None
        loaded.follow(last[0], last[0])
        return loaded

    def stage(self, events: Sequence[Event], *, copies: bool = False) -> Append:
        """Fold `events` and return the append that stores them, for a submission together with other streams'.

        The caller submits it at once and hands the result to `staged`. `copies` is as for `record`.
        """
        self.hand_over()
        # Until it is submitted: a journal that refuses it leaves a state that never was.
        self._staging = True
        return self._append(self._fold_in(events, copies))

    def staged(self, pending: Pending, index: int) -> None:
        """`pending` stores what was staged, as its append number `index`."""
        self.head = pending.heads[index]
        self._pending.append(pending)
        self._last = pending
        self._submitted += 1
        self._staging = False

    def record(self, events: Sequence[Event], *, copies: bool = False) -> None:
        """Queue `events` and go on; the state has them at once.

        They are handed to the journal by `flush`, or when the loop comes round: what an actor records in one go is one
        append, encoded and queued once.

        Raises:
            Unrecordable: One of them has no JSON form; nothing was recorded.
        Args:
            copies: They are in the journal already, in another stream, and are not masked: a secret that is known only
                now would make them differ from the digests in them.
        """
        self._queue(self._fold_in(events, copies))

    def _queue(self, folded: Sequence[Event]) -> None:
        if not folded:
            return
        self._recorded.extend(folded)
        if not self._handing_over:
            self._handing_over = True
            asyncio.get_running_loop().call_soon(self._come_round)

    def hand_over(self) -> None:
        """Hand what was recorded to the journal now. What the journal does not take is told by `flush`."""
        if not self._recorded:
            return
        events, self._recorded = self._recorded, []
        if self._refusal is not None:
            return  # what follows a gap would conflict
        try:
            pending = self._journal.submit(self._append(events))
        except Exception as exc:
            self._refusal = exc
            return
        self.staged(pending, 0)
        if self.told is not None:
            self.told(pending, events)

    def ask(self) -> None:
        """Have the next `flush` ask the journal whether the stream still ends with what was recorded here."""
        self.hand_over()
        self.staged(self._journal.submit(self._append(())), 0)

    @property
    def version(self) -> int:
        """The stream's version with everything recorded."""
        return self.head.version + len(self._recorded)

    def _come_round(self) -> None:
        self._handing_over = False
        self.hand_over()

    def _fold_in(self, events: Sequence[E], copies: bool = False) -> list[E]:
        evolve = self._fold.evolve
        masked = list(events) if copies else [redacted(storable(event)) for event in events]
        for event in masked:
            self.state = evolve(self.state, event)
        self._since_snapshot += len(masked)
        return masked

    def _append(self, events: Sequence[Event]) -> Append:
        at = self.last_at = self._clock.now()
        if self.first_at is None:
            self.first_at = at
        return Append(self.stream, self.head, events, self.meta, at)

    async def flush(self) -> None:
        """Wait until all that was recorded is on disk.

        Raises:
            VersionConflict, AppendUncertain, Unavailable, ReadOnly: As the journal says; `load` before going on.
        """
        self.hand_over()
        if self._refusal is not None:
            raise self._refusal  # until the stream is loaded anew: the state holds what was not taken
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        try:
            for one in pending:
                await one
        except TreadleError:
            self._stale = True  # the state holds what was not stored
            raise
        if pending[-1] is self._last:
            self._last = None  # an entity is idle for long, and need not hold what it wrote last
        # The state has what was recorded meanwhile, and a snapshot is of what is on disk.
        at_rest = not (self._pending or self._recorded or self._staging)
        if self._fold.snapshot and self._since_snapshot >= SNAPSHOT_EVERY and at_rest:
            await self.save_snapshot()

    async def save_snapshot(self) -> None:
        """Keep the state as it is, so that the next activation starts from here."""
        self._since_snapshot = 0
        state = msgspec.json.encode(self.state)
        await self._journal.save_snapshot(Snapshot(self.stream, self.head, self._fold.snapshot, state))

    async def commit(self, decide: Callable[[S], Sequence[E]], cause: Meta | None = None) -> Sequence[E]:
        """Decide, record and wait for the disk; decide anew on the newer state when another writer was first.

        Args:
            cause: Recorded with these events, under this activation's epoch; None for what the entity was made with.
        Returns:
            The events that were stored by this call; none when the decision had been made before.
        """
        async with self._deciding:
            for attempt in range(_ATTEMPTS):
                if attempt > _AT_ONCE:
                    # Somebody else writes to it all the time; who comes at random gets in between.
                    await asyncio.sleep(random.random() * min(_PAUSE_S * 2.0**attempt, _PAUSE_LIMIT_S))
                if self._stale or self._staging:
                    await self.load()
                if cause is not None:
                    self.meta = msgspec.structs.replace(cause, epoch=self.meta.epoch)
                events = decide(self.state)
                if not events and not self._pending and not self._recorded:
                    return events
                events = self._fold_in(events)
                self._queue(events)
                # Until the disk has answered, what was folded may turn out not to have happened.
                self._stale = True
                try:
                    await self.flush()
                except (VersionConflict, AppendUncertain):
                    continue
                self._stale = False
                return events
        raise VersionConflict(self.stream, self.head.version, (await self._journal.head(self.stream)).version)


class _Loaded(Generic[S]):
    """What a reading of the stream has come to."""

    __slots__ = ("epoch", "first_at", "head", "last_at", "since_snapshot", "state")

    def __init__(self, state: S) -> None:
        self.state = state
        self.head = EMPTY
        self.epoch = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.since_snapshot = 0

    def follow(self, first: Recorded, last: Recorded) -> None:
        """The events from `first` to `last` are in the state."""
        if first.version == 1:
            self.first_at = first.at
        self.head, self.last_at, self.epoch = last.head, last.at, last.epoch
