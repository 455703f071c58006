"""`make crash SEED=N KILLS=1000`: kill programs at every place and at random, and say in tables what came of it.

First each architecture and a workflow at every place that they come by, each fourth time once more while that is made
good; then all programs at random. Exit code 0 only if every program ended as if it had never been killed. What broke is
left in a directory that is named.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from .architectures import architectures
from .chaos import storm
from .every_place import matrix
from .programs import programs
from .tally import Tally

WHERE = {
    "before event": "before append",
    "after event": "on disk, untold",
    "before effect": "before effect",
    "after effect": "after effect",
    "before the": "before the answer",
    "any moment": "any moment",
}

Told = Callable[[float], None]
"""Hears how far something has come, from 0 to 1."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed kills the same programs at the same places")
    parser.add_argument("--kills", type=int, default=1000, help="how many at random; 0 for none")
    parser.add_argument("--only", nargs="*", default=[*architectures()], help="who is killed at every place")
    asked = parser.parse_args()
    console = Console()
    directory = Path(tempfile.mkdtemp(prefix="treadle-chaos-"))

    def at_every_place(told: Told) -> Mapping[str, Tally]:
        return matrix(asked.only, asked.seed, directory / "every-place", told)

    def at_random(told: Told) -> Mapping[str, Tally]:
        among = [*programs(), *architectures()]
        return storm(asked.seed, asked.kills, directory / "random", lambda died: told(died / asked.kills), among)

    total = Tally()
    if asked.only:
        total.add(show(console, f"Killed at every place, seed {asked.seed}", at_every_place))
    if asked.kills:
        total.add(show(console, f"Killed at random, seed {asked.seed}", at_random))
    for broken in total.broken:
        console.print(broken, style="red", markup=False)
    if total.broken:
        console.print(f"{len(total.broken)} of {total.victims} programs are broken; they are in {directory}")
        return 1
    shutil.rmtree(directory)
    console.print(
        f"{total.deaths.total()} kills: no idempotent and no destructive effect twice, none lost, every repetition of "
        "a plain one visible as a further attempt, no recorded answer of an architecture's model paid for again, every "
        "chain whole, every end as if never killed."
    )
    return 0


def show(console: Console, title: str, kill: Callable[[Told], Mapping[str, Tally]]) -> Tally:
    """Kill, with a bar that grows meanwhile and a table in the end; what came of it in all."""
    begun, total = time.monotonic(), Tally()
    columns = TextColumn("killing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=1.0)
        tallies = kill(lambda done: progress.update(bar, completed=done))
    for tally in tallies.values():
        total.add(tally)
    console.print(table(tallies, total, title, f"{time.monotonic() - begun:.0f} s"))
    return total


def table(tallies: Mapping[str, Tally], total: Tally, title: str, caption: str) -> Table:
    made = Table("program", title=title, caption=caption)
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
