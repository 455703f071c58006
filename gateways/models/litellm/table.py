"""What LiteLLM's own table says of a model, read without importing LiteLLM."""

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ..prices import Price

_FILE = "model_prices_and_context_window_backup.json"


def entry_of(model: str) -> Mapping[str, Any]:
    """The model's entry; an empty one when it has none."""
    table = _table()
    provider, _, name = model.partition("/")
    if (entry := table.get(model)) is not None:
        return entry
    entry = table.get(name, {})
    return entry if entry.get("litellm_provider") == provider else {}


def listed_price(model: str) -> Price | None:
    """What the model costs by the token; None when the table does not say."""
    entry = entry_of(model)
    if entry.get("input_cost_per_token") is None or entry.get("output_cost_per_token") is None:
        return None
    return Price(
        input=_million(entry["input_cost_per_token"]),
        output=_million(entry["output_cost_per_token"]),
        cached_input=_million(entry.get("cache_read_input_token_cost")),
        cache_write=_million(entry.get("cache_creation_input_token_cost")),
    )


def _million(cost: Any) -> Any:
    return None if cost is None else cost * 1_000_000


@cache
def _table() -> Mapping[str, dict[str, Any]]:
    found = importlib.util.find_spec("litellm")  # which does not import it
    if found is None or found.origin is None:
        return {}
    file = Path(found.origin).parent / _FILE
    table: dict[str, dict[str, Any]] = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    return table
