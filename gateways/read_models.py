"""The read models that belong to a journal: their database, and the projections that keep it."""

from pathlib import Path

from ..projections import Blackboards, BudgetView, Facts, Projection, Runs, Sessions, Views, Workspaces
from .audit_home import AuditHome
from .journals import is_postgres, journal_path


def open_read_models(journal: str, directory: Path) -> tuple[Views, list[Projection]]:
    """The views beside a journal, in memory for one in memory, and everything that is kept there.

    Args:
        directory: The system's, for the key and the seals of an audit whose journal is in a database.
    """
    audit = AuditHome.of(journal, directory).signing()
    return open_views(journal), [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), Workspaces(), audit]


def open_views(journal: str) -> Views:
    """The views of a journal, beside it."""
    if is_postgres(journal):
        from .views.postgres import PostgresViews

        return PostgresViews(journal)
    from .views.sqlite import SqliteViews, views_path

    path = journal_path(journal)
    return SqliteViews() if path is None else SqliteViews(views_path(path))
