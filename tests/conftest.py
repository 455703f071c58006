"""Fixtures that several packages' tests share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from treadle.gateways.broker.server import EmbeddedServer


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real server for all tests; whoever uses it takes a namespace of their own."""
    server = EmbeddedServer(Path(tmp_path_factory.mktemp("nats")))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())
