"""How much of everything a load needs, and what it costs. Prices are parameters: look up your own."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from simulation.cluster import NETWORK_MS
from simulation.figures import Figures

GIB = 1024.0**3
DAY_S = 86_400.0
PEAK = 3.0
"""The busiest minute of a day, against its mean."""

FULL = 0.6
"""How busy a part may be at the peak: beyond, waiting grows quickly, and a failed node's work has no place."""

KEPT_DAYS = 30
"""How long a closed run stays in the journal, before it is archived."""

ARCHIVED_DAYS = 365


class Prices(NamedTuple):
    """US dollars, as clouds list them in 2026 without a discount, rounded."""

    node_core_hour: float = 0.045
    database_core_hour: float = 0.10
    ssd_gib_month: float = 0.125
    archive_gib_month: float = 0.023
    million_input_tokens: float = 0.50
    million_output_tokens: float = 2.00


INPUT_TOKENS, OUTPUT_TOKENS = 4000, 400
"""Of a run of two turns, for the last line of the bill: what it costs to think."""


class Ceiling(NamedTuple):
    """What one of something can take."""

    what: str
    runs_s: float
    lifted_by: str


def ceilings(figures: Figures) -> list[Ceiling]:
    """What there is one of in Treadle as it is, and a node's core, the lowest first."""
    run, leading = figures.run, figures.leading
    batch = 100
    lock = batch / figures.commit.seconds(batch, NETWORK_MS) / run.events
    found = [
        Ceiling("folding the views of one database", leading.fold_events_s / run.events, "slices; fewer views"),
        Ceiling("one node's core", 1e3 / run.cpu_ms, "more nodes"),
        Ceiling("the core of the node that leads", 1e6 / leading.cpu_event_us / run.events, "slices"),
        Ceiling("publishing to EVENTS by one node", leading.publish_events_s / run.events, "slices"),
        Ceiling(f"the lock of one journal, {batch} events a commit", lock, "slices"),
        Ceiling("four cores of a database", 4e3 / run.database_cpu_ms, "a larger server; slices"),
    ]
    return sorted(found, key=lambda ceiling: ceiling.runs_s)


class Needs(NamedTuple):
    """What a load needs, at its peak, with every part at most `FULL` busy."""

    mean_runs_s: float
    peak_runs_s: float
    nodes: int
    slices: int
    database_cores: int
    journal_gib: float
    views_gib: float
    archive_gib: float
    awake_gib: float


def needs(sessions: float, signals_a_day: float, figures: Figures) -> Needs:
    """Of so many live sessions that get so many signals a day each."""
    mean = sessions * signals_a_day / DAY_S
    peak = mean * PEAK
    run, size = figures.run, figures.size
    shared = min(ceiling.runs_s for ceiling in ceilings(figures) if "slices" in ceiling.lifted_by)
    slices = max(1, ceil(peak / shared / FULL))
    leading_ms = run.events * figures.leading.cpu_event_us / 1e3
    nodes = max(3, ceil(peak * (run.cpu_ms + leading_ms) / 1e3 / FULL))
    cores = max(slices * 2, ceil(peak * run.database_cpu_ms / 1e3 / FULL))
    events_day = mean * DAY_S * run.events
    # Loaded are those that were spoken to within the idle time-out of two minutes.
    awake = min(sessions, peak * 120)
    return Needs(
        mean,
        peak,
        nodes,
        slices,
        cores,
        KEPT_DAYS * events_day * size.event_bytes / GIB,
        ARCHIVED_DAYS * mean * DAY_S * size.view_bytes_run / GIB,  # views forget nothing
        ARCHIVED_DAYS * events_day * size.archived_event_bytes / GIB,
        awake * size.session_kib / 1024**2,
    )


class Bill(NamedTuple):
    """Dollars for a million runs."""

    nodes: float
    database: float
    journal: float
    views: float
    archive: float
    thinking: float

    @property
    def machinery(self) -> float:
        return self.nodes + self.database + self.journal + self.views + self.archive


def bill(sessions: float, signals_a_day: float, figures: Figures, prices: Prices = Prices()) -> Bill:  # noqa: B008
    """What a million runs of such a load cost; machines are paid at night, too."""
    found = needs(sessions, signals_a_day, figures)
    runs_month = found.mean_runs_s * DAY_S * 30
    hours = 24 * 30
    of_a_million = 1e6 / runs_month
    return Bill(
        found.nodes * hours * prices.node_core_hour * of_a_million,
        # Two servers each: one stands by, synchronously.
        2 * found.database_cores * hours * prices.database_core_hour * of_a_million,
        2 * found.journal_gib * prices.ssd_gib_month * of_a_million,
        2 * found.views_gib * prices.ssd_gib_month * of_a_million,
        found.archive_gib * prices.archive_gib_month * of_a_million,
        INPUT_TOKENS * prices.million_input_tokens + OUTPUT_TOKENS * prices.million_output_tokens,
    )
