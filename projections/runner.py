"""Keeps projections up to date with the journal.

Each projection has a checkpoint, the last position it has folded, that is stored in the same transaction as its rows:
a process that is killed between two events has folded each of them once or not at all. Several processes may keep the
same views: the checkpoint is compared inside the transaction, so what another one has folded is not folded again.

The runner reads a page of the journal, gives it to each projection, and waits for the journal when there is no more:
idle it costs nothing. Of several nodes with the same views one folds (`leads`); the others look at the checkpoints now
and then, and fold themselves when these do not move, or when somebody here waits.

A projection that raises stops alone; a corrupt row is noted as a problem and the rest goes on.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from msgspec import Struct

from ..events.envelope import Position, Recorded
from ..events.errors import ConfigError, CorruptEvent, NotFound, Unavailable
from ..events.logs import get_logger
from .audit import Audit
from .blackboards import Blackboards
from .budget import BudgetView
from .facts import Facts
from .projection import Projection, ProjectionStopped
from .runs import Runs
from .sessions import Sessions
from .source import Source, read_page
from .views import Table, Transaction, Views
from .workspaces import Workspaces

PAGE_EVENTS = 1000
"""How many events are folded in one transaction."""

LINGER_S = 0.01
"""How long events are collected before they are folded, while nobody waits for them: many cost little more than one."""

STANDBY_S = 1.0
"""How long events are left to the node that leads, before one that stands by folds them."""

_log = get_logger("treadle.projections")

_CHECKPOINTS = Table(
    "projection_checkpoints",
    {
        "name": "TEXT NOT NULL",
        "schema": "BIGINT NOT NULL",
        "position": "BIGINT NOT NULL",
        "event_hash": "TEXT NOT NULL",
    },
    key=("name",),
)
_PROBLEMS = Table(
    "projection_problems",
    {
        "name": "TEXT NOT NULL",
        "position": "BIGINT NOT NULL",
        "stream": "TEXT NOT NULL",
        "version": "BIGINT NOT NULL",
        "why": "TEXT NOT NULL",
    },
    key=("name", "position"),
)

P = TypeVar("P", bound=Projection)


class Problem(Struct, frozen=True):
    """An event that a projection could not fold and left out."""

    projection: str
    position: int
    stream: str
    version: int
    why: str


class Lag(Struct, frozen=True):
    """How far a projection is behind.

    Attributes:
        position, last_position: What it has folded, and the end of the journal.
        behind: The difference: positions, of which some may hold no event.
        problems: How many events it has left out.
        stopped: Why it does not go on; empty while it does.
    """

    position: int
    last_position: int
    behind: int
    problems: int
    stopped: str = ""


class _Checkpoint(Struct, frozen=True):
    schema: int
    position: int
    event_hash: str


class Projections:
    """Projections of one journal, followed while the context is open.

        async with SqliteViews(path) as views, Projections(journal, views, [Runs(), Facts()]) as projections:
            await projections.catch_up()
            rows = await projections.runs.list()

    It closes neither the journal nor the views.

    Args:
        page_events: How many events are read, and folded in one transaction.
        linger_s: How long the rows may be behind while nobody waits for them (see `wait_for`).
        leads: Whether it is this node that folds, of those that keep the same views; asked again and again.
    """

    def __init__(
        self,
        journal: Source,
        views: Views,
        projections: Sequence[Projection],
        *,
        page_events: int = PAGE_EVENTS,
        linger_s: float = LINGER_S,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._journal = journal
        self._views = views
        self._page_events = page_events
        self._linger_s = linger_s
        self._leads = leads
        self._projections = {projection.name: projection for projection in projections}
        if len(self._projections) != len(projections):
            raise ConfigError(f"two projections share a name: {[projection.name for projection in projections]}")
        self._positions = dict.fromkeys(self._projections, 0)
        self._stopped: dict[str, ProjectionStopped] = {}
        self._failure: Exception | None = None
        self._moved = asyncio.Condition()
        self._folding = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        for projection in projections:
            projection.attach(views)

    def __repr__(self) -> str:
        at = ", ".join(f"{name} at {position}" for name, position in self._positions.items())
        return f"<Projections of {self._journal.name}: {at}>"

    # --- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Make missing tables, drop those of an older schema, and follow the journal from the checkpoints.

        Raises:
            ConfigError: The views were written by a newer Treadle.
        """
        if self._task is not None:
            return
        checkpoints = await self._views.transact(self._prepare)
        for name, checkpoint in checkpoints.items():
            await self._compare(self._projections[name], checkpoint)
        self._task = asyncio.create_task(self._follow(), name="treadle-projections")

    async def close(self) -> None:
        """Stop following. What is being folded is finished; what is not yet folded is folded after the next start."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for projection in self._projections.values():
            await projection.close()
        if self._failure is not None:
            raise self._failure

    # --- the projections ---------------------------------------------------------------------------------------------

    def of(self, kind: type[P]) -> P:
        """The projection of this class.

        Raises:
            NotFound: None was given.
        """
        for projection in self._projections.values():
            if isinstance(projection, kind):
                return projection
        raise NotFound("projection", kind.__name__, f"there are: {', '.join(self._projections) or 'none'}")

    @property
    def runs(self) -> Runs:
        return self.of(Runs)

    @property
    def sessions(self) -> Sessions:
        return self.of(Sessions)

    @property
    def facts(self) -> Facts:
        return self.of(Facts)

    @property
    def audit(self) -> Audit:
        return self.of(Audit)

    @property
    def budget(self) -> BudgetView:
        return self.of(BudgetView)

    @property
    def blackboards(self) -> Blackboards:
        return self.of(Blackboards)

    @property
    def workspaces(self) -> Workspaces:
        return self.of(Workspaces)

    @property
    def names(self) -> list[str]:
        return list(self._projections)

    @property
    def following(self) -> bool:
        """Whether the journal is followed; after a fault of the views it is not, and `close` raises that."""
        return self._task is not None and self._failure is None

    # --- where they are ----------------------------------------------------------------------------------------------

    async def lag(self) -> dict[str, Lag]:
        """How far each projection is behind the journal."""
        last = await self._journal.last_position()

        def work(tx: Transaction) -> dict[str, Lag]:
            counted: dict[str, int] = dict(tx.query("SELECT name, count(*) FROM projection_problems GROUP BY name"))
            lags: dict[str, Lag] = {}
            for name in self._projections:
                at = _checkpoint(tx, name).position
                stopped = str(self._stopped.get(name, ""))
                lags[name] = Lag(at, last, max(last - at, 0), counted.get(name, 0), stopped)
            return lags

        return await self._views.read(work)

    async def problems(self) -> list[Problem]:
        """The events that were left out, by position."""
        rows = await self._views.read(
            lambda tx: tx.query(f"SELECT {_PROBLEMS.selected} FROM projection_problems ORDER BY position, name")
        )
        return [Problem(*row) for row in rows]

    async def wait_for(self, position: int, timeout_s: float | None = None, *, projection: str = "") -> None:
        """Wait until all projections, or the one named, have folded the journal up to `position`.

        Raises:
            Unavailable: It did not get there within `timeout_s`.
            ProjectionStopped: It will not get there.
        """
        names = [self._named(projection).name] if projection else list(self._projections)

        def there() -> bool:
            if self._failure is not None:
                raise self._failure
            for name in names:
                if name in self._stopped:
                    raise self._stopped[name]
            return all(self._positions[name] >= position for name in names)

        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(there)
        except TimeoutError:
            at = ", ".join(f"{name} at {self._positions[name]}" for name in names)
            raise Unavailable(
                "projection", f"position {position} was not reached within {timeout_s:g} s ({at})"
            ) from None
        finally:
            self._waiting -= 1

    async def catch_up(self, timeout_s: float | None = None) -> Position:
        """Wait until everything that is in the journal now is folded. Returns how far that is."""
        last = await self._journal.last_position()
        await self.wait_for(last, timeout_s)
        return last

    async def rebuild(self, name: str, timeout_s: float | None = None) -> str:
        """Drop a projection's rows, fold it again from the first event, and wait for it. Returns its state hash.

        Until then its rows are those of the events folded so far, and `lag` tells how many are missing. Killed in
        between, it goes on after the next start.
        """
        projection = self._named(name)
        last = await self._journal.last_position()
        await self._reset(projection)
        self._stopped.pop(name, None)
        self._wanted.set()
        await self.wait_for(last, timeout_s, projection=name)
        return await self.state_hash(name)

    async def state_hash(self, name: str) -> str:
        """SHA-256 over a projection's rows; equal for equal histories."""
        return await self._views.read(self._named(name).state_hash)

    def _named(self, name: str) -> Projection:
        if name not in self._projections:
            raise NotFound("projection", name, f"there are: {', '.join(self._projections) or 'none'}")
        return self._projections[name]

    # --- starting ----------------------------------------------------------------------------------------------------

    def _prepare(self, tx: Transaction) -> dict[str, _Checkpoint]:
        _CHECKPOINTS.create(tx)
        _PROBLEMS.create(tx)
        for projection in self._projections.values():
            rows = tx.query("SELECT schema FROM projection_checkpoints WHERE name = ?", (projection.name,))
            if rows and rows[0][0] > projection.schema:
                raise _too_new(projection, rows[0][0], self._views.name)
            if not rows or rows[0][0] < projection.schema:
                _create_anew(tx, projection)
            else:
                for table in projection.tables:
                    table.create(tx)  # with the indexes that an older Treadle did not make
        return {name: _checkpoint(tx, name) for name in self._projections}

    async def _compare(self, projection: Projection, checkpoint: _Checkpoint) -> None:
        """Is the journal still the one that these rows were folded from? The event at the checkpoint tells."""
        name, position = projection.name, checkpoint.position
        self._positions[name] = position
        if await self._journal.last_position() >= position and await self._holds(checkpoint):
            return
        why = f"journal {self._journal.name} was cut or replaced: it does not hold what was folded at this position"
        if projection.evidence:
            await self._stop(ProjectionStopped(name, position, f"{why}; verify the audit, then rebuild to accept that"))
        else:
            _log.warning("projection %r is folded anew: %s (%d)", name, why, position)
            await self._reset(projection)

    async def _holds(self, checkpoint: _Checkpoint) -> bool:
        if not checkpoint.event_hash:
            return True
        try:
            found = await self._journal.read_all(checkpoint.position - 1, 1)
        except CorruptEvent:
            return True  # it is there; who verifies the journal will find it
        return bool(found) and (found[0].position, found[0].hash) == (checkpoint.position, checkpoint.event_hash)

    async def _reset(self, projection: Projection) -> None:
        async with self._folding:
            await self._views.transact(lambda tx: _create_anew(tx, projection))
            self._positions[projection.name] = 0

    # --- following ---------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                await self._fold_all()
            except Unavailable as exc:
                _log.warning("projections wait %g s: %s", exc.retry_after_s, exc)
                await asyncio.sleep(exc.retry_after_s)
            except Exception as exc:
                self._failure = exc
                await self._notify()
                _log.exception("projections of %s failed", self._journal.name)
                return

    async def _fold_all(self) -> None:
        """Fold what there is, then wait for more."""
        while True:
            self._wanted.clear()
            live = [projection for projection in self._projections.values() if projection.name not in self._stopped]
            after = min((self._positions[projection.name] for projection in live), default=None)
            if after is None:
                await self._wanted.wait()
                continue
            if not self._leads() and await self._others_fold(live):
                after = min(self._positions[projection.name] for projection in live)
                await self._wait(after, await self._all_caught_up(live))
                continue
            page, corrupt = await read_page(self._journal, after, self._page_events)
            if page or corrupt is not None:
                end = corrupt.position if corrupt is not None else page[-1].position
                await self._advance(live, after, page, corrupt, end)
                continue
            newest = await self._journal.last_position()
            if newest > after:
                # Events came in between, or there are none up to there: the journal forgot them.
                page, corrupt = await read_page(self._journal, after, 1)
                if not page and corrupt is None:
                    await self._advance(live, after, (), None, newest)
                continue
            await self._wait(after, await self._all_caught_up(live))

    async def _others_fold(self, live: Sequence[Projection]) -> bool:
        """Look how far the rows are by now; whether somebody else brings them forward, and nobody here waits."""
        before = dict(self._positions)
        found = await self._views.read(lambda tx: {each.name: _checkpoint(tx, each.name).position for each in live})
        self._positions.update(found)
        await self._notify()
        return not self._waiting and any(position > before[name] for name, position in found.items())

    async def _wait(self, after: int, timeout_s: float | None) -> None:
        """Until there is an event above `after`, somebody wants something, or the time is up."""
        journal = asyncio.ensure_future(self._journal.wait(after, timeout_s))
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait((journal, wanted), return_when=asyncio.FIRST_COMPLETED)
            if journal.done() and journal.result() > after and not self._waiting:
                await asyncio.wait((wanted,), timeout=self._linger_s if self._leads() else STANDBY_S)
        finally:
            for waiting in (journal, wanted):
                waiting.cancel()
            await asyncio.gather(journal, wanted, return_exceptions=True)

    async def _advance(
        self, live: Sequence[Projection], after: int, page: Sequence[Recorded], corrupt: CorruptEvent | None, end: int
    ) -> None:
        """Bring all of them to position `end`: in one transaction, and one by one when one of them raises."""
        async with self._folding:
            behind = [projection for projection in live if self._positions[projection.name] < end]
            try:
                await self._transact(behind, after, page, corrupt, end)
            except Unavailable:
                raise
            except Exception:
                for projection in behind:
                    try:
                        await self._transact([projection], after, page, corrupt, end)
                    except Unavailable:
                        raise
                    except Exception as exc:
                        await self._give_up(projection, exc)
        await self._notify()

    async def _transact(
        self,
        projections: Sequence[Projection],
        after: int,
        page: Sequence[Recorded],
        corrupt: CorruptEvent | None,
        end: int,
    ) -> None:
        def fold(tx: Transaction, projection: Projection) -> int:
            checkpoint = _checkpoint(tx, projection.name)
            if checkpoint.schema != projection.schema:
                raise _too_new(projection, checkpoint.schema, self._views.name)
            if checkpoint.position < after or checkpoint.position >= end:
                return checkpoint.position  # another process dropped these rows, or has folded all this
            events = [recorded for recorded in page if recorded.position > checkpoint.position]
            problems = _fold(tx, projection, events)
            for problem in [*problems, *([corrupt] if corrupt is not None else [])]:
                _note(tx, projection, problem)
            digest = page[-1].hash if page and page[-1].position == end else ""
            tx.execute(
                "UPDATE projection_checkpoints SET position = ?, event_hash = ? WHERE name = ?",
                (end, digest, projection.name),
            )
            return end

        positions = await self._views.transact(
            lambda tx: {projection.name: fold(tx, projection) for projection in projections}
        )
        self._positions.update(positions)

    async def _all_caught_up(self, live: Sequence[Projection]) -> float | None:
        """Tell them that there is no more; in how many seconds the first wants to be told again."""
        again = [seconds for projection in live if (seconds := await self._caught_up(projection)) is not None]
        return min(again, default=None)

    async def _caught_up(self, projection: Projection) -> float | None:
        try:
            return await projection.caught_up()
        except Unavailable:
            raise
        except Exception as exc:
            await self._give_up(projection, exc)
            return None

    async def _give_up(self, projection: Projection, error: Exception) -> None:
        position = self._positions[projection.name]
        _log.error("projection %r stops at position %d", projection.name, position, exc_info=error)
        stopped = ProjectionStopped(projection.name, position, f"{type(error).__name__}: {error}")
        stopped.__cause__ = error
        await self._stop(stopped)

    async def _stop(self, stopped: ProjectionStopped) -> None:
        self._stopped[stopped.projection] = stopped
        await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()


def _fold(tx: Transaction, projection: Projection, events: Sequence[Recorded]) -> list[CorruptEvent]:
    problems: list[CorruptEvent] = []
    handles, apply = projection.handles, projection.apply
    projection.begin(tx)
    for recorded in events:
        if handles is None or recorded.type in handles:
            try:
                apply(tx, recorded)
            except CorruptEvent as exc:
                problems.append(exc)
    projection.finish(tx)
    return problems


def _note(tx: Transaction, projection: Projection, problem: CorruptEvent) -> None:
    _log.warning("projection %r leaves an event out: %s", projection.name, problem)
    tx.execute(
        f"{_PROBLEMS.insert} ON CONFLICT (name, position) DO UPDATE SET why = excluded.why",
        (projection.name, problem.position, problem.stream, problem.version, problem.why),
    )


def _create_anew(tx: Transaction, projection: Projection) -> None:
    for table in projection.tables:
        table.drop(tx)
        table.create(tx)
    tx.execute("DELETE FROM projection_problems WHERE name = ?", (projection.name,))
    tx.execute("DELETE FROM projection_checkpoints WHERE name = ?", (projection.name,))
    tx.execute(_CHECKPOINTS.insert, (projection.name, projection.schema, 0, ""))


def _checkpoint(tx: Transaction, name: str) -> _Checkpoint:
    rows = tx.query("SELECT schema, position, event_hash FROM projection_checkpoints WHERE name = ?", (name,))
    return _Checkpoint(*rows[0])


def _too_new(projection: Projection, found: int, views: str) -> ConfigError:
    return ConfigError(
        f"views {views!r} hold projection {projection.name!r} in schema {found}, "
        f"this Treadle knows {projection.schema}; upgrade Treadle, or use other views"
    )
