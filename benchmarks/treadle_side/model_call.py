"""A model adapter beside the bare call of the SDK that it goes by: the same request to the same server.

A sample is a ratio of two times, of calls that took turns: bare, adapter, adapter, bare. On a machine with neighbours
the two are hit alike, and the median of many samples tells a percent or two; the times alone would not. The bare call
has its request ready, where the adapter makes it of messages and tools, and it only collects the text.

The arguments say which pair (`PAIRS`), and `whole` or `streamed`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import msgspec
from measured import Measured, Round, play, times
from model_server import CHUNKS, TEXT, model_server

from treadle.events.message import Message, ToolCall, ToolSpec
from treadle.gateways.models.openai import OpenAIModel

Call: TypeAlias = Callable[[], Awaitable[str]]
"""Asks once, and gives the text of the answer."""

SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}}
TOOLS = tuple(
    ToolSpec(name, "What is in stock.", msgspec.Raw(msgspec.json.encode(SCHEMA))) for name in ("stock", "order")
)
MESSAGES = [
    Message("system", "You mind the store. " * 20),
    Message("user", "How many are there?"),
    Message("assistant", "", (ToolCall("call_1", "stock", {"sku": "A1"}),)),
    Message("tool", "Seven.", tool_call_id="call_1", name="stock"),
    Message("assistant", "There are seven."),
    Message("user", "And tomorrow?"),
]


async def compared(bare: Call, other: Call, count: int, clock: Callable[[], float]) -> list[float]:
    """`count` samples of how long `other` takes, 1 for as long as the bare call."""
    samples: list[float] = []
    for _ in range(count):
        taken = {bare: 0.0, other: 0.0}
        for call in (bare, other, other, bare):
            started = clock()
            text = await call()
            taken[call] += clock() - started
            if text != TEXT * CHUNKS:
                raise AssertionError("not the answer")
        samples.append(taken[other] / taken[bare])
    return samples


class Pair(NamedTuple):
    """A model, and the bare calls that do what it does: whole, and streamed."""

    model: Any
    whole: Call
    stream: Call


def of_chat(url: str) -> Pair:
    model = OpenAIModel("gpt-4o", base_url=f"{url}/v1", api_key="sk-benchmark")

    async def whole() -> str:
        answer = await model.client.chat.completions.create(**requests[False])
        return str(answer.choices[0].message.content)

    async def stream() -> str:
        text: list[str] = []
        async for chunk in await model.client.chat.completions.create(**requests[True]):
            if chunk.choices and chunk.choices[0].delta.content:
                text.append(chunk.choices[0].delta.content)
        return "".join(text)

    requests = {streamed: model._api.fields(MESSAGES, TOOLS, {}, stream=streamed) for streamed in (False, True)}
    return Pair(model, whole, stream)


def of_responses(url: str) -> Pair:
    model = OpenAIModel("gpt-4o", api="responses", base_url=f"{url}/v1", api_key="sk-benchmark")

    async def whole() -> str:
        return str((await model.client.responses.create(**requests[False])).output_text)

    async def stream() -> str:
        text: list[str] = []
        async for event in await model.client.responses.create(**requests[True]):
            if event.type == "response.output_text.delta":
                text.append(event.delta)
        return "".join(text)

    requests = {streamed: model._api.fields(MESSAGES, TOOLS, {}, stream=streamed) for streamed in (False, True)}
    return Pair(model, whole, stream)


def of_anthropic(url: str) -> Pair:
    from treadle.gateways.models.anthropic import AnthropicModel

    model = AnthropicModel("claude-sonnet-4-5", base_url=url, api_key="sk-benchmark")
    tools = [{"name": tool.name, "description": tool.description, "input_schema": SCHEMA} for tool in TOOLS]
    request: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 1024,
        "system": MESSAGES[0].content,
        "tools": tools,
        "messages": [
            {"role": "user", "content": "How many are there?"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "stock", "input": {"sku": "A1"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "Seven."}]},
            {"role": "assistant", "content": "There are seven."},
            {"role": "user", "content": "And tomorrow?"},
        ],
    }

    async def whole() -> str:
        return str((await model.client.messages.create(**request)).content[0].text)

    async def stream() -> str:
        text: list[str] = []
        async for event in await model.client.messages.create(**request, stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text.append(event.delta.text)
        return "".join(text)

    return Pair(model, whole, stream)


PAIRS: dict[str, Callable[[str], Pair]] = {"chat": of_chat, "responses": of_responses, "anthropic": of_anthropic}


def adapter(model: Any, streamed: bool) -> Call:
    async def whole() -> str:
        return str((await model.complete(MESSAGES, tools=TOOLS)).text)

    async def stream() -> str:
        return "".join([chunk.text async for chunk in model.stream(MESSAGES, tools=TOOLS) if chunk.kind == "text"])

    return stream if streamed else whole


@asynccontextmanager
async def model_call(clock: Callable[[], float]) -> AsyncGenerator[Round]:
    name, way = sys.argv[2:4]
    streamed = way == "streamed"
    async with model_server() as url:
        pair = PAIRS[name](url)
        async with aclosing(pair.model):
            bare = pair.stream if streamed else pair.whole
            yield lambda: compared(bare, adapter(pair.model, streamed), times(50 if streamed else 200), clock)


if __name__ == "__main__":
    play(
        "Treadle",
        {
            "model_call": Measured("×", lambda: model_call(time.perf_counter)),
            "model_call_cpu": Measured("×", lambda: model_call(time.process_time)),
        },
    )
