"""The journal and its projections for commands that only look: beside a running system, or when none runs.

The journal is opened for reading. Projections that are behind catch up first, in the views' own file, where a running
system may be folding too: each event counts once, whoever is first. Where that file cannot be written they are folded
in memory, for this command alone.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from ...events.errors import ConfigError, JournalTooNew, ReadOnly, Unavailable
from ...events.journal import Journal
from ...projections import Projection, Projections
from ..audit_home import AuditHome
from ..journals import is_postgres, journal_path, open_file, open_journal
from ..read_models import open_views
from ..views.sqlite import SqliteViews
from .place import Place


def audit_home(place: Place) -> AuditHome:
    """Where the key and the seals of this journal's audit are."""
    return AuditHome.of(place.journal, place.directory)


@asynccontextmanager
async def read_journal(place: Place) -> AsyncGenerator[Journal]:
    """The journal, for reading.

    Raises:
        ConfigError: There is none.
    """
    if is_postgres(place.journal):
        journal = await open_journal(place.journal)
    else:
        journal = await open_file(_file(place), read_only=True)
    if isinstance(journal.refusal, JournalTooNew):
        place.note(str(journal.refusal))
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def read_projections(place: Place, *wanted: Projection, catch_up: bool = True) -> AsyncGenerator[Projections]:
    """These projections, which have folded everything that is in the journal now.

    Args:
        catch_up: False leaves them as they are.
    Raises:
        ConfigError: There is no journal.
        ProjectionStopped: One of them cannot fold the journal any further.
    """
    async with read_journal(place) as journal:
        views = open_views(place.journal)
        projections = Projections(journal, views, wanted)
        try:
            try:
                await projections.start()
            except (ReadOnly, Unavailable):
                await views.close()
                views = SqliteViews()
                projections = Projections(journal, views, wanted)
                await projections.start()
            try:
                if catch_up:
                    await projections.catch_up()
                yield projections
            finally:
                await projections.close()
        finally:
            await views.close()


def _file(place: Place) -> str:
    path = journal_path(place.journal)
    if path is None:
        raise ConfigError(f"journal {place.journal!r} is in the memory of its process; only that process can read it")
    if not Path(path).exists():
        raise ConfigError(f"there is no journal {path!r}; `treadle up` makes one, --journal sqlite:PATH names another")
    return path
