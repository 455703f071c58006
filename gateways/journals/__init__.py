"""The journals: in memory, on SQLite, on PostgreSQL.

    memory.py    for scripts and tests: quick, and gone with the process
    sqlite.py    a file: durable, for one machine
    postgres.py  a database: durable, for many nodes
    figures.py   how large they are, and how fast they grow

Those in databases are opened with their archives (`gateways/archives/`). `open_journal` loads what it needs and nothing
else: importing this package loads no database driver.
"""

from urllib.parse import unquote, urlsplit

from ...actors.clock import SYSTEM_CLOCK, Clock
from ...events.errors import ConfigError
from ...events.journal import Journal

__all__ = ["is_postgres", "journal_path", "open_file", "open_journal"]

_FORMS = "'memory', 'sqlite:PATH', 'sqlite:///ABSOLUTE/PATH' or 'postgresql://USER:PASSWORD@HOST/DATABASE'"


async def open_journal(spec: str, *, clock: Clock = SYSTEM_CLOCK) -> Journal:
    """The journal that `spec` names: `memory`, `sqlite:runs.db`, `sqlite:./runs.db` or `sqlite:///var/runs.db`.

    Raises:
        ConfigError: There is no such journal; the message lists what there is.
        Unavailable: It is there and cannot be opened now.
    """
    scheme, _, rest = spec.partition(":")
    match scheme:
        case "memory" if not rest.strip("/"):
            from .memory import MemoryJournal

            return MemoryJournal(clock=clock)
        case "sqlite":
            return await open_file(_path(spec, rest), clock=clock)
        case "postgres" | "postgresql":
            from ..postgres import require

            require()
            from ..archives.postgres import PostgresCatalog
            from ..archives.read_through import ReadThrough
            from .postgres import PostgresJournal

            journal = await PostgresJournal.open(spec, clock=clock)
            return ReadThrough(journal, PostgresCatalog(journal.reader))
        case _:
            raise ConfigError(f"there is no journal {_redacted(spec)!r}; use {_FORMS}")


async def open_file(path: str, *, clock: Clock = SYSTEM_CLOCK, read_only: bool = False) -> Journal:
    """The journal in the SQLite file `path`, and in its archives."""
    from ..archives.read_through import ReadThrough
    from ..archives.sqlite import SqliteCatalog
    from .sqlite import SqliteJournal

    journal = await SqliteJournal.open(path, clock=clock, read_only=read_only)
    return ReadThrough(journal, SqliteCatalog(journal.reader, journal.path))


def is_postgres(spec: str) -> bool:
    """Whether `spec` names a journal in PostgreSQL, which other nodes may share."""
    return spec.partition(":")[0] in ("postgres", "postgresql")


def journal_path(spec: str) -> str | None:
    """The file of a journal that is one; None for a journal in memory or in a database."""
    scheme, _, rest = spec.partition(":")
    return _path(spec, rest) if scheme == "sqlite" else None


def _path(spec: str, rest: str) -> str:
    if not rest.startswith("//"):
        path = rest
    else:
        url = urlsplit(spec)
        if url.netloc not in ("", "localhost"):
            raise ConfigError(
                f"journal {spec!r} names the host {url.netloc!r}, and a file is on this one; use {_FORMS}"
            )
        path = unquote(url.path)
    if not path or ":memory:" in path:
        raise ConfigError(f"journal {spec!r} names no file; use {_FORMS}")
    return path


def _redacted(spec: str) -> str:
    """Without the user and password that a URL may carry."""
    head, at, tail = spec.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else spec
