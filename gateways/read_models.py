"""The read models that belong to a journal: their database, and the projections that keep it."""

from importlib.util import find_spec

from ..projections import Audit, Blackboards, BudgetView, Facts, Projection, Runs, Sessions, Views
from .journals import is_postgres, journal_path


def open_read_models(journal: str) -> tuple[Views, list[Projection]]:
    """The views beside a journal, in memory for one in memory, and everything that is kept there.

    The audit of a journal that is a file is sealed, with a key of its own beside it when the extra `signing` is
    installed. In PostgreSQL all nodes share the views, and no one of them has the key: their audit is chained and has
    no seals.
    """
    views, path = open_views(journal), journal_path(journal)
    if path is None:
        return views, [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), Audit()]
    from .seal_file import SealFile, seals_path

    signer = None
    if find_spec("cryptography") is not None:
        from .signing import Ed25519Signer, key_path

        signer = Ed25519Signer.open(key_path(path))
    audit = Audit(signer, SealFile(seals_path(path)))
    return views, [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), audit]


def open_views(journal: str) -> Views:
    """The views of a journal, beside it."""
    if is_postgres(journal):
        from .views.postgres import PostgresViews

        return PostgresViews(journal)
    from .views.sqlite import SqliteViews, views_path

    path = journal_path(journal)
    return SqliteViews() if path is None else SqliteViews(views_path(path))
