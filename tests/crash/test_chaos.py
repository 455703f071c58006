"""The short form of `make crash`."""

from pathlib import Path

import pytest
from crash.chaos import storm

KILLS = 30


@pytest.mark.timeout(120)
def test_thirty_random_kills_change_nothing_but_the_attempts(tmp_path: Path) -> None:
    tallies = storm(seed=7, kills=KILLS, directory=tmp_path)

    assert [broken for tally in tallies.values() for broken in tally.broken] == []
    assert sum(tally.deaths.total() for tally in tallies.values()) >= KILLS
    # Deaths are everywhere: at appends, in tools, and at any moment.
    assert len({kind for tally in tallies.values() for kind in tally.deaths}) >= 5
