"""What people look at when it is over: the projections as tables, the claims, and how to look further."""

import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .claims import Claim
from .evidence import Evidence
from .place import AGENT, USER

_ROWS = 8


def _table(title: str, *columns: str, expand: bool = False) -> Table:
    """One line a row; with `expand`, the last column has what the others leave of the width, and is cut there."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=expand)
    for column in columns:
        flexible = expand and column == columns[-1]
        table.add_column(column, overflow="ellipsis", no_wrap=True, ratio=1 if flexible else None)
    return table


def _short(run_id: str) -> str:
    """The end of a run's id, for a column; delegated runs have their caller's id in front of their own name."""
    own, _, rest = run_id.partition("_")
    return f"└ {own[-6:]}_{rest}" if rest else own[-12:]


def _shown(title: str, shown: int, all_of_them: int) -> str:
    return title if shown >= all_of_them else f"{title}, {shown} of {all_of_them}"


def runs(e: Evidence) -> Table:
    table = _table(_shown("Runs", _ROWS, len(e.runs)), "run", "agent", "state", "events", "output", expand=True)
    for run in e.runs[:_ROWS]:
        table.add_row(_short(run.run_id), run.agent, run.state, str(run.version), run.output)
    return table


def facts(e: Evidence) -> Table:
    table = _table("Facts believed now", "subject", "predicate", "object", "true from", "until", "believed from")
    for fact in e.facts:
        until = f"{fact.valid_until:%T}" if fact.valid_until else "now"
        claim = fact.subject, fact.predicate, fact.object
        table.add_row(*claim, f"{fact.valid_from:%T}", until, f"{fact.recorded_from:%T}")
    return table


def budget(e: Evidence) -> Table:
    caps = {row.scope: row for row in e.budgets}
    used = ", ".join(f"{scope}: {row.used_tokens:,} of {row.limits.max_tokens:,}" for scope, row in caps.items())
    table = _table(f"Budget ({used})", "agent", "model", "calls", "input tokens", "output tokens", "cost")
    for row in e.usage:
        tokens = f"{row.input_tokens:,}", f"{row.output_tokens:,}"
        table.add_row(row.agent, row.model, str(row.calls), *tokens, f"${row.cost_usd:.2f}")
    return table


def board(e: Evidence) -> Table:
    table = _table(_shown("Blackboard ops", _ROWS, len(e.board)), "#", "at", "author", "entry", expand=True)
    for entry in e.board[-_ROWS:]:
        table.add_row(str(entry.number), f"{entry.at:%T}", entry.author, entry.content)
    return table


def claims(judged: list[Claim]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for claim in judged:
        mark = Text("✓", "bold green") if claim.held else Text("✗", "bold red")
        table.add_row(mark, Text(claim.text, "" if claim.held else "red"), claim.found)
    return table


def show(console: Console, e: Evidence, audit: str) -> None:
    """The projections, and what `treadle audit verify` said."""
    for table in (runs(e), facts(e), budget(e), board(e)):
        console.print(table)
    console.print("[bold]Audit[/]  treadle audit verify\n", highlight=False)
    console.print(audit, markup=False, highlight=False)


def numbers(e: Evidence) -> dict[str, int]:
    """The story in numbers."""
    sent = [line["run_id"] for line in e.ledger if line["what"] == "paged"]
    return {
        "signals": sum(line["what"] == "accepted" for line in e.published),
        "runs": len(e.runs),
        "events": len(e.events),
        "kills": len(e.kills),
        "effects": len(sent),
        "repeated effects": len(sent) - len(set(sent)),
        "gaps": len(e.verdict.gaps),
        "doubles": len(e.verdict.doubles),
    }


def counts(e: Evidence) -> Table:
    """Those numbers, in one line."""
    counted = numbers(e)
    table = Table(*counted, box=box.SIMPLE_HEAD)
    table.add_row(*(str(number) for number in counted.values()))
    return table


def further(console: Console, e: Evidence) -> None:
    """Commands to look further, that can be copied."""
    python = Path(sys.executable)
    treadle = f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python} -m treadle"
    where = f"--directory {e.place.directory}"
    run_id = next(run.run_id for run in e.runs if run.agent == AGENT)
    console.print(f"\nEverything is kept in {e.place.directory}. To look further:\n", soft_wrap=True, highlight=False)
    for command in (
        f"{treadle} runs {where}",
        f"{treadle} show {run_id} {where}",
        f"{treadle} facts --user {USER} {where}",
        f"{treadle} budget {where}",
        f"{treadle} audit verify {where}",
        f"grep paged {e.place.ledger}",
        f"grep run-{run_id} {e.place.watched}",
    ):
        console.print(f"  {command}", soft_wrap=True, highlight=False)
