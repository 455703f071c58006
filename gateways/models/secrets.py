"""Where keys come from: given, from a store of secrets, or from the environment, in this order.

Whatever is looked up here is masked from then on in all that is recorded and logged (`events/redaction.py`).
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Never, Protocol, runtime_checkable

from ...actors.model import Model
from ...actors.model_errors import AuthenticationError
from ...events.redaction import learn_secret


class Secrets(Protocol):
    """A store of secrets. It is asked at the moment that a secret is needed, so a new one is used from then on."""

    def lookup_sync(self, name: str) -> str | None:
        """The secret of this name; None when there is none."""
        ...


@runtime_checkable
class TakesSecrets(Protocol):
    """What looks for a key, and can be told where."""

    def take_secrets(self, secrets: Secrets) -> None:
        """Look there, too, unless it was told of another place before."""
        ...


class EnvSecrets:
    """The process's environment."""

    def __repr__(self) -> str:
        return "EnvSecrets()"

    def lookup_sync(self, name: str) -> str | None:
        return _learned(os.environ.get(name))


class DictSecrets:
    """Secrets that the program has."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)
        for secret in self._secrets.values():
            learn_secret(secret)

    def __repr__(self) -> str:
        return f"DictSecrets({', '.join(self._secrets)})"

    def __reduce__(self) -> Never:
        raise TypeError("secrets are not pickled: whoever reads the bytes would have them")

    def lookup_sync(self, name: str) -> str | None:
        return self._secrets.get(name) or None


def find_key(provider: str, api_key: str | None, secrets: Secrets | None, names: Sequence[str]) -> str:
    """The key for a provider.

    Args:
        api_key: One that was given; it wins.
        names: What the key is called in `secrets`, and then in the environment.
    Raises:
        AuthenticationError: There is none; the message names where it was looked for. Or no header takes it.
    """
    if found := _learned(api_key):
        return sendable(provider, found)
    for store in (secrets, EnvSecrets()):
        for name in names:
            if store is not None and (found := _learned(store.lookup_sync(name))):
                return sendable(provider, found)
    where = "the secrets and the environment" if secrets is not None else "the environment"
    raise AuthenticationError(
        f"{provider} needs a key: give api_key=, or set {' or '.join(names)}; {where} had none", provider=provider
    )


def sendable(provider: str, key: str) -> str:
    """`key`, if a header takes it: what an HTTP library says of one that it refuses has a part of it, and that is not
    what is masked.

    Raises:
        AuthenticationError: None does; the message says why, without the key.
    """
    if not key.isascii():
        why = "characters that are not ASCII"
    elif not key.isprintable():
        why = "a line break or another control character"
    elif key != key.strip():
        why = "a space before or after it"
    else:
        return key
    raise AuthenticationError(f"the key for {provider} has {why}, and so it cannot be sent", provider=provider)


def give_secrets(model: Model, secrets: Secrets) -> None:
    """Have `model`, and those that are asked in its place, look for their keys in `secrets`, as far as they can.

    Raises:
        ConfigError: It looks in another agent's.
    """
    primary: Any = getattr(model, "primary", model)
    for each in (primary, *getattr(model, "alternatives", ())):
        if isinstance(each, TakesSecrets):
            each.take_secrets(secrets)


def _learned(secret: str | None) -> str | None:
    if secret:
        learn_secret(secret)
    return secret or None
