"""What is compared: a case, its contenders, and the aims its numbers are held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

TREADLE = "Treadle"


@dataclass(frozen=True)
class Contender:
    """A measured program with its arguments.

    Attributes:
        name: As shown in the table; unique within a case.
        program: Path of the script; a program that is not there yet is shown as such.
        arguments: Passed after the case's name.
        is_peer: Runs in the peers' environment; otherwise in the project's, which runs the parent too.
        is_large: Takes minutes to set up, and is played only when that is asked for.
        note: What a reader must know to compare fairly, such as a guarantee that this contender does not give.
    """

    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    is_peer: bool = True
    note: str = ""
    is_large: bool = False


@dataclass(frozen=True)
class Aim:
    """A bound on one contender's median, as a factor of another contender's or as a value.

    For times and sizes the median may be at most the bound, for rates (units ending in `/s`) it must be at least that.

    Attributes:
        text: As the design says it.
        bound: A factor when `against` names a contender, else a value in the unit of the case.
        of: The contender that is judged.
    """

    text: str
    bound: float
    against: str | None = None
    of: str = TREADLE

    def is_met(self, judged: float, reference: float, unit: str) -> bool:
        """Whether the median `judged` meets this aim; `reference` is the other contender's, or 1 if there is none."""
        limit = self.bound * reference
        return judged >= limit if is_rate(unit) else judged <= limit


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    Attributes:
        name: Also the name of Treadle's program, `treadle_side/<name>.py`.
        title: What one sample is, in words.
        unit: Of the samples; every contender must report in it.
        contenders: In the order they take turns.
        rounds: At most this many, for numbers that do not vary.
        needs_broker: A nats-server runs meanwhile, its address in `BENCH_NATS_URL`.
        needs_database: A PostgreSQL server runs meanwhile, its address in `BENCH_POSTGRES_URL`.
    """

    name: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    aims: tuple[Aim, ...] = ()
    rounds: int | None = None
    needs_broker: bool = False
    needs_database: bool = False


def is_rate(unit: str) -> bool:
    """Whether more is better."""
    return unit.endswith("/s")


def without_large(case: Case) -> Case:
    """The case as it is played when nobody asked for what takes minutes."""
    return replace(case, contenders=tuple(contender for contender in case.contenders if not contender.is_large))
