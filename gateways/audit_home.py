"""Where the key and the seals of a journal's audit are: in files here, whatever the journal is.

    sqlite:runs.db            runs.audit.key and runs.audit.seals, beside it
    postgresql://…/runs       runs.db.audit.key and runs.db.audit.seals, in the system's directory
    memory                    nowhere: it seals nothing

The key never goes to a database, and the seals do not either: who can write the journal there should find no seal to
change with it. So each node on PostgreSQL is a witness of its own to the audit that all of them share. It seals what it
has seen with its own key, and `treadle audit` in its directory checks the database against what that node has signed.
"""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ..events.errors import ConfigError
from ..projections import Audit
from ..projections.seal import Signer
from .journals import is_postgres, journal_path
from .postgres import database_name
from .seal_file import SealFile, seals_path
from .signing import Ed25519Signer, key_path


class AuditHome:
    """The files of one journal's audit.

    Args:
        beside: The path that they are named after; None for a journal that has no files.
    """

    def __init__(self, beside: Path | None) -> None:
        self._beside = beside

    @classmethod
    def of(cls, journal: str, directory: Path) -> "AuditHome":
        """Of the journal that `journal` names, for the system in `directory`."""
        if is_postgres(journal):
            return cls(directory / f"{quote(database_name(journal), safe='')}.db")
        path = journal_path(journal)
        return cls(None if path is None else Path(path))

    def signing(self) -> Audit:
        """The audit of a system, which seals it; the key is made when there is none.

        Without the package `cryptography` it is not sealed.

        Raises:
            ConfigError, Unavailable: The key cannot be used, read or made.
        """
        if self._beside is None or not _can_sign():
            return self.looking()
        self._beside.parent.mkdir(parents=True, exist_ok=True)
        return self._audit(Ed25519Signer.open(key_path(self._beside)))

    def exporting(self) -> Audit:
        """The audit for a copy that is signed where there is a key."""
        if self._beside is None or not _can_sign() or not key_path(self._beside).exists():
            return self.looking()
        return self._audit(Ed25519Signer.open(key_path(self._beside)))

    def looking(self, seals: Path | None = None) -> Audit:
        """The audit, to look at: whoever looks seals nothing.

        Args:
            seals: A file of seals that were kept elsewhere.
        Raises:
            ConfigError: There is no such file.
        """
        if seals is None:
            return self._audit(None)
        if not seals.exists():
            raise ConfigError(f"there is no file of seals {str(seals)!r}")
        return Audit(None, SealFile(seals))

    def public_key(self) -> str:
        """The public key here; empty when there is none, or nothing that it could have signed so far.

        A key that is given is another matter: then a missing seal is a finding. Who can remove the seals here could
        replace this key too.
        """
        if self._beside is None or not _can_sign() or not seals_path(self._beside).exists():
            return ""
        key = key_path(self._beside)
        file = key.with_name(f"{key.name}.pub")
        return file.read_text("utf-8").strip() if file.exists() else ""

    def _audit(self, signer: Signer | None) -> Audit:
        return Audit() if self._beside is None else Audit(signer, SealFile(seals_path(self._beside)))


def _can_sign() -> bool:
    return find_spec("cryptography") is not None
