"""What may stand beside a model's name, in the words of both loom-agent and Treadle, as adapters take it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ...actors.generation import Effort, Generation
from ...actors.model_errors import AuthenticationError
from ...actors.retry import RetryPolicy
from ...events.errors import ConfigError
from .prices import Price
from .secrets import EnvSecrets, Secrets

_GENERATION = frozenset(Generation.__struct_fields__)


class ModelSettings(TypedDict, total=False):
    """What may stand beside a model's name; not every adapter takes all of it.

    Attributes:
        api_key: The key. Else the provider's usual names are looked for in `secrets`, and then in the environment.
        api_key_env: The name of the key; no other is looked for.
        base_url: Where the provider is; `api_base` is another word for it.
        timeout: Seconds without a byte until a call counts as hanging; `request_timeout_s` is another word for it.
        max_retries: How often a call is made again that may succeed later, where the agent has no `retry_policy`.
        price: What it costs, instead of what the table says: a `Price`, or a mapping of the same.
        options: Of every call, where the call does not say otherwise.
        extensions: Fields of the provider's request, as they are; `extra` is another word for them.
        client: A client of the provider's SDK.
        organization, api: Of OpenAI: who is billed, and which of its two protocols is spoken.

    What `Generation` has may stand here, too.
    """

    api_key: str | None
    api_key_env: str | None
    secrets: Secrets | None
    base_url: str | None
    api_base: str | None
    timeout: float | None
    request_timeout_s: float | None
    max_retries: int | None
    price: Price | Mapping[str, float] | None
    options: Mapping[str, Any] | None
    extensions: Mapping[str, Any] | None
    client: Any
    organization: str | None
    api: Literal["chat", "responses"] | None
    temperature: float
    top_p: float
    max_tokens: int
    stop: Sequence[str]
    seed: int
    effort: Effort
    strict_effort: bool
    tool_choice: str
    parallel_tool_calls: bool
    prompt_caching: bool
    extra: Mapping[str, Any]


class NamedKey:
    """One key by a name of its own. It does not look for another: that may be somebody else's account.

    Args:
        name: What the key is called.
        secrets: Where it is looked for before the environment.
    """

    def __init__(self, provider: str, name: str, secrets: Secrets | None = None) -> None:
        self._provider = provider
        self._name = name
        self._secrets = secrets
        self._taken: Secrets | None = None

    def __repr__(self) -> str:
        return f"NamedKey({self._name})"

    def take_secrets(self, secrets: Secrets) -> None:
        """Look there before the environment, unless there is another place to look.

        Raises:
            ConfigError: That place are another agent's secrets: both would ask on the account of one.
        """
        if self._taken not in (None, secrets):
            raise ConfigError(
                f"the key {self._name} (api_key_env) is looked for in the secrets of another agent; give each a model "
                "of its own"
            )
        if self._secrets is None:
            self._secrets = self._taken = secrets

    def lookup_sync(self, name: str) -> str | None:
        """The key, whatever it is asked for by."""
        for store in (self._secrets, EnvSecrets()):
            if store is not None and (found := store.lookup_sync(self._name)):
                return found
        raise AuthenticationError(
            f"{self._provider} needs the key {self._name} (api_key_env), and it is not set", provider=self._provider
        )


def adapter_settings(provider: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], RetryPolicy | None]:
    """What the adapter takes by keyword, and the policy that its model brings; what is None was not given.

    Raises:
        ConfigError: Two words for one thing do not agree, or `max_retries` is no number from 0 on.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    _rename(settings, "api_base", "base_url")
    _rename(settings, "timeout", "request_timeout_s")
    if (name := settings.pop("api_key_env", None)) is not None and "api_key" not in settings:
        settings["secrets"] = NamedKey(provider, name, settings.get("secrets"))
    options = {name: settings.pop(name) for name in _GENERATION & settings.keys()}
    if (extensions := settings.pop("extensions", None)) is not None:
        options["extra"] = {**options.get("extra", {}), **extensions}
    if options:
        settings["options"] = {**Generation(**options).options, **settings.get("options", {})}
    retries = settings.pop("max_retries", None)
    if retries is None:
        return settings, None
    if type(retries) is not int or retries < 0:
        raise ConfigError(f"max_retries={retries!r} is no number from 0 on")
    return settings, RetryPolicy(max_attempts=retries + 1)


def _rename(settings: dict[str, Any], old: str, new: str) -> None:
    if old not in settings:
        return
    value = settings.pop(old)
    if settings.setdefault(new, value) != value:
        raise ConfigError(f"{old}={value!r} and {new}={settings[new]!r} are two words for one thing; give one of them")
