"""The tables of docs/scaling.md are those that the simulation makes of the measured figures."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"


def simulate(page: Path) -> None:
    """Have the simulation put its tables into `page`."""
    command = [sys.executable, str(ROOT / "benchmarks" / "simulate.py"), "--page", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_the_page_shows_what_the_simulation_makes(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text(PAGE.read_text())
    simulate(page)
    assert page.read_text() == PAGE.read_text(), (
        "the figures or the model have changed: run benchmarks/simulate.py --page docs/scaling.md, and read the page"
    )


def test_a_page_without_a_place_for_a_table_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text(PAGE.read_text().replace("<!-- simulated: bill -->", ""))
    with pytest.raises(AssertionError, match="0 places for the table 'bill'"):
        simulate(page)
