"""Archiving, by a journal's name."""

import asyncio
from collections.abc import Callable, Collection, Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from ...events.errors import ConfigError
from ..journals import is_postgres, journal_path
from ..journals.owner_name import new_owner
from .archiver import CLOSING, FILE_BYTES, Archiver, Report, nobody
from .catalog import Store


async def archive_closed(
    spec: str,
    *,
    closed_before: datetime,
    into: Path | None = None,
    closing_types: Collection[str] = CLOSING,
    file_bytes: int = FILE_BYTES,
    told: Callable[[str], None] = nobody,
) -> Report:
    """Move the streams that were closed before a time to archives; see `Archiver`.

    Raises:
        ConfigError: There is no such journal, it has no archives, or no place for them.
    """

    def work() -> Report:
        with _store(spec) as store:
            return Archiver(
                store,
                closed_before=closed_before,
                directory=into,
                closing_types=closing_types,
                file_bytes=file_bytes,
                told=told,
            ).run()

    return await asyncio.to_thread(work)


@contextmanager
def _store(spec: str) -> Generator[Store]:
    if is_postgres(spec):
        from ..postgres import require

        require()
        from .postgres import PostgresStore

        with closing(PostgresStore(spec)) as in_database:
            yield in_database
        return
    path = journal_path(spec)
    if path is None:
        raise ConfigError(f"journal {spec!r} has no archives: it forgets the runs that finished first by itself")
    if not Path(path).exists():
        raise ConfigError(f"there is no journal {path!r}; --journal sqlite:PATH names another")
    from ..journals.sqlite_file import open_file
    from .sqlite import SqliteStore

    file = open_file(Path(path), new_owner())
    try:
        if file.refusal is not None:
            raise file.refusal
        with closing(SqliteStore(file)) as store:
            yield store
    finally:
        file.owners.leave()
