"""A database of one's own on the server of the cases that need one, and what that server has worked so far."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
import psycopg


@contextmanager
def new_database() -> Iterator[str]:
    """The URL of an empty database; it is gone afterwards."""
    server, name = os.environ["BENCH_POSTGRES_URL"], f"bench_{uuid4().hex[:12]}"
    _execute(f"CREATE DATABASE {name}")
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        _execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def kept_database(name: str) -> Iterator[tuple[str, bool]]:
    """The database of this name, and whether it is new, and to be filled in the block; it lives as its server does."""
    with psycopg.connect(os.environ["BENCH_POSTGRES_URL"], autocommit=True) as connection:
        is_new = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None
    if is_new:
        _execute(f"CREATE DATABASE {name}")
    yield os.environ["BENCH_POSTGRES_URL"].replace("/postgres?", f"/{name}?"), is_new


def analyze(url: str) -> None:
    """Let the planner know what is there, as autovacuum does after a while."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def server_cpu_s() -> float:
    """Seconds of processor time that the server has used, all its processes, those that have ended included."""
    return process_cpu_s(int(os.environ["BENCH_POSTGRES_PID"]))


def process_cpu_s(pid: int) -> float:
    """Seconds of processor time that a process and those that it started have used."""
    first = psutil.Process(pid)
    used = 0.0
    for process in (first, *first.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended just now, and counts with its parent's next
        used += times.user + times.system + times.children_user + times.children_system
    return used


def _execute(statement: str) -> None:
    with psycopg.connect(os.environ["BENCH_POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(statement.encode())
