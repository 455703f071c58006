"""A life's directory whose journal is a database."""

from pathlib import Path
from uuid import uuid4

from postgres import PostgresServer

from .programs import ELSEWHERE


def directory(parent: Path, name: object, server: PostgresServer) -> Path:
    """A directory for lives, whose journal is a new database."""
    made = parent / str(name)
    made.mkdir()
    database = f"life_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {database}")
    (made / ELSEWHERE).write_text(server.url(database))
    return made
