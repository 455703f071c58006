"""The tables of docs/scaling.md, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulation.cluster import Cluster, Deployment
from simulation.failover import left_runs, new_signals, runs_under_way
from simulation.figures import Figures
from simulation.plan import Prices, bill, ceilings, needs

DEPLOYMENTS = (
    Deployment(runs_s=25, nodes=3),
    Deployment(runs_s=100, nodes=3),
    Deployment(runs_s=200, nodes=3),
    Deployment(runs_s=400, nodes=4),
    Deployment(runs_s=700, nodes=8),
    Deployment(runs_s=400, nodes=4, slices=4),
    Deployment(runs_s=1000, nodes=8, slices=8),
    Deployment(runs_s=1000, nodes=32, slices=8),
    Deployment(runs_s=3500, nodes=32, slices=32),
)
MILLION = 1e6
SIGNALS_A_DAY = (1, 10, 100)
WARM_UP_S, SECONDS = 8.0, 4.0


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, aligned, *rows))


def _ceilings(figures: Figures) -> str:
    rows = [(each.what, f"{each.runs_s:,.0f}", each.lifted_by) for each in ceilings(figures)]
    return _table(("what there is one of", "runs a second", "lifted by"), rows)


def _load(figures: Figures) -> str:
    rows: list[Sequence[str]] = []
    for deployment in DEPLOYMENTS:
        found = Cluster(deployment, figures).run(SECONDS, WARM_UP_S)
        rows.append(
            (
                f"{deployment.runs_s:,.0f} runs/s, {deployment.nodes} nodes, {deployment.slices} "
                f"{'slice' if deployment.slices == 1 else 'slices'}",
                f"{found.percentile(50) * 1e3:,.1f}",
                f"{found.percentile(99) * 1e3:,.1f}",
                f"{sum(found.batches) / len(found.batches):.1f}",
                f"{found.locked:.0%}",
                f"{found.folding:.0%}",
                f"{found.node:.0%}",
                "yes" if found.keeps_up else "no",
            )
        )
    header = ("load", "started, p50 ms", "p99 ms", "events a commit", "lock", "folding", "busiest node", "keeps up")
    return _table(header, rows)


def _failover(figures: Figures) -> str:
    settings = figures.failover
    rows = [
        ("a new signal, after `kill -9`, a pause or a lost machine", new_signals(settings)),
        ("a new signal, when the node was drained", new_signals(settings, drained=True)),
        ("a run for a signal, after `kill -9`", runs_under_way(settings, silent=False)),
        ("a run for a signal, after a pause or a lost machine", runs_under_way(settings, silent=True)),
        ("another run, after `kill -9`", left_runs(settings, silent=False)),
        ("another run, after a pause or a lost machine", left_runs(settings, silent=True)),
    ]
    return _table(("what waits", "p50 s", "p99 s"), [(what, f"{w.p50:.1f}", f"{w.p99:.1f}") for what, w in rows])


def _million(figures: Figures) -> str:
    rows: list[Sequence[str]] = []
    for signals in SIGNALS_A_DAY:
        found = needs(MILLION, signals, figures)
        rows.append(
            (
                f"{signals} a day",
                f"{found.mean_runs_s:,.0f}",
                f"{found.peak_runs_s:,.0f}",
                str(found.nodes),
                str(found.slices),
                str(found.database_cores),
                f"{found.journal_gib:,.0f}",
                f"{found.views_gib:,.0f}",
                f"{found.archive_gib:,.0f}",
                f"{found.awake_gib:.1f}",
            )
        )
    header = (
        "signals a session", "mean runs/s", "peak", "node cores", "slices", "database cores",
        "journal, GiB", "views, GiB", "archives, GiB", "sessions awake, GiB",
    )  # fmt: skip
    return _table(header, rows)


def _bill(figures: Figures) -> str:
    rows: list[Sequence[str]] = []
    for signals in SIGNALS_A_DAY:
        found = bill(MILLION, signals, figures)
        shown = (
            found.nodes,
            found.database,
            found.journal,
            found.views,
            found.archive,
            found.machinery,
            found.thinking,
        )
        rows.append((f"{signals} a day", *(f"{dollars:,.2f}" for dollars in shown)))
    header = ("signals a session", "nodes", "databases", "journal", "views", "archives", "together", "the model")
    prices = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in Prices()._asdict().items())
    return f"{_table(header, rows)}\n\nPrices in dollars: {prices}."


TABLES: dict[str, Callable[[Figures], str]] = {
    "ceilings": _ceilings,
    "load": _load,
    "failover": _failover,
    "million": _million,
    "bill": _bill,
}
"""Each as Markdown."""
