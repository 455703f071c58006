"""The efforts that OpenAI's models take.

Source: https://developers.openai.com/api/docs/guides/reasoning, and the models' own pages, as of gpt-5.5.
"""

import re

from ....actors.generation import EFFORTS
from ....actors.model_errors import InvalidRequestError

_TABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"o1-(mini|preview)", ()),
    (r"o\d", ("low", "medium", "high")),
    (r"gpt-oss", ("low", "medium", "high")),
    (r"codex-mini", ("low", "medium", "high")),
    (r"gpt-5(\.\d+)?-chat", ()),
    (r"gpt-5-pro", ("high",)),
    (r"gpt-5-codex", ("low", "medium", "high")),
    (r"gpt-5\.1-codex-max", ("low", "medium", "high", "xhigh")),
    (r"gpt-5\.1", ("low", "medium", "high")),
    (r"gpt-5\.[2-5]-pro", ("medium", "high", "xhigh")),
    (r"gpt-5\.[2-5]", ("low", "medium", "high", "xhigh")),
    (r"gpt-5(?!\.)", ("minimal", "low", "medium", "high")),
    (r"gpt-[1-4]|chatgpt-|gpt-audio|ft:gpt-[34]", ()),
)
_PATTERNS = tuple((re.compile(pattern), efforts) for pattern, efforts in _TABLE)


def efforts_of(model: str) -> tuple[str, ...] | None:
    """The efforts that a model takes, by its name; empty for one that does not think, None for one nobody knows."""
    name = model.rpartition("/")[2]  # gateways put the provider before it
    return next((efforts for pattern, efforts in _PATTERNS if pattern.match(name)), None)


def effort_for(model: str, efforts: tuple[str, ...] | None, asked: str | None, strict: bool) -> str | None:
    """What is asked of `model`: the nearest effort that it takes; None when it takes none.

    Raises:
        InvalidRequestError: It is `strict`, and the model has no such effort.
    """
    if asked is None or efforts is None or asked in efforts:
        return asked
    if strict:
        why = f"takes {', '.join(efforts)}" if efforts else "takes none"
        raise InvalidRequestError(f"effort={asked!r} is strict, and {model!r} {why}")
    return min(efforts, key=lambda each: abs(EFFORTS.index(each) - EFFORTS.index(asked)), default=None)
