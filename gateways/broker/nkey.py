"""Keys of NATS users: Ed25519, written as nkeys. Needs the extra: `pip install treadle[signing]`.

A public key (`U…`) is base32 of a type byte, the 32 bytes and a CRC-16; a seed (`SU…`) has a byte more, which says that
it is one. The server keeps public keys only; who connects signs its nonce. nats-py reads nkeys with a package of that
name; with this module it needs none.
"""

import base64
import binascii
import struct
from typing import TYPE_CHECKING

from ...events.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED, _USER = 18 << 3, 20 << 3
_SEED_PREFIX = bytes((_SEED | _USER >> 5, (_USER & 31) << 3))
_LENGTH = 32
_CRC = struct.Struct("<H")
_MISSING = "keys of NATS users need the package 'cryptography': pip install treadle[signing]"


class UserKey:
    """The key pair of one NATS user. Its repr shows the public key alone."""

    def __init__(self, private_key: "Ed25519PrivateKey") -> None:
        self._private_key = private_key
        self.public = _written(bytes((_USER,)) + private_key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"<UserKey {self.public}>"

    @classmethod
    def generate(cls) -> "UserKey":
        """A new key that is kept nowhere.

        Raises:
            ConfigError: `cryptography` is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as exc:
            raise ConfigError(_MISSING) from exc
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_seed(cls, seed: str) -> "UserKey":
        """The key that `seed` (`SU…`) stands for.

        Raises:
            ConfigError: `cryptography` is not installed.
            ValueError: It is no seed of a user; the message does not repeat it.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as exc:
            raise ConfigError(_MISSING) from exc
        raw = _read(seed)
        if len(raw) != len(_SEED_PREFIX) + _LENGTH or not raw.startswith(_SEED_PREFIX):
            raise ValueError("it is not the seed of a user, which begins with SU")
        return cls(Ed25519PrivateKey.from_private_bytes(raw[len(_SEED_PREFIX) :]))

    @property
    def seed(self) -> str:
        """The secret, to be written into a file of mode 0600 and nowhere else."""
        return _written(_SEED_PREFIX + self._private_key.private_bytes_raw())

    def sign(self, nonce: str) -> bytes:
        """The signature that the server asks for when we connect, in base64."""
        return base64.b64encode(self._private_key.sign(nonce.encode()))


def _written(raw: bytes) -> str:
    return base64.b32encode(raw + _CRC.pack(binascii.crc_hqx(raw, 0))).decode().rstrip("=")


def _read(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise ValueError("it is not base32, as keys of NATS are") from None  # the cause may quote the secret
    body, check = raw[: -_CRC.size], raw[-_CRC.size :]
    if len(check) != _CRC.size or _CRC.unpack(check)[0] != binascii.crc_hqx(body, 0):
        raise ValueError("its checksum does not fit: a letter is wrong or missing")
    return body
