"""A run as its journal has it: what is recorded of it, what of that is on disk, and whether it is still ours.

Whatever is recorded is in the state at once, and queued; `barrier` waits for the disk. Whoever takes the run over
appends first, so a former owner finds out at its barrier. `run.py` is what goes on in it.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from msgspec import structs

from ..events.envelope import Meta
from ..events.errors import Fenced, Owned, VersionConflict
from ..events.event import Event
from ..events.journal import Append, Pending
from ..events.run import Closing, Run, RunStarted, evolve, run_stream, take_over
from .entity import Entity, Fold
from .feed import Batch, Note, Reader
from .result import RunResult, result_of
from .run_history import RunRequest
from .services import Services

FOLD: Fold[Run] = Fold(Run, evolve)

_LOOK_S = 0.05


class SessionSide(Protocol):
    """What a run's session writes in the same appends as the run: its beginning and its end."""

    def opening(self) -> Append: ...
    def closing(self, closing: Closing, told: tuple[str, ...]) -> Append | None: ...
    def queued(self, pending: Pending, index: int) -> None:
        """The append was submitted; it is number `index` of `pending`."""
        ...

    async def reload(self) -> None:
        """The session's stream moved on under us: read it again."""
        ...


class StoredRun:
    """One run in the journal, written to by one activation.

    Attributes:
        feeds: They hear what is recorded (see `attach`).
    """

    def __init__(self, services: Services, request: RunRequest) -> None:
        self.services = services
        self.run_id = request.run_id
        self.user_id = request.user_id
        self.session_id = request.session_id or request.run_id
        self.request = request
        self.feeds: list[Reader] = list(services.readers.get(request.run_id, ()))
        self._entity = Entity(
            services.journal,
            services.clock,
            run_stream(request.run_id),
            FOLD,
            Meta(
                user_id=request.user_id,
                session_id=self.session_id,
                run_id=request.run_id,
                correlation_id=request.correlation_id or self.session_id,
                causation_id=request.causation_id,
                traceparent=request.traceparent,
                epoch=1,
            ),
        )
        self._entity.told = self._tell
        self._stored = False  # it is known to be in the journal
        self._ours_at = -math.inf  # the run was still ours at this time, by the clock's `monotonic`

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run_id} v{self.version} {self.state.state}>"

    # --- state ---

    @property
    def state(self) -> Run:
        return self._entity.state

    @property
    def started(self) -> RunStarted:
        started = self._entity.state.started
        if started is None:
            raise RuntimeError(f"run {self.run_id!r} has not begun")
        return started

    @property
    def stream(self) -> str:
        return self._entity.stream

    @property
    def version(self) -> int:
        return self._entity.version

    def result(self) -> RunResult:
        """What there is of the run now."""
        return result_of(
            self.state,
            run_id=self.run_id,
            session_id=self.session_id,
            user_id=self.user_id,
            started_at=self._entity.first_at,
            last_at=self._entity.last_at,
        )

    def cause(self, causation_id: str) -> Meta:
        """What others record with the events that this run leads to, by its call `causation_id` or as a whole."""
        return structs.replace(self._entity.meta, causation_id=causation_id)

    def attach(self, feed: Reader) -> None:
        """`feed` hears everything from here on."""
        self.feeds.append(feed)

    # --- taking over ---

    async def continue_(self, reason: str) -> bool:
        """Read the run's history and take it over; False when it had ended already.

        Raises:
            Owned: A living process works on it; names that process.
            Fenced: Somebody else took it over at the same moment, and goes on with it.
        """
        await self._entity.load()
        if self.state.closed is not None or self.state.started is None:
            return False
        # Of the very history that the take-over is appended to: a new owner between the two is a conflict.
        owner, journal = self.state.owner, self.services.journal
        if owner != journal.owner and not self.state.suspended and await journal.is_alive(owner):
            raise Owned(self._entity.stream, owner, self._entity.meta.epoch - 1)
        self.record(take_over(self.services.journal.owner, reason, self.state))
        await self.barrier()
        return True

    # --- recording ---

    def record(self, events: Sequence[Event]) -> None:
        """Queue events; they are in the state at once and on disk after the next `barrier`."""
        self._entity.record(events)

    def _tell(self, pending: Pending, events: Sequence[Event]) -> None:
        at = self._entity.last_at
        if self.feeds and at is not None:
            batch = Batch(self.stream, pending, events, self._entity.head.version - len(events) + 1, at)
            for feed in self.feeds:
                feed.recorded(batch)

    def note(self, note: Note) -> None:
        """Tell those who listen, after all that was recorded until now."""
        if self.feeds:
            self._entity.hand_over()
            for feed in self.feeds:
                feed.note(note)

    def record_copies(self, events: Sequence[Event], rest: Sequence[Append]) -> None:
        """Begin with `events`, which are copies, in one append with `rest`, the streams that belong to them."""
        own = self._entity.stage(events, copies=True)
        pending = self.services.journal.submit(own, *rest)
        self._entity.staged(pending, 0)
        self._tell(pending, own.events)

    async def barrier(self) -> None:
        """Wait until everything recorded is on disk.

        Raises:
            Fenced: Somebody took the run over.
            VersionConflict: The session's stream moved on in the same append; the run has not begun, or not ended.
            Unavailable, ReadOnly: The journal does not store; the run stays open and can be resumed.
        """
        try:
            begun = self.services.clock.monotonic()
            await self._entity.flush()
            self._ours_at = begun
        except VersionConflict as exc:
            if exc.stream != self._entity.stream:
                raise
            history = await self.services.journal.read(self.stream)
            fold = Run()
            for recorded in history:
                evolve(fold, recorded.event)
            found = history[-1].epoch if history else 0
            raise Fenced(self.stream, self._entity.meta.epoch, found, fold.owner) from exc
        self._stored = True

    async def until_stored(self) -> None:
        """Wait until the run has begun on disk, whatever of it is queued. Raises what `barrier` does."""
        if not self._stored:
            await self.barrier()

    @property
    def is_ours(self) -> bool:
        """Whether nobody can have taken the run over since the last barrier."""
        return self.services.journal.holds(self._ours_at)

    async def make_sure(self) -> None:
        """Wait until the run is certainly ours: this process may have been paused, and taken for dead.

        Raises:
            Fenced: Somebody took the run over.
            Unavailable, ReadOnly: The journal does not say.
        """
        while not self.is_ours:
            self._entity.ask()
            await self.barrier()
            if not self.is_ours:
                await asyncio.sleep(_LOOK_S)  # until others can see again that we live

    def record_with(self, events: Sequence[Event], append: Append | None, session: SessionSide | None) -> None:
        """`record`, in one append with `append`, the session's part, if there is one."""
        if append is None or session is None:
            self.record(events)
            return
        own = self._entity.stage(events)
        pending = self.services.journal.submit(append, own)
        session.queued(pending, 0)
        self._entity.staged(pending, 1)
        self._tell(pending, own.events)
