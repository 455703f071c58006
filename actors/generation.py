"""How a model is to answer: one set of words for all providers, which each adapter says in its provider's own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from msgspec import UNSET, Struct, UnsetType, structs

from ..events.errors import ConfigError

Effort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[str, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")


class Generation(Struct, frozen=True, kw_only=True):
    """How to answer. What is left out is the provider's own default.

    What no provider would understand is refused here, and not when the first run has begun. How far a number may go
    differs among providers: their own refusal tells.

    Attributes:
        max_tokens: The longest answer, thinking included; budgets set so much aside for each call.
        stop: The answer ends before any of these texts; a single text is one of them.
        effort: How hard to think; each provider has a word or a number of tokens for it, and one that has none
            refuses it (`strict_effort`) or goes on without.
        tool_choice: `auto`, `none`, `required`, or the name of the tool to be called.
        parallel_tool_calls: Whether one turn may have several calls.
        prompt_caching: Have the provider keep the part of the prompt that stays the same, where it must be asked to.
        extra: Fields of the provider's request, as they are.
    Raises:
        ConfigError: Names the field, what it was given and what is wanted.
    """

    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stop: str | Sequence[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    effort: Effort | UnsetType = UNSET
    strict_effort: bool | UnsetType = UNSET
    tool_choice: str | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    prompt_caching: bool | UnsetType = UNSET
    extra: Mapping[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        for name, value in self.options.items():
            if wanted := _wanted(name, value):
                raise ConfigError(f"Generation({name}={value!r}); it must be {wanted}")
        if self.stop is not UNSET:
            structs.force_setattr(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))

    @property
    def options(self) -> dict[str, Any]:
        """What is given, as a model's `stream` takes it by keyword."""
        return {name: value for name, value in structs.asdict(self).items() if value is not UNSET}


def options_of(generation: Generation | None, further: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a model is passed with every call: `generation`, and `further` words, which win.

    Raises:
        ConfigError: One of them is not of its type, or a word that `Generation` has too does not fit.
    """
    if generation is not None and not isinstance(generation, Generation):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"generation={generation!r}; it must be a Generation(…)")
    if further is not None and not isinstance(further, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"options={further!r}; it must be a mapping from words to what a model is told by them")
    own = dict(further or {})
    # None says nothing, to all adapters; a word that only the model knows is its own business.
    shared = {name: value for name, value in own.items() if name in Generation.__struct_fields__ and value is not None}
    return {**(generation.options if generation is not None else {}), **own, **Generation(**shared).options}


def _wanted(name: str, value: Any) -> str:
    """What `name` must be, when `value` is not that."""
    match name:
        case "temperature":
            return "" if _is_number(value) and value >= 0 else "a number from 0 on"
        case "top_p":
            return "" if _is_number(value) and 0 <= value <= 1 else "a number from 0 to 1"
        case "max_tokens":
            return "" if _is_whole(value) and value >= 1 else "a whole number, 1 or more"
        case "seed":
            return "" if _is_whole(value) else "a whole number"
        case "stop":
            return "" if _is_stop(value) else "a text that is not empty, or a sequence of such texts"
        case "effort":
            return "" if value in EFFORTS else f"one of {', '.join(EFFORTS)}"
        case "tool_choice":
            return "" if isinstance(value, str) and value else "auto, none, required, or the name of a tool"
        case "extra":
            return "" if isinstance(value, Mapping) else "a mapping from the names of fields to what they are to be"
        case _:
            return "" if isinstance(value, bool) else "True or False"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_stop(value: object) -> bool:
    texts: object = (value,) if isinstance(value, str) else value
    return isinstance(texts, list | tuple) and all(
        isinstance(text, str) and text for text in cast(Sequence[Any], texts)
    )
