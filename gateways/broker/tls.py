"""TLS to a NATS server: whom we trust, and how we prove who we are if it asks."""

import ssl
from pathlib import Path

from msgspec import Struct

from ...events.errors import ConfigError


class Tls(Struct, frozen=True):
    """Files for TLS, in PEM.

    Attributes:
        ca: Of the authority that signed the server's certificate; None trusts those that the system trusts.
        cert, key: Our own certificate and its key, for a server that verifies its clients.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """As Python's ssl wants it: certificates and host names are verified.

        Raises:
            ConfigError: A file is missing or is not what it should be.
        """
        if self.key is not None and self.cert is None:
            raise ConfigError("a TLS key without its certificate; give both, or none")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"TLS authority {str(self.ca)!r} cannot be used: {exc}") from exc
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ssl.SSLError) as exc:
                key = f" with key {str(self.key)!r}" if self.key is not None else ""
                raise ConfigError(f"TLS certificate {str(self.cert)!r}{key} cannot be used: {exc}") from exc
        return context
