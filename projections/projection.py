"""What a projection is: rows folded from the journal's events, one after the other, by a function without a memory.

    class Turns(Projection):
        name = "turns"
        schema = 1
        tables = (Table("turns", {"run_id": "TEXT NOT NULL", "turns": "BIGINT NOT NULL"}, key=("run_id",)),)
        handles = frozenset({"run.model_requested"})

        def apply(self, tx, recorded):
            tx.execute("INSERT INTO turns VALUES (?, 1) ON CONFLICT (run_id) DO UPDATE SET turns = turns.turns + 1",
                       (recorded.run_id,))

Everything a projection knows is in its rows: dropped and folded again they come out the same, to the bit.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import msgspec

from ..events.envelope import Recorded
from ..events.errors import ConfigError, TreadleError
from .views import Table, Transaction, Views

T = TypeVar("T")


class Projection(ABC):
    """A read model. It is folded by `Projections`, and asked through methods of its own.

    Attributes:
        name: Names its checkpoint; unique in a system.
        schema: A higher number makes whoever opens the views next fold it anew.
        handles: Tags of the events it wants; None for all.
        evidence: Its rows prove something about the journal: when the journal was cut or replaced they are kept as
            they are, and the projection stops, where others are folded anew.
    """

    name: ClassVar[str]
    schema: ClassVar[int] = 1
    tables: ClassVar[tuple[Table, ...]]
    handles: ClassVar[frozenset[str] | None] = None
    evidence: ClassVar[bool] = False

    def __init__(self) -> None:
        self._views: Views | None = None

    @abstractmethod
    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        """Fold one event into the rows. Called in the order of positions, once for each event that is committed.

        Decode (`recorded.event`) before you write: the event is skipped and noted when that raises CorruptEvent.
        Takes time from the event and never from a clock.
        """

    def begin(self, tx: Transaction) -> None:  # noqa: B027 - most projections carry nothing from event to event
        """A batch begins: load what `apply` carries from event to event. All of it may be rolled back."""

    def finish(self, tx: Transaction) -> None:  # noqa: B027
        """The batch ends: store what `apply` carries."""

    async def caught_up(self) -> float | None:
        """Called when all events are folded and committed.

        Returns:
            After how many seconds it wants to be called again though nothing happens; None for never.
        """
        return None

    async def close(self) -> None:  # noqa: B027
        """The system stops; the views are still open."""

    def attach(self, views: Views) -> None:
        """Whose rows the queries read. `Projections` calls it."""
        self._views = views

    @property
    def views(self) -> Views:
        if self._views is None:
            raise ConfigError(f"projection {self.name!r} belongs to no system yet; pass it to Projections(...)")
        return self._views

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a query on the rows."""
        return await self.views.read(work)

    def state_hash(self, tx: Transaction) -> str:
        """SHA-256 over all rows in the order of their keys: the same journal gives the same hash."""
        digest = hashlib.sha256()
        for table in self.tables:
            digest.update(f"{table.name}({table.selected})\n".encode())
            for row in tx.scan(f"SELECT {table.selected} FROM {table.name} ORDER BY {', '.join(table.key)}"):
                digest.update(msgspec.json.encode(row) + b"\n")
        return digest.hexdigest()


class ProjectionStopped(TreadleError):
    """A projection cannot go on; the others do. Its rows stand where they stood."""

    def __init__(self, projection: str, position: int, why: str) -> None:
        super().__init__(f"projection {projection!r} stopped at position {position}: {why}")
        self.projection = projection
        self.position = position
        self.why = why
