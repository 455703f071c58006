"""The short form of `make tree`."""

import asyncio
from pathlib import Path

import pytest
from cluster.tree import fell

from treadle.gateways.broker.server import EmbeddedServer

SEED = 7


@pytest.mark.timeout(180)
def test_a_lead_with_fifty_workers_over_three_nodes_that_are_killed_ends_as_if_nobody_had_died(
    nats_server: EmbeddedServer, postgres_url: str, tmp_path: Path
) -> None:
    outcome = asyncio.run(fell(tmp_path, postgres_url, nats_server.url, seed=SEED, kills=2, persistent=True))

    assert outcome.broken == []
    assert len(outcome.kills) == 2
