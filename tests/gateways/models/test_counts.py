"""A usage that is no count is one that the provider has not told, whichever protocol it comes by."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

import pytest
from sse_server import SseServer, answers

from treadle import Message, ModelReply
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.counts import counted
from treadle.gateways.models.litellm import LiteLLMModel
from treadle.gateways.models.openai import OpenAIModel

HELLO: Final = [Message("user", "Hello.")]
WRONG: Final = [12.5, float("nan"), 10**25, -5000]


def chat(count: object) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}
    usage = {"prompt_tokens": count, "completion_tokens": 3, "total_tokens": 15}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def response(count: object) -> dict[str, Any]:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
    usage = {"input_tokens": count, "output_tokens": 3, "total_tokens": 15}
    return {"model": "gpt-5", "status": "completed", "output": [said], "usage": usage}


def message(count: object) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_sequence": None,
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": count, "output_tokens": 3},
    }  # fmt: skip


Case = tuple[Callable[[str], OpenAIModel | AnthropicModel], Callable[[object], dict[str, Any]]]
CASES: Final[dict[str, Case]] = {
    "chat": (lambda url: OpenAIModel("gpt-5", base_url=url, api_key="k"), chat),
    "responses": (lambda url: OpenAIModel("gpt-5", api="responses", base_url=url, api_key="k"), response),
    "anthropic": (
        lambda url: AnthropicModel("claude-haiku-4-5", base_url=url.removesuffix("/v1"), api_key="k"), message,
    ),
}  # fmt: skip


async def reply_of(case: str, count: object) -> ModelReply:
    made, body = CASES[case]
    async with SseServer(answers(body(count))) as server, aclosing(made(server.url)) as model:
        return await model.complete(HELLO)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", WRONG, ids=repr)
async def test_an_answer_with_a_usage_that_is_no_count_is_charged_at_a_guess(case: str, count: object) -> None:
    reply = await reply_of(case, count)
    assert (reply.text, reply.estimated) == ("Hello.", True)
    assert 0 < reply.usage.input_tokens < 20


@pytest.mark.parametrize("case", CASES)
async def test_one_that_is_a_count_is_charged_as_it_is_told(case: str) -> None:
    reply = await reply_of(case, 12)
    assert (reply.estimated, reply.usage.input_tokens, reply.usage.output_tokens) == (False, 12, 3)


def test_what_is_not_told_counts_as_nothing_and_what_is_no_count_as_unknown() -> None:
    assert counted(12, None, 4) == (12, 0, 4)
    for wrong in (-1, True, "12", 12.0):
        assert counted(12, wrong) is None


@pytest.mark.parametrize("count", [10**25, -5000], ids=repr)
async def test_so_is_one_that_litellm_has_passed_on(count: object) -> None:
    async with (
        SseServer(answers(chat(count))) as server,
        aclosing(LiteLLMModel("openai/gpt-4o", base_url=server.url, api_key="k")) as model,
    ):
        assert (await model.complete(HELLO)).estimated
