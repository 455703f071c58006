"""Ed25519 keys that seal the audit. Needs the extra: `pip install treadle[signing]`.

A key is made for each journal and never comes with the program. Its file can be read by its owner alone; the public
key lies beside it, to be handed to whoever verifies.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ..events.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


_MISSING = "signing the audit needs the package 'cryptography': pip install treadle[signing]"


class Ed25519Signer:
    """Signs with the private key in a file.

    `open` makes the file when it is missing, with mode 0600, and `<path>.pub` with the public key in hex.
    """

    def __init__(self, private_key: "Ed25519PrivateKey") -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key().public_bytes_raw().hex()

    def __repr__(self) -> str:
        return f"<Ed25519Signer {self.public_key[:16]}…>"

    @classmethod
    def generate(cls) -> "Ed25519Signer":
        """A signer with a new key that is kept nowhere.

        Raises:
            ConfigError: `cryptography` is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as exc:
            raise ConfigError(_MISSING) from exc
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def open(cls, path: str | Path) -> "Ed25519Signer":
        """The signer whose key is in `path` (PKCS #8, PEM).

        Raises:
            ConfigError: `cryptography` is not installed, the file holds no Ed25519 key, or others may read it.
            Unavailable: The file cannot be read or made.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError as exc:
            raise ConfigError(_MISSING) from exc
        path = Path(path)
        try:
            if not path.exists():
                _create(path, Ed25519PrivateKey.generate())
            mode, pem = path.stat().st_mode, path.read_bytes()
        except OSError as exc:
            raise Unavailable(f"signing key {str(path)!r}", str(exc)) from exc
        if mode & _OTHERS:
            raise ConfigError(f"signing key {str(path)!r} can be read by others (mode {mode & 0o777:o}): chmod 600 it")
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError) as exc:  # TypeError: it is encrypted
            raise ConfigError(f"signing key {str(path)!r} holds no private key: {exc}") from exc
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"signing key {str(path)!r} holds no Ed25519 key: make one with `openssl genpkey`")
        signer, public = cls(key), path.with_name(f"{path.name}.pub")
        try:
            if not public.exists():
                public.write_text(signer.public_key + "\n")
        except OSError as exc:
            raise Unavailable(f"public key {str(public)!r}", str(exc)) from exc
        return signer

    def sign(self, message: bytes) -> bytes:
        return self._private_key.sign(message)


def check_signature(public_key: str, message: bytes, signature: bytes) -> bool:
    """Whether they belong together. A key that is no key belongs to nothing.

    Raises:
        ConfigError: `cryptography` is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as exc:
        raise ConfigError(_MISSING) from exc
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_path(journal: str | Path) -> Path:
    """Where a journal's key belongs: `events.db` has `events.audit.key`."""
    return Path(journal).with_suffix(".audit.key")


def _create(path: Path, key: "Ed25519PrivateKey") -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    # Written aside and linked into place: of two processes that start at once one makes the key, both read it whole.
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its key is the one
    finally:
        draft.unlink()
