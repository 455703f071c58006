"""The read models that belong to a journal: their database, and the projections that keep it."""

from importlib.util import find_spec

from ..projections import Audit, Blackboards, BudgetView, Facts, Projection, Runs, Sessions, Views
from .journals import journal_path


def open_read_models(journal: str) -> tuple[Views, list[Projection]]:
    """The views beside a journal, in memory for one in memory, and everything that is kept there.

    The audit is sealed with a key of its own beside the journal when the extra `signing` is installed.
    """
    from .views.sqlite import SqliteViews, views_path

    path = journal_path(journal)
    if path is None:
        return SqliteViews(), [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), Audit()]
    from .seal_file import SealFile, seals_path

    signer = None
    if find_spec("cryptography") is not None:
        from .signing import Ed25519Signer, key_path

        signer = Ed25519Signer.open(key_path(path))
    audit = Audit(signer, SealFile(seals_path(path)))
    return SqliteViews(views_path(path)), [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), audit]
