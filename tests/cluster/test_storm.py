"""The short form of `make chaos`."""

import asyncio
from pathlib import Path

import pytest
from cluster.disturbances import brief
from cluster.storm import storm

SEED = 7


@pytest.mark.timeout(180)
def test_three_nodes_lose_nothing_and_do_nothing_twice_in_a_storm(tmp_path: Path) -> None:
    outcome = asyncio.run(storm(tmp_path, brief(SEED), seconds=14, per_second=2, calm_s=60, seed=SEED))

    assert outcome.broken == []
    assert outcome.signals == 28
    assert outcome.takeovers > 0
