"""What `model=` may be: a model, the name of one, or a mapping.

    "openai:gpt-4o"                    a provider and its model; what comes after the first colon is the name
    "gpt-4o", "claude-opus-4-7"        a name whose beginning tells the provider
    "groq/llama-3.3-70b"               a model as LiteLLM calls it
    {"provider": "openai", "name": "gpt-4o", "base_url": …, "effort": "low"}

A colon parts a provider from its model only after the name of a provider: `llama3:8b` is one name, with a tag.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, cast

from ...actors.model import Model
from ...events.errors import ConfigError
from .echo import EchoModel
from .prices import known_prices
from .providers import is_provider, make_model, provider_names, provider_of_prefix

_BEGINNINGS = (
    (re.compile(r"claude-."), "anthropic", ""),
    (re.compile(r"(chat)?gpt-.|o[134](-.|$)"), "openai", ""),
    (re.compile(r"deepseek-."), "deepseek", ""),
    (re.compile(r"gemini-."), "gemini", ""),
    (re.compile(r"mistral-."), "litellm", "mistral/"),
    (re.compile(r"command-."), "litellm", "cohere_chat/"),
    (re.compile(r"(azure|bedrock|gemini|groq|ollama|openrouter|replicate|together_ai|vertex_ai)/."), "litellm", ""),
)
"""How names begin, whose they are, and what that provider wants before them."""

_WORKS = (
    "model='echo'; a name such as 'claude-opus-4-7', 'gpt-4o' or 'litellm/…'; 'PROVIDER:NAME' with one of {}; "
    "a ScriptedModel, FunctionModel or FallbackModel; or any object with `name` and `stream(messages, *, tools)`"
)


def resolve_model(model: Any) -> Model:
    """The model that `model` means.

    Raises:
        ConfigError: Nothing, or nothing that can answer; the message lists what would work. Never a made-up model.
    """
    if model is None:
        raise ConfigError(f"an agent needs model=; what works: {_works()}")
    if isinstance(model, str):
        return _named(model.strip(), {})
    if isinstance(model, Mapping):
        return _described(cast("Mapping[str, Any]", model))
    if isinstance(model, type):
        raise ConfigError(f"model={model.__name__} is a class; pass an instance: {model.__name__}(…)")
    if isinstance(getattr(model, "name", None), str) and callable(getattr(model, "stream", None)):
        found: Model = model
        return found
    raise ConfigError(f"{type(model).__name__} is no model; what works: {_works()}")


def names_a_provider(text: str) -> bool:
    """Whether `text` is `PROVIDER:NAME`."""
    left, colon, _ = text.partition(":")
    return bool(colon) and is_provider(left)


def _named(text: str, settings: Mapping[str, Any]) -> Model:
    if text == "echo":
        return EchoModel()
    provider, name = _parted(text)
    if not provider:
        raise ConfigError(f"nobody is known to have a model {text!r}{_meant(text)}; what works: {_works()}")
    return make_model(provider, name, **settings)


def _parted(text: str) -> tuple[str, str]:
    """Whose model it is, and its name there; nobody's when that is not known."""
    if names_a_provider(text):
        provider, _, name = text.partition(":")
        return provider, name
    if text.startswith("litellm/"):
        return "litellm", text.removeprefix("litellm/")
    if (registered := provider_of_prefix(text)) is not None:
        return registered, text
    for beginning, provider, before in _BEGINNINGS:
        if beginning.match(text):
            return provider, before + text
    return "", text


def _described(given: Mapping[str, Any]) -> Model:
    settings = dict(given)
    provider, name = settings.pop("provider", None), settings.pop("name", None) or settings.pop("model", None)
    if not isinstance(name, str) or not isinstance(provider, str | None):
        raise ConfigError('a model as a mapping is {"provider": "openai", "name": "gpt-4o", …}')
    return _named(name, settings) if provider is None else make_model(provider, name, **settings)


def _meant(text: str) -> str:
    """What was meant perhaps."""
    left, colon, right = text.partition(":")
    close = difflib.get_close_matches(left, provider_names(), 1, cutoff=0.85)  # `llama3` is no `ollama`
    if colon and close:
        return f", did you mean '{close[0]}:{right}'?"
    if colon:
        return f", did you mean 'ollama:{text}'?"
    owner = {model: provider for provider, models in known_prices().items() for model in models}
    meant = text if text in owner else next(iter(difflib.get_close_matches(text, owner, 1)), "")
    if not meant:
        return ""
    provider = owner[meant]
    whole = f"{provider}:{meant}" if is_provider(provider) else f"litellm/{provider}/{meant}"
    return f", did you mean '{whole}'?"


def _works() -> str:
    return _WORKS.format(", ".join(provider_names()))
