"""Fixtures that several packages' tests share."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from nats_cluster import NatsCluster
from postgres import PostgresServer, as_role, run_sql

from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.journals.postgres_roles import roles_sql
from treadle.gateways.views.postgres import SCHEMA

# An example that is slow on a machine with much else to do is no counterexample.
settings.register_profile("treadle", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("treadle")

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3
"""A whole run on two cores takes about a quarter of it."""


def pytest_configure() -> None:
    """What tests store goes to memory where there is room, for this process and those that it starts.

    Each append is fsynced, thousands of times in a suite, and a disk that others use as well makes the suite as slow as
    it likes. No test cuts the power: whatever is killed finds there what it would find on a disk. `TMPDIR` decides
    otherwise.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nats-cluster", action="store_true", help="run what needs a NATS server on a cluster of three")
    parser.addoption("--write-pages", action="store_true", help="write the parts of pages that tests make")


@pytest.fixture(scope="session")
def nats_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three real servers for all tests that harm none; whoever uses them takes a namespace of their own."""
    cluster = NatsCluster(Path(tmp_path_factory.mktemp("cluster")))
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        asyncio.run(cluster.stop())


@pytest.fixture(scope="session")
def nats_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer | NatsCluster]:
    """One real server for all tests; whoever uses it takes a namespace of their own."""
    if request.config.getoption("--nats-cluster"):
        yield request.getfixturevalue("nats_cluster")
        return
    server = EmbeddedServer(Path(tmp_path_factory.mktemp("nats")))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.kill())  # in good order it takes a tenth of a second for each stream that tests left behind


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real server for all tests."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of its own, gone after the test."""
    name = f"test_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def roles_url(postgres_url: str) -> str:
    """A database with the roles and tables of a journal."""
    run_sql(postgres_url, *roles_sql("treadle", SCHEMA))
    return postgres_url


@pytest.fixture
def app_url(roles_url: str) -> str:
    """The same, as the application."""
    return as_role(roles_url, "app")
