"""`make crash SEED=N KILLS=1000`: kill programs at random, and say in a table what came of it.

Exit code 0 only if every program ended as if it had never been killed. What broke is left in a directory that is named.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .chaos import Tally, storm

WHERE = {
    "before append": "before append",
    "after append": "on disk, untold",
    "before effect": "in the tool, before",
    "after effect": "in the tool, after",
    "before the": "before the answer",
    "any moment": "any moment",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed kills the same programs at the same places")
    parser.add_argument("--kills", type=int, default=1000)
    asked = parser.parse_args()
    console = Console()
    directory = Path(tempfile.mkdtemp(prefix="treadle-chaos-"))
    begun = time.monotonic()
    columns = TextColumn("killing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=asked.kills)
        tallies = storm(asked.seed, asked.kills, directory, lambda died: progress.update(bar, completed=died))
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    console.print(table(tallies, total, f"seed {asked.seed}, {time.monotonic() - begun:.0f} s"))
    for broken in total.broken:
        console.print(broken, style="red", markup=False)
    if total.broken:
        console.print(f"{len(total.broken)} of {total.victims} programs are broken; they are in {directory}")
        return 1
    shutil.rmtree(directory)
    console.print(
        f"{total.deaths.total()} kills: no idempotent and no destructive effect twice, none lost, every repetition of "
        "a plain one visible as a further attempt, every chain whole, every end as if never killed."
    )
    return 0


def table(tallies: dict[str, Tally], total: Tally, caption: str) -> Table:
    made = Table("program", title="Killed by SIGKILL", caption=caption)
    for heading in ("programs", *WHERE.values(), "kills", "effects", "further attempts", "broken"):
        made.add_column(heading, justify="right")
    for name, tally in (*sorted(tallies.items()), ("all", total)):
        deaths = [str(tally.deaths[kind]) for kind in WHERE]
        counts = tally.deaths.total(), tally.effects, tally.attempts, len(tally.broken)
        if name == "all":
            made.add_section()
        made.add_row(name, str(tally.victims), *deaths, *map(str, counts))
    return made


if __name__ == "__main__":
    sys.exit(main())
