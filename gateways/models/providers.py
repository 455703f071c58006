"""Who has models: the providers that come along, and those that others add.

    openai, anthropic, litellm                         adapters over the providers' own SDKs
    deepseek, gemini, minimax, ollama, qwen            OpenAI's protocol at another address (`compatible.py`)

A package adds its own with the entry point group `treadle.models`, a program with `register_provider`:

    [project.entry-points."treadle.models"]
    acme = "acme_treadle:AcmeModel"
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from ...actors.model import Model
from ...actors.stand_in import stand_ins_expected
from ...events.errors import ConfigError
from .extras import Package
from .settings import adapter_settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "treadle.models"

Maker: TypeAlias = Callable[..., Model]
"""Makes a model of its name and of what `HostedModel` takes by keyword: a class, or a function."""


class _BuiltIn(Struct, frozen=True):
    module: str
    name: str
    package: str
    """The SDK; the extra has its name."""


_BUILT_IN = {
    "anthropic": _BuiltIn(".anthropic", "AnthropicModel", "anthropic"),
    "deepseek": _BuiltIn(".compatible", "DeepSeekModel", "openai"),
    "gemini": _BuiltIn(".compatible", "GeminiModel", "openai"),
    "litellm": _BuiltIn(".litellm", "LiteLLMModel", "litellm"),
    "minimax": _BuiltIn(".compatible", "MiniMaxModel", "openai"),
    "ollama": _BuiltIn(".compatible", "OllamaModel", "openai"),
    "openai": _BuiltIn(".openai", "OpenAIModel", "openai"),
    "qwen": _BuiltIn(".compatible", "QwenModel", "openai"),
}

_registered: dict[str, Maker] = {}
_prefixes: dict[str, str] = {}


def register_provider(provider: str, make: Maker, *, prefixes: Sequence[str] = ()) -> None:
    """Have `provider:name` mean `make("name")`, from now on and in this process.

    Args:
        make: Makes a model of its name, and of what stands beside it in a mapping, by keyword.
        prefixes: What the names of its models begin with, for names that stand alone: `"acme-"`.
    """
    if not provider or not set(provider).isdisjoint(":/ "):
        raise ConfigError(f"a provider's name is one word without ':' and '/', not {provider!r}")
    _registered[provider] = make
    _prefixes.update(dict.fromkeys(prefixes, provider))


def provider_of_prefix(name: str) -> str | None:
    """Who registered a prefix of this name; the longest counts."""
    found = [prefix for prefix in _prefixes if name.startswith(prefix)]
    return _prefixes[max(found, key=len)] if found else None


def is_provider(name: str) -> bool:
    """Whether models can be had from `name`."""
    return name in _registered or name in _BUILT_IN or name in _installed()


def provider_names() -> list[str]:
    """All providers, sorted."""
    return sorted({*_registered, *_BUILT_IN, *_installed()})


def make_model(provider: str, name: str, **settings: Any) -> Model:
    """The model that `provider` calls `name`.

    Args:
        settings: What `Model.openai` takes by keyword, and what the adapter takes beside that.
    Raises:
        ConfigError: There is no such provider, its package is missing, or it does not take one of the settings.
    """
    if not name:
        raise ConfigError(f"{provider!r} is a provider, and its model is not named: '{provider}:NAME'")
    make = _maker(provider)
    given, retry = adapter_settings(provider, settings)
    try:
        model: Any = make(name, **given)
    except TypeError as exc:
        raise ConfigError(f"{provider} model {name!r}: {exc}") from exc
    if retry is not None:
        model.retry = retry
    made: Model = model
    return made


def _maker(provider: str) -> Maker:
    if provider in _registered:
        return _registered[provider]
    if (built_in := _BUILT_IN.get(provider)) is not None:
        if not stand_ins_expected():  # in tests with cassettes no package is needed
            Package(built_in.package).check()
        module = importlib.import_module(built_in.module, __package__)
        make: Maker = getattr(module, built_in.name)
        return make
    if (entry := _installed().get(provider)) is not None:
        try:
            loaded: Maker = entry.load()
        except Exception as exc:  # it is somebody's module
            raise ConfigError(
                f"the provider {provider!r} ({entry.value}) cannot be loaded: {type(exc).__name__}: {exc}"
            ) from exc
        return loaded
    raise ConfigError(f"there is no provider {provider!r}; there are: {', '.join(provider_names())}")


@cache
def _installed() -> "Mapping[str, EntryPoint]":
    """What installed packages offer; read once, since it looks through all of them."""
    from importlib.metadata import entry_points  # a tenth of what importing treadle takes

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
