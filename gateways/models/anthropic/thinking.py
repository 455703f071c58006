"""How hard to think, in the words of the Messages API."""

from typing import Any, Final

from msgspec import Struct

from .generations import Takes

BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 4096, "high": 8192, "xhigh": 16_384, "max": 24_576}
"""The tokens of thinking that an effort is worth. With an answer of 4,096 the most still fits into every model."""

_LEAST: Final = 1024
"""The smallest budget that the provider takes, and what is left for the answer at least."""


class Thinking(Struct, frozen=True):
    """What a request says about thinking.

    Attributes:
        config: Its `thinking`; None for the provider's default.
        effort: Its `output_config.effort`, if any.
        room: Tokens that thinking may take, on top of the answer's.
        missed: Why it does not say all that was asked for; empty when it does.
    """

    config: dict[str, Any] | None = None
    effort: str = ""
    room: int = 0
    missed: str = ""


def thinking(effort: str | None, taken: Takes, most: int | None, *, forced: bool) -> Thinking:
    """What to say for this effort.

    Args:
        most: `max_tokens` as the caller gave it, thinking included; None when there is room to add.
        forced: The model is made to call a tool, and may not think then: the call is what was asked for, so it wins.
    """
    if effort is None:
        return Thinking()
    if taken.thinking == "none":
        return Thinking(missed="it cannot think")
    if taken.thinking == "adaptive":
        word = _word(effort, taken.efforts)
        missed = "" if word == effort else f"its nearest effort is {word!r}"
        if forced:
            return Thinking(effort=word, missed="it may not think when it is made to call a tool")
        # Newer models leave their thinking out of the answer when nobody asks for a summary.
        return Thinking({"type": "adaptive", "display": "summarized"}, word, BUDGETS[effort], missed)
    if forced:
        return Thinking(missed="it may not think when it is made to call a tool")
    budget = BUDGETS[effort] if most is None else min(BUDGETS[effort], most - _LEAST)
    if budget < _LEAST:
        return Thinking(missed=f"max_tokens={most} leaves no room for {_LEAST} tokens of thinking and an answer")
    return Thinking({"type": "enabled", "budget_tokens": budget}, room=budget)


def _word(effort: str, words: tuple[str, ...]) -> str:
    """The word itself, or the strongest one below it, or the weakest."""
    below = [word for word in words if BUDGETS[word] <= BUDGETS[effort]]
    return below[-1] if below else words[0]
