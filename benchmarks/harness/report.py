"""The table a person reads, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from harness.case import TREADLE, is_rate
from harness.machine import Machine
from harness.rounds import CaseResult, Outcome, Verdict

MET = {True: "[green]met[/]", False: "[red]not met[/]", None: "–"}


def table(result: CaseResult) -> Table:
    case = result.case
    title = f"{case.name} · {escape(case.title)}"
    drawn = Table(title=title, title_style="bold", title_justify="left", box=SIMPLE_HEAD)
    drawn.add_column("contender", no_wrap=True)
    for heading in ("median", "fastest", "slowest", "to Treadle"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("aim")
    drawn.add_column("", no_wrap=True)
    drawn.add_column("note")
    for outcome in result.outcomes:
        name = outcome.contender.name
        verdicts = [verdict for verdict in result.verdicts() if name == (verdict.aim.against or verdict.aim.of)]
        drawn.add_row(
            name,
            *numbers(outcome, result),
            "\n".join(escape(verdict.aim.text) for verdict in verdicts),
            "\n".join(MET[verdict.is_met] for verdict in verdicts),
            f"[yellow]{escape(outcome.error)}[/]" if outcome.error else escape(outcome.contender.note),
        )
    return drawn


def numbers(outcome: Outcome, result: CaseResult) -> tuple[str, str, str, str]:
    """Median, fastest and slowest round, and the ratio to Treadle; a contender that failed has none."""
    if outcome.median is None:
        return "[yellow]failed[/]", "", "", ""
    unit = result.case.unit
    fastest, slowest = sorted((min(outcome.rounds), max(outcome.rounds)), reverse=is_rate(unit))
    return (
        quantity(outcome.median, unit),
        quantity(fastest, unit),
        quantity(slowest, unit),
        ratio(outcome, result),
    )


def ratio(outcome: Outcome, result: CaseResult) -> str:
    """This contender's median as a multiple of Treadle's."""
    treadle = result.median(TREADLE)
    return f"{outcome.median / treadle:.3g} ×" if outcome.median is not None and treadle else "–"


def quantity(value: float, unit: str) -> str:
    """A value as a person writes it: seconds in µs, ms or s, rates without the thing the title names."""
    if unit == "×":
        return f"{value:.3f} ×"
    if unit != "s":
        return f"{value:,.0f} {'/s' if is_rate(unit) else unit}"
    if value < 1e-3:
        return f"{value * 1e6:,.1f} µs"
    return f"{value * 1e3:,.2f} ms" if value < 1 else f"{value:,.2f} s"


def as_json(machine: Machine, results: list[CaseResult]) -> dict[str, Any]:
    return {"machine": asdict(machine), "cases": [_case(result) for result in results]}


def _case(result: CaseResult) -> dict[str, Any]:
    return {
        "case": result.case.name,
        "unit": result.case.unit,
        "contenders": [
            {
                "contender": outcome.contender.name,
                "median": outcome.median,
                "rounds": outcome.rounds,
                "error": outcome.error,
                "note": outcome.contender.note,
            }
            for outcome in result.outcomes
        ],
        "aims": [_verdict(verdict) for verdict in result.verdicts()],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict.aim), "is_met": verdict.is_met}
