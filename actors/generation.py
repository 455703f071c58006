"""How a model is to answer: one set of words for all providers, which each adapter says in its provider's own."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, structs

from ..events.errors import ConfigError

Effort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[str, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")


class Generation(Struct, frozen=True, kw_only=True):
    """How to answer. What is left out is the provider's own default.

    Attributes:
        max_tokens: The longest answer, thinking included; budgets set so much aside for each call.
        stop: The answer ends before any of these texts.
        effort: How hard to think; each provider has a word or a number of tokens for it, and one that has none
            refuses it (`strict_effort`) or goes on without.
        tool_choice: `auto`, `none`, `required`, or the name of the tool to be called.
        parallel_tool_calls: Whether one turn may have several calls.
        prompt_caching: Have the provider keep the part of the prompt that stays the same, where it must be asked to.
        extra: Fields of the provider's request, as they are.
    """

    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stop: tuple[str, ...] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    effort: Effort | UnsetType = UNSET
    strict_effort: bool | UnsetType = UNSET
    tool_choice: str | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    prompt_caching: bool | UnsetType = UNSET
    extra: Mapping[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.max_tokens is not UNSET and self.max_tokens < 1:
            raise ConfigError(f"Generation(max_tokens={self.max_tokens}) allows no answer; it must be 1 or more")
        if self.effort is not UNSET and self.effort not in EFFORTS:
            raise ConfigError(f"Generation(effort={self.effort!r}); there are: {', '.join(EFFORTS)}")

    @property
    def options(self) -> dict[str, Any]:
        """What is given, as a model's `stream` takes it by keyword."""
        return {name: value for name, value in structs.asdict(self).items() if value is not UNSET}
