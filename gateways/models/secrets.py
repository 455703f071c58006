"""Where keys come from: given, from a store of secrets, or from the environment, in this order."""

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from ...actors.model_errors import AuthenticationError


class Secrets(Protocol):
    """A store of secrets."""

    def lookup_sync(self, name: str) -> str | None:
        """The secret of this name; None when there is none."""
        ...


class EnvSecrets:
    """The process's environment."""

    def lookup_sync(self, name: str) -> str | None:
        return os.environ.get(name) or None


class DictSecrets:
    """Secrets that the program has."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"DictSecrets({', '.join(self._secrets)})"

    def lookup_sync(self, name: str) -> str | None:
        return self._secrets.get(name) or None


def find_key(provider: str, api_key: str | None, secrets: Secrets | None, names: Sequence[str]) -> str:
    """The key for a provider.

    Args:
        api_key: One that was given; it wins.
        names: What the key is called in `secrets`, and then in the environment.
    Raises:
        AuthenticationError: There is none; the message names where it was looked for.
    """
    if api_key:
        return api_key
    for store in (secrets, EnvSecrets()):
        for name in names:
            if store is not None and (found := store.lookup_sync(name)):
                return found
    where = "the secrets and the environment" if secrets is not None else "the environment"
    raise AuthenticationError(
        f"{provider} needs a key: give api_key=, or set {' or '.join(names)}; {where} had none", provider=provider
    )
