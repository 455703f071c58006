"""What all models have in common that a provider runs and bills: a key, a client, a price."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Never, Protocol, Self, TypeVar

from ...actors.context import current_model_call
from ...actors.retry import RetryPolicy
from ...actors.token_guess import guessed_usage
from ...events.errors import ConfigError
from ...events.message import Message, ModelReply, ToolSpec, Usage
from ...events.model_step import attempt_id
from ...events.redaction import learn_secret, redact
from .extras import Package
from .per_loop import PerLoop
from .prices import Price, price_from, price_of
from .secrets import EnvSecrets, Secrets, TakesSecrets, find_key

Client = TypeVar("Client")


class _SdkClient(Protocol):
    api_key: Any

    async def close(self) -> None: ...


SdkClient = TypeVar("SdkClient", bound=_SdkClient)


class HostedModel(ABC, Generic[Client]):
    """A provider's model. Its key is looked for when it is first asked, so that an agent can be made without one.

    Args:
        name: The model, by the provider's own name.
        api_key: Else `secrets` are asked, then the environment (`KEYS`).
        base_url: Where the provider is; the SDK's default, which may look into the environment.
        price: What it costs, as a `Price` or as a mapping of the same; else the table's.
        request_timeout_s: Seconds without a byte until the call counts as hanging.
        client: An SDK client of one's own; key, address and time-out are its own then.
        options: Of every call, where the call does not say otherwise.
    Raises:
        ConfigError: The price is none, or the time-out is no number of seconds.
    """

    provider: ClassVar[str]
    package: ClassVar[Package | None] = None
    """Imported before its first call."""
    KEYS: ClassVar[tuple[str, ...]]
    ADDRESS_KEY: ClassVar[str] = ""
    """What the SDK calls the base URL in the environment."""
    billed: ClassVar[bool] = True
    native_output: bool = True
    retry: RetryPolicy | None = None
    """What is done about its failed calls where the agent does not say."""

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        secrets: Secrets | None = None,
        price: Price | Mapping[str, float] | None = None,
        request_timeout_s: float = 120.0,
        client: Client | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._api_key = api_key
        self._secrets = secrets
        self._taken: Secrets | None = None
        self._given = client
        self._price = price_from(price, name)
        self.base_url = base_url
        self.request_timeout_s = _seconds(request_timeout_s)
        self.options = dict(options or {})
        self._clients: PerLoop[Client] = PerLoop(self._connect)
        # Masked from now on, and not only when the model is first asked: a prompt may come before.
        for key in (api_key, getattr(client, "api_key", None), *map(EnvSecrets().lookup_sync, self.KEYS)):
            if isinstance(key, str):
                learn_secret(key)

    def __repr__(self) -> str:
        at = f", base_url={redact(self.base_url)!r}" if self.base_url else ""
        return f"{type(self).__name__}({self._name!r}{at})"

    def __reduce__(self) -> Never:
        raise TypeError(f"{self!r} has a key and connections, and is not pickled: make it where it is used")

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def take_secrets(self, secrets: Secrets) -> None:
        """Look for the key in an agent's secrets, unless there are others of its own.

        Raises:
            ConfigError: It looks in another agent's: it would ask on the account of one for both.
        """
        if self._api_key or self._given is not None:
            return
        if self._taken not in (None, secrets):
            raise ConfigError(
                f"{self!r} looks for its key in the secrets of another agent; give each a model of its own"
            )
        if self._secrets is None:
            self._secrets = self._taken = secrets
        elif isinstance(self._secrets, TakesSecrets):
            self._secrets.take_secrets(secrets)

    @property
    def name(self) -> str:
        return self._name

    @property
    def endpoint(self) -> str:
        """What fails together: the model at its server, whoever said which that is."""
        given, own = getattr(self._given, "base_url", None), self.base_url or os.environ.get(self.ADDRESS_KEY, "")
        return f"{self.provider}:{str(given or own).rstrip('/')}:{self._name}"

    @property
    def client(self) -> Client:
        """The SDK's client of this event loop, with the key as it is now: a store may have had a new one since.

        Raises:
            AuthenticationError: There is no key.
            ConfigError: The provider's package is not installed; says what to install.
        """
        if self._given is not None:
            return self._given
        try:
            client = self._clients.get()
        except ImportError as exc:
            raise exc if self.package is None else self.package.missing(exc) from exc
        self._renew_key(client)
        return client

    @property
    def key(self) -> str:
        """The key. Raises AuthenticationError when there is none."""
        return find_key(self.provider, self._api_key, self._secrets, self.KEYS)

    def longest_answer(self, options: Mapping[str, Any]) -> int | None:
        """The most tokens that an answer to a call with these options may have; None when nothing limits it."""
        limit: int | None = {**self.options, **options}.get("max_tokens")
        return limit

    @property
    def price(self) -> Price | None:
        """What it costs; None when nobody knows."""
        return self._price if self._price is not None else price_of(self.provider, self._name)

    def cost_usd(self, usage: Usage) -> float | None:
        """What `usage` costs; None when nobody knows."""
        price = self.price
        return None if price is None else price.of(usage)

    def priced(self, usage: Usage) -> Usage:
        """`usage` with its cost; without a price it costs nothing, as far as anybody knows."""
        return Usage(
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            self.cost_usd(usage) or 0.0,
        )

    def guess_for(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Callable[[ModelReply], Usage]:
        """What an answer to this has used, about, and what that costs; for one of which the provider does not tell it.

        An answer that is charged nothing would never reach a budget's cap.
        """
        return lambda reply: self.priced(guessed_usage(messages, tools, reply))

    async def aclose(self) -> None:
        """Close the connections of this event loop. A client that was given is its owner's to close."""
        client = self._clients.pop()
        if client is not None:
            await self._disconnect(client)

    async def prepare(self) -> None:
        """Import the provider's package, if that was not done yet: for seconds, and in a thread.

        Raises:
            ConfigError: It is not installed; says what to install.
        """
        if self.package is not None and not self.package.loaded:
            await self.package.load()

    @abstractmethod
    def _connect(self) -> Client:
        """A client for this event loop, of the package that is imported by now."""

    @abstractmethod
    async def _disconnect(self, client: Client) -> None: ...

    def _renew_key(self, client: Client) -> None:
        """Have a client send the key as it is now. Nothing to do for one that is handed it with each call."""


class SdkModel(HostedModel[SdkClient]):
    """One that goes by a provider's own SDK, which reads the key from its client with each request."""

    async def _disconnect(self, client: SdkClient) -> None:
        await client.close()

    def _renew_key(self, client: SdkClient) -> None:
        client.api_key = self.key


def _seconds(given: Any) -> float:
    """A time-out. SDKs take any, and say what is wrong with it when the first call is made, or never."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise ConfigError(f"timeout (request_timeout_s)={given!r} is no number of seconds above 0")
    return given


def call_headers() -> dict[str, str]:
    """The id of the attempt that a request is made for, by which logs on its way can be searched."""
    call = current_model_call()
    return {} if call is None else {"X-Client-Request-Id": attempt_id(call.call_id, call.attempt)}
