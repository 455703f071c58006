"""What the generations of Claude take in a request: they refuse what they do not know, and what they knew once.

Source: `anthropic` 2.12 (`types/output_config_param.py`, `types/thinking_config_param.py`) and the capabilities in
LiteLLM's table of models, 1.106.
"""

import re
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct


class Takes(Struct, frozen=True, kw_only=True):
    """What a model takes.

    Attributes:
        thinking: Told how many tokens it may think, or left to itself with a word of effort.
        efforts: The words.
        sampling: `temperature`, `top_p`, `top_k`.
        output_format: A JSON Schema that its answer is held to.
        forced_tools: A `tool_choice` that makes it call a tool.
    """

    thinking: Literal["none", "budget", "adaptive"]
    efforts: tuple[str, ...] = ()
    sampling: bool = True
    output_format: bool = True
    forced_tools: bool = True


_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_UNTIL: Final[tuple[tuple[tuple[int, int], Takes], ...]] = (
    ((3, 7), Takes(thinking="none", output_format=False)),
    ((4, 5), Takes(thinking="budget", output_format=False)),
    ((4, 6), Takes(thinking="budget")),
    ((4, 7), Takes(thinking="adaptive", efforts=("low", "medium", "high", "max"))),
    ((5, 1), Takes(thinking="adaptive", efforts=_EFFORTS, sampling=False)),
)
_SINCE: Final = Takes(thinking="adaptive", efforts=_EFFORTS, sampling=False, forced_tools=False)
_OTHERS: Final = Takes(thinking="budget", output_format=False)
"""What is not Claude and speaks its protocol: DeepSeek, MiniMax, GLM."""

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:-(\d{1,2}))?(?!\d)")


@lru_cache
def takes(model: str) -> Takes:
    """What the model of this name takes; one without a version is taken for a new one."""
    if "claude" not in model:
        return _OTHERS
    version = _VERSION.search(model)
    if version is None:
        return _SINCE
    number = (int(version[1]), int(version[2] or 0))
    return next((taken for until, taken in _UNTIL if number < until), _SINCE)
