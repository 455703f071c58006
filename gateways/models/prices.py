"""What models cost: a table that comes with Treadle and that users replace.

Prices change and providers differ by contract: the table (`prices.toml`) says of what day it is, and a bill is the
provider's. A table of one's own is laid over it, entry by entry: by `use_prices`, or by `TREADLE_PRICES=FILE` in the
environment. Nobody's price is guessed: a model that no table has costs an unknown amount, and a cap on it is refused.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import Struct

from ...actors.model import Model
from ...events.budget import Limits
from ...events.errors import ConfigError
from ...events.message import Usage

VARIABLE = "TREADLE_PRICES"

_VARIANT = re.compile(r"(-(latest|preview|exp))?(-(\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{3,8}))?")
"""What may stand after a model's name for the same model of some day: `-2024-08-06`, `-20250929`, `-preview-05-20`."""

_SYNONYMS = {"cohere_chat": "cohere", "dashscope": "qwen"}
"""LiteLLM's words for providers of the table."""


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens. What is left out costs as much as `input`.

    Raises:
        ConfigError: One is less than 0, or no number: a cap on the cost would never be reached.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            dollars: object = getattr(self, name)
            if dollars is None and name in ("cached_input", "cache_write"):
                continue
            if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not math.isfinite(dollars):
                raise ConfigError(f"a price is no number: {name}={dollars!r}")
            if dollars < 0:
                raise ConfigError(f"a price is less than 0: {name}={dollars}")

    def of(self, usage: Usage) -> float:
        """What `usage` costs, in US dollars."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        return (
            usage.input_tokens * self.input
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + usage.output_tokens * self.output
        ) / 1_000_000


def price_from(given: Any, of: str) -> Price | None:
    """What a program says that a model costs: a `Price`, or a mapping of what that has; None when it does not say.

    Args:
        of: The model, for the error.
    Raises:
        ConfigError: It is no price.
    """
    return None if given is None else _price(given, f"of {of}")


PriceTable: TypeAlias = Mapping[str, Mapping[str, Price]]
"""Prices by provider and model."""


def price_of(provider: str, model: str) -> Price | None:
    """The price of a provider's model; None when no table has it.

    A dated name costs what its family does (`gpt-4o-2024-08-06` is a `gpt-4o`), unless it has an entry of its own.
    Of LiteLLM's models, the provider stands before the slash.
    """
    laid = _laid_now()
    if (provider, model) not in laid.found:  # asked for with every call
        laid.found[provider, model] = _found(laid.table, provider, model)
    return laid.found[provider, model]


def _found(table: PriceTable, provider: str, model: str) -> Price | None:
    if provider == "litellm":
        provider, _, model = model.rpartition("/")
        provider = provider or "openai"
    models = table.get(_SYNONYMS.get(provider, provider), {})
    families = (name for name in models if model.startswith(name) and _VARIANT.fullmatch(model, len(name)))
    family = max(families, key=len, default=None)
    return models[family] if family is not None else None


def known_prices() -> PriceTable:
    """The table as it is used now.

    Raises:
        ConfigError: The file that the environment names is wrong; says where.
    """
    return _laid_now().table


def use_prices(prices: str | Path | Mapping[str, Mapping[str, Any]] | None) -> None:
    """Lay prices over those that come along, and over those of the environment, in this process.

        use_prices({"openai": {"gpt-4o": {"input": 2.0, "output": 8.0}}})

    Args:
        prices: A TOML file, or what one would hold; None for none of one's own.
    Raises:
        ConfigError: An entry is no price; names it, and its file.
    """
    global _given
    _given = _read_file(str(prices)) if isinstance(prices, str | Path) else _table(prices or {}, "use_prices")


def check_cost_caps(model: Model, *limits: Limits | None) -> None:
    """Refuse a cap on the cost of a model when nobody knows what that costs: it would never be reached.

    Raises:
        ConfigError: Names the model, and what can be done.
    """
    if not any(limit is not None and limit.max_cost_usd is not None for limit in limits):
        return
    for each in (getattr(model, "primary", model), *getattr(model, "alternatives", ())):
        price = getattr(each, "cost_usd", None)
        if getattr(each, "billed", False) and (price is None or price(Usage()) is None):
            raise ConfigError(
                f"max_cost_usd needs to know what model {each.name!r} costs, and no table of prices has it: give the "
                f"model its price, price=Price(input=…, output=…), or a table, use_prices(…) or {VARIABLE}=FILE; "
                "a model of your own has a method cost_usd(usage)"
            )


class _Laid(Struct, frozen=True):
    """The tables laid over each other, and what was found in them. `path` and `given` are what they were made of."""

    path: str
    given: PriceTable
    table: PriceTable
    found: dict[tuple[str, str], Price | None] = {}


_given: PriceTable = {}
_laid: _Laid | None = None


def _laid_now() -> _Laid:
    global _laid
    path = os.environ.get(VARIABLE, "")
    if _laid is None or _laid.path != path or _laid.given is not _given:
        own = (_read_file(path), _given) if path else (_given,)
        _laid = _Laid(path, _given, _laid_over(_shipped(), *own))
    return _laid


def _laid_over(*tables: PriceTable) -> PriceTable:
    laid: dict[str, dict[str, Price]] = {}
    for table in tables:
        for provider, models in table.items():
            laid.setdefault(provider, {}).update(models)
    return laid


@cache
def _shipped() -> PriceTable:
    text = (files(__name__.rpartition(".")[0]) / "prices.toml").read_text("utf-8")
    return _table(tomllib.loads(text), "prices.toml")


@cache
def _read_file(path: str) -> PriceTable:
    """A file is read once: a bill does not change in the middle of a run."""
    try:
        text = Path(path).read_text("utf-8")
        return _table(tomllib.loads(text), path)
    except OSError as exc:
        raise ConfigError(f"prices: {path}: {exc.strerror or exc}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"prices: {path} is no TOML: {exc}") from exc


def _table(given: Mapping[str, Any], where: str) -> PriceTable:
    table: dict[str, dict[str, Price]] = {}
    for provider, models in given.items():
        if not isinstance(models, Mapping):
            raise ConfigError(f"prices: {where}: {provider} is no table of models")
        entries = cast("Mapping[str, Any]", models)
        table[provider] = {name: _price(entry, f"{where}: {provider}.{name}") for name, entry in entries.items()}
    return table


def _price(entry: Any, where: str) -> Price:
    if isinstance(entry, Price):
        return entry
    try:
        return msgspec.convert(entry, Price)
    except ConfigError as exc:
        raise ConfigError(f"prices: {where}: {exc}") from exc
    except (msgspec.ValidationError, TypeError) as exc:
        raise ConfigError(f"prices: {where}: {exc}; as in {{ input = 2.5, output = 10.0 }}") from exc
