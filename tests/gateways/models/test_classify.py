"""Errors of SDKs in the words of Treadle, for programs that call one themselves."""

from typing import Any

import anthropic
import httpx
import openai
import pytest

from treadle import (
    AuthenticationError,
    ConnectionFailed,
    ModelError,
    RateLimitError,
    classify_model_error,
)

REQUEST = httpx.Request("POST", "http://provider/v1")


LiteLLMs: Any = type("RateLimitError", (Exception,), {"__module__": "litellm.exceptions"})
"""As LiteLLM's: its package takes seconds to import, and the table goes by names."""


def answered(status: int) -> Any:
    return httpx.Response(status, headers={"retry-after": "7"}, request=REQUEST)


@pytest.mark.parametrize(
    ("raised", "kind", "provider"),
    [
        (openai.RateLimitError("slow down", response=answered(429), body=None), RateLimitError, "openai"),
        (anthropic.AuthenticationError("no", response=answered(401), body=None), AuthenticationError, "anthropic"),
        (LiteLLMs("slow down"), RateLimitError, "litellm"),
        (httpx.ConnectError("refused", request=REQUEST), ConnectionFailed, "openai"),
    ],
    ids=lambda given: type(given).__module__ if isinstance(given, Exception) else "",
)
def test_what_an_sdk_raises_has_a_name_here(raised: Exception, kind: type[ModelError], provider: str) -> None:
    found = classify_model_error(raised)
    assert (type(found), found.provider) == (kind, provider)


def test_what_the_provider_asks_for_is_kept() -> None:
    found = classify_model_error(openai.RateLimitError("slow down", response=answered(429), body=None))
    assert (found.retry_after_s, found.status) == (7.0, 429)


def test_what_is_ours_is_left_alone_and_what_nobody_knows_stays_unknown() -> None:
    ours = RateLimitError("slow down")
    assert classify_model_error(ours) is ours
    unknown = classify_model_error(ZeroDivisionError("odd"))
    assert (type(unknown), unknown.kind) == (ModelError, "ZeroDivisionError")
