"""Where read models keep their rows: a small port that SQLite and PostgreSQL serve.

The SQL that projections write is the part that SQLite (3.35 and newer) and PostgreSQL share:

- `?` stands for a parameter; an adapter for a driver with another style rewrites it;
- `INSERT … ON CONFLICT (…) DO UPDATE SET x = excluded.x`, and no other dialect of upsert;
- column types TEXT, BIGINT and DOUBLE PRECISION; truth is 0 or 1, a time is text (`stamp`), a structure is JSON text;
- text compares by code point (PostgreSQL: `COLLATE "C"`), so an order by key is the same everywhere.

Work on the rows is a plain function that is given a `Transaction`: a whole batch crosses to the database's thread
once, not once for each statement.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

Value: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")


class Transaction(Protocol):
    """Statements that are stored together or not at all. Valid only inside the function that was given it."""

    def execute(self, sql: str, params: Sequence[Value] = ()) -> None:
        """Run one statement, before the next that is asked for an answer.

        It may wait until then, or until the end, and share a round trip with others. Only then does it raise.
        """
        ...

    def change(self, sql: str, params: Sequence[Value] = ()) -> int:
        """Run one statement, and return how many rows it changed."""
        ...

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """All rows of the answer."""
        ...

    def scan(self, sql: str, params: Sequence[Value] = ()) -> Iterator[Row]:
        """The rows of the answer one by one, for answers that should not stand in memory as a whole.

        Change nothing that the answer reads before it is used up.
        """
        ...


class Views(Protocol):
    """The database of the read models. Safe to use from one event loop; several processes may open the same one.

    Raises (everything here):
        Unavailable: The database did not serve; nothing was stored.
        ReadOnly: Nothing was stored, and nothing will be.
    """

    @property
    def name(self) -> str:
        """For messages: where these views are, without secrets."""
        ...

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and commit; an exception from it rolls back and comes out here.

        Transactions of all processes happen one after the other: what `work` has read still holds when it writes.
        Once begun it ends, whether or not the caller is still waiting.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which changes nothing, on one consistent state of all tables."""
        ...

    async def close(self) -> None:
        """Let go of files and threads. Closing twice is closing once."""
        ...


class Table(Struct, frozen=True):
    """A table of a projection.

    Attributes:
        columns: Name and SQL type.
        key: The primary key; the order in which rows are hashed.
        indexes: Columns of each further index.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def selected(self) -> str:
        """All columns, for a SELECT or an INSERT."""
        return ", ".join(self.columns)

    @property
    def insert(self) -> str:
        """The INSERT of one row with all columns, in order."""
        return f"INSERT INTO {self.name} ({self.selected}) VALUES ({', '.join('?' * len(self.columns))})"

    def create(self, tx: Transaction) -> None:
        """Make the table and its indexes where they are missing."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        tx.execute(f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({', '.join(self.key)}))")
        for index in self.indexes:
            name = "_".join((self.name, "by", *index))
            tx.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {self.name} ({', '.join(index)})")

    def drop(self, tx: Transaction) -> None:
        tx.execute(f"DROP TABLE IF EXISTS {self.name}")


class Where:
    """The conditions of a query that filters by what was asked for and by nothing else."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.params: list[Value] = []

    def equal(self, **columns: Value) -> "Where":
        """Each of these columns has the value that was asked for; None was not asked for."""
        for column, value in columns.items():
            self.add(f"{column} = ?", value)
        return self

    def add(self, condition: str, *values: Value) -> "Where":
        """A condition with its parameters; left out when its first one is None."""
        if not values or values[0] is not None:
            self._conditions.append(condition)
            self.params.extend(values)
        return self

    @property
    def sql(self) -> str:
        return f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""


def stamp(at: datetime) -> str:
    """A time as text of fixed width in UTC: texts sort as the times do. A time without a zone is taken as UTC."""
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    """The time that `stamp` made `text` of."""
    return datetime.fromisoformat(text)
