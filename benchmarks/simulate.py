"""Simulate Treadle on more machines than there are, and make the tables of docs/scaling.md.

    python benchmarks/simulate.py                             print them
    python benchmarks/simulate.py --page docs/scaling.md      put them into the page, where it names them

The same figures give the same tables: chance has a seed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from simulation.figures import figures
from simulation.tables import TABLES


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate Treadle on more machines than there are.")
    parser.add_argument("--page", type=Path, help="a page to put the tables into")
    page: Path | None = parser.parse_args().page
    if page is None:
        for name, table in TABLES.items():
            print(f"\n{name}\n\n{table(figures())}")
        return
    text = page.read_text()
    for name in TABLES:
        if (places := len(_place(name).findall(text))) != 1:
            raise SystemExit(f"the page has {places} places for the table {name!r}, and should have one")
    for name, table in TABLES.items():
        made = table(figures())
        text = _place(name).sub(lambda place, made=made: f"{place[1]}{made}\n{place[2]}", text)
    page.write_text(text)


def _place(name: str) -> re.Pattern[str]:
    """Where a page wants this table, between two marks."""
    return re.compile(f"(<!-- simulated: {name} -->\\n).*?(<!-- end -->)", re.DOTALL)


if __name__ == "__main__":
    main()
