"""Who we are to a NATS server: a seed file of `treadle nats auth`, or a `.creds` file of whoever runs the server."""

import re
import stat
from pathlib import Path

from ...events.errors import ConfigError, Unavailable
from .nkey import UserKey

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credentials:
    """A user's key, and the token (JWT) that vouches for it where the server knows no keys itself."""

    def __init__(self, key: UserKey, jwt: str = "") -> None:
        self.key = key
        self.jwt = jwt

    def __repr__(self) -> str:
        return f"<Credentials {self.key.public}>"

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """What is in the file `path`.

        Raises:
            ConfigError: It is not there, holds no seed, or can be read by others.
            Unavailable: It cannot be read.
        """
        what = f"credentials file {str(path)!r}"
        try:
            mode, text = path.stat().st_mode, path.read_text("utf-8", "replace")
        except FileNotFoundError as exc:
            raise ConfigError(f"{what} does not exist; `treadle nats auth show` lists those that were made") from exc
        except OSError as exc:
            raise Unavailable(what, str(exc)) from exc
        if mode & _OTHERS:
            raise ConfigError(f"{what} can be read by others (mode {mode & 0o777:o}): chmod 600 it")
        jwt, seed = _JWT.search(text), _SEED.search(text)
        try:
            return cls(UserKey.of_seed(seed[1] if seed else text.strip()), jwt[1] if jwt else "")
        except ValueError as exc:
            raise ConfigError(f"{what} cannot be used: {exc}") from exc
