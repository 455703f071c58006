"""Whether an answer is whole, and what it used."""

from collections.abc import Callable
from typing import Any

from ....actors.model_errors import (
    BadReply,
    ContentFilterError,
    OverloadedError,
    RequestRefused,
    ServerError,
    TruncatedAnswer,
)
from ....events.message import ModelReply, ToolCall, Usage
from ..counts import counted

ENDS = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "model_length": "length",  # Mistral: the context is full
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
}
"""The ends of a whole answer, in the words of OpenAI and of those who speak its protocol."""

_FAILED = {
    "content_filter": (ContentFilterError, "its answer was filtered"),
    "insufficient_system_resource": (OverloadedError, "it has no room to go on"),  # DeepSeek
    "error": (ServerError, "it failed in the middle of its answer"),  # OpenRouter, Mistral
}


def whole(
    *,
    model: str,
    end: str,
    calls: Callable[[bool], tuple[ToolCall, ...]],
    usage: Usage | None,
    refusal: str = "",
    text: str = "",
    thinking: str = "",
    carried: dict[str, Any] | None = None,
) -> ModelReply:
    """The reply, of what has come of an answer.

    Args:
        end: How it ended, in the provider's word; empty when it just stopped.
        calls: Its tool calls, when it is known whether it was cut off.
        usage: None when the provider does not tell. Of a whole answer that is `estimated` then, by whoever knows what
            was sent.
        refusal: What the model said instead of an answer.
    Raises:
        RequestRefused, ContentFilterError: There is none; with what is charged all the same.
        TruncatedAnswer: It has no end.
        ServerError, OverloadedError: The provider gave up in its middle.
        BadReply: Nobody knows what its end means, or it is to call a tool, and none is called.
    """
    unknown = usage is None  # what is charged
    if not end:
        raise TruncatedAnswer(f"{model!r} stopped in the middle of its answer", usage=usage, may_be_charged=unknown)
    if end in _FAILED:
        error, why = _FAILED[end]
        raise error(f"{model!r} did not answer: {why} (finish_reason {end!r})", usage=usage, may_be_charged=unknown)
    if refusal:
        raise RequestRefused(f"{model!r} refused: {refusal}", usage=usage, may_be_charged=unknown)
    if end not in ENDS:
        why = f"{model!r} ended its answer with finish_reason {end!r}, which means nothing here"
        raise BadReply(why, usage=usage, may_be_charged=unknown)
    reason = ENDS[end]
    asked = calls(reason == "length")
    if reason == "tool_calls" and not asked:
        why = f"{model!r} ended its answer to call a tool (finish_reason {end!r}), and called none"
        raise BadReply(why, usage=usage, may_be_charged=unknown)
    if reason != "length":
        reason = "tool_calls" if asked else "stop"  # a call that was asked for by name ends with `stop`
    return ModelReply(text, asked, usage or Usage(), reason, thinking, carried or {}, model, estimated=unknown)


def used(sent: object, given: object, total: object, details: Any, cached: object = None) -> Usage | None:
    """Tokens as they are charged: fresh input, and apart from it what was read from and written to the cache.

    Args:
        details: Of the input, as far as the provider tells; `cached` where it tells that elsewhere.
        total: Of all. Some (xAI, Gemini) count thinking only here.
    Returns:
        None when it does not tell, or what is no count. Servers that do not count say 0: no answer is for nothing.
    """
    read, written = getattr(details, "cached_tokens", None) or cached, getattr(details, "cache_write_tokens", None)
    counts = counted(sent, given, total, read, written)
    if counts is None or not (counts[0] or counts[1]):
        return None
    asked, answered, all_, from_cache, to_cache = counts
    return Usage(max(asked - from_cache - to_cache, 0), max(answered, all_ - asked), from_cache, to_cache)
