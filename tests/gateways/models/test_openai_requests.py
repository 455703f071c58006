"""What OpenAI's models are asked, as it comes to the server, and what of an answer comes back in the next call."""

from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
import pytest
from sse_server import SseServer, answers

from treadle import Generation, Image, Message
from treadle.actors.model_errors import InvalidRequestError
from treadle.events.message import ModelReply, ToolCall, ToolSpec
from treadle.gateways.models.openai import OpenAIModel

STOCK = ToolSpec("stock", "Units in stock.", msgspec.Raw(b'{"type":"object","properties":{"sku":{"type":"string"}}}'))
SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}}
HELLO = [Message("user", "Hello.")]
PICTURE = Image(media_type="image/png", data="aGVsbG8=")
DATA = "data:image/png;base64,aGVsbG8="
CHAT = answers({"model": "m", "choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]})
RESPONSE = answers({"model": "m", "status": "completed", "output": []})


class Shape(NamedTuple):
    name: str
    schema: dict[str, Any]


async def chat(
    messages: list[Message], name: str = "gpt-4o", more: dict[str, Any] | None = None, **options: Any
) -> Any:
    """The body of a request to the chat API, without the model and the messages when there is more."""
    async with (
        SseServer(CHAT) as server,
        aclosing(OpenAIModel(name, base_url=server.url, api_key="k", **(more or {}))) as model,
    ):
        await model.complete(messages, **options)
    return server.asked[0].body


async def respond(
    messages: list[Message], name: str = "gpt-4o", more: dict[str, Any] | None = None, **options: Any
) -> Any:
    """The body of a request to the responses API."""
    async with (
        SseServer(RESPONSE) as server,
        aclosing(OpenAIModel(name, api="responses", base_url=server.url, api_key="k", **(more or {}))) as model,
    ):
        await model.complete(messages, **options)
    return server.asked[0].body


CONVERSATION = [
    Message("system", "Mind the store."),
    Message("user", "How many?", images=(PICTURE, Image(url="https://example.com/a.png"))),
    Message("assistant", "I look.", (ToolCall("call_a", "stock", {"sku": "A1"}), ToolCall("call_b", "stock"))),
    Message("tool", "7", tool_call_id="call_a", name="stock", images=(PICTURE,)),
    Message("tool", "9", tool_call_id="call_b", name="stock"),
    Message("assistant", "Sixteen."),
    Message("user", "Thanks."),
]


async def test_a_conversation_in_the_words_of_the_chat_api() -> None:
    body = await chat(CONVERSATION)
    assert body["messages"] == [
        {"role": "system", "content": "Mind the store."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "How many?"},
                {"type": "image_url", "image_url": {"url": DATA}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "stock", "arguments": '{"sku":"A1"}'}},
                {"id": "call_b", "type": "function", "function": {"name": "stock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "7"},
        {"role": "tool", "tool_call_id": "call_b", "content": "9"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA}}]},
        {"role": "assistant", "content": "Sixteen."},
        {"role": "user", "content": "Thanks."},
    ]


async def test_a_conversation_in_the_words_of_the_responses_api() -> None:
    body = await respond(CONVERSATION)
    assert body["input"] == [
        {"role": "system", "content": "Mind the store."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "How many?"},
                {"type": "input_image", "image_url": DATA, "detail": "auto"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
            ],
        },
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_a", "name": "stock", "arguments": '{"sku":"A1"}'},
        {"type": "function_call", "call_id": "call_b", "name": "stock", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "call_a",
            "output": [
                {"type": "input_text", "text": "7"},
                {"type": "input_image", "image_url": DATA, "detail": "auto"},
            ],
        },
        {"type": "function_call_output", "call_id": "call_b", "output": "9"},
        {"role": "assistant", "content": "Sixteen."},
        {"role": "user", "content": "Thanks."},
    ]


async def test_tools_and_their_choice() -> None:
    function = {"name": "stock", "description": "Units in stock.", "parameters": SCHEMA}
    body = await chat(HELLO, tools=[STOCK], tool_choice="stock", parallel_tool_calls=False)
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "stock"}}
    assert body["parallel_tool_calls"] is False

    body = await respond(HELLO, tools=[STOCK], tool_choice="stock", parallel_tool_calls=False)
    assert body["tools"] == [{"type": "function", **function, "strict": False}]
    assert body["tool_choice"] == {"type": "function", "name": "stock"}
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
async def test_a_general_choice_goes_as_it_is(choice: str) -> None:
    assert (await chat(HELLO, tools=[STOCK], tool_choice=choice))["tool_choice"] == choice
    assert (await respond(HELLO, tools=[STOCK], tool_choice=choice))["tool_choice"] == choice


async def test_without_tools_nothing_is_said_of_their_choice() -> None:
    for body in (await chat(HELLO, tool_choice="required", parallel_tool_calls=True),
                 await respond(HELLO, tool_choice="required", parallel_tool_calls=True)):  # fmt: skip
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


async def test_a_generation_in_the_words_of_each_api() -> None:
    generation = Generation(
        temperature=0.5, top_p=0.9, max_tokens=100, effort="low", prompt_caching=True, extra={"prompt_cache_key": "k"}
    )
    body = await chat(HELLO, "gpt-5", **generation.options, stop=("END",), seed=7)
    assert body == {
        "model": "gpt-5", "messages": [{"role": "user", "content": "Hello."}], "temperature": 0.5, "top_p": 0.9,
        "max_tokens": 100, "stop": ["END"], "seed": 7, "reasoning_effort": "low", "prompt_cache_key": "k",
    }  # fmt: skip
    body = await respond(HELLO, "gpt-5", **generation.options)
    assert body == {
        "model": "gpt-5", "input": [{"role": "user", "content": "Hello."}], "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 100, "reasoning": {"effort": "low"}, "prompt_cache_key": "k", "store": False,
        "include": ["reasoning.encrypted_content"],
    }  # fmt: skip


@pytest.mark.parametrize("option", [{"stop": ("END",)}, {"seed": 7}])
async def test_what_the_responses_api_cannot_do_is_refused_and_not_forgotten(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="api='chat'"):
        await respond(HELLO, **option)


async def test_options_of_the_model_count_where_the_call_says_nothing() -> None:
    more = {"options": {"temperature": 0.1, "seed": 1, "logit_bias": {"50256": -100}}}
    body = await chat(HELLO, more=more, seed=2)
    assert (body["temperature"], body["seed"], body["logit_bias"]) == (0.1, 2, {"50256": -100})


async def test_extra_fields_win() -> None:
    body = await chat(HELLO, temperature=0.1, extra={"temperature": 0.2, "user": "alice"})
    assert (body["temperature"], body["user"]) == (0.2, "alice")


async def test_openais_own_servers_have_another_word_for_the_longest_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    own, azure, other = (
        OpenAIModel("gpt-4o", base_url=url)._api.fields(HELLO, (), {"max_tokens": 5}, stream=False)  # pyright: ignore[reportPrivateUsage]
        for url in (None, "https://x.openai.azure.com/openai/v1", "http://localhost:11434/v1")
    )
    assert own["max_completion_tokens"] == azure["max_completion_tokens"] == 5
    assert other["max_tokens"] == 5
    assert (await chat(HELLO, more={"max_tokens_field": "max_completion_tokens"}, max_tokens=5)).get(
        "max_tokens"
    ) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    assert OpenAIModel("m")._api.fields(HELLO, (), {"max_tokens": 5}, stream=False)["max_tokens"] == 5  # pyright: ignore[reportPrivateUsage]


async def test_a_stream_is_asked_to_tell_its_usage_unless_the_server_knows_no_such_thing() -> None:
    fields = OpenAIModel("m")._api.fields(HELLO, (), {}, stream=True)  # pyright: ignore[reportPrivateUsage]
    assert fields["stream_options"] == {"include_usage": True}
    fields = OpenAIModel("m", stream_usage=False)._api.fields(HELLO, (), {}, stream=True)  # pyright: ignore[reportPrivateUsage]
    assert "stream_options" not in fields


async def test_a_model_that_does_not_think_is_not_asked_to() -> None:
    assert "reasoning_effort" not in await chat(HELLO, "gpt-4o", effort="high")
    body = await respond(HELLO, "gpt-4o", effort="high")
    assert not {"reasoning", "include"} & set(body)
    with pytest.raises(InvalidRequestError, match=r"'gpt-4o' takes none"):
        await chat(HELLO, "gpt-4o", effort="high", strict_effort=True)


async def test_a_summary_of_its_thoughts_is_asked_for_when_it_is_wanted() -> None:
    body = await respond(HELLO, "gpt-5", {"reasoning_summary": "auto"})
    assert body["reasoning"] == {"summary": "auto"}


async def test_a_schema_is_asked_for_in_the_strict_mode() -> None:
    shape = Shape("Article", {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]})
    said = {**shape.schema, "additionalProperties": False}
    body = await chat(HELLO, output_schema=shape)
    described = {"name": "Article", "schema": said, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": described}
    body = await respond(HELLO, output_schema=shape)
    assert body["text"] == {"format": {"type": "json_schema", **described}}


# --- what is carried -------------------------------------------------------------------------------------------------

OUTPUT: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-secret"},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "stock", "arguments": '{"sku":"A1"}',
     "status": "completed"},
]  # fmt: skip
THOUGHT = answers({"model": "gpt-5-2025", "status": "completed", "output": OUTPUT})


async def _then(replied: ModelReply, model: OpenAIModel) -> Any:
    result = Message("tool", "7", tool_call_id="call_a")
    await model.complete([*HELLO, replied.message, result])


async def test_what_a_model_thought_comes_back_to_it_as_it_was() -> None:
    async with (
        SseServer(THOUGHT, RESPONSE) as server,
        aclosing(OpenAIModel("gpt-5", api="responses", base_url=server.url, api_key="k")) as model,
    ):
        reply = await model.complete(HELLO)
        stored = msgspec.json.decode(msgspec.json.encode(reply), type=ModelReply)
        await _then(stored, model)
    assert reply.tool_calls == (ToolCall("call_a", "stock", {"sku": "A1"}),)
    asked = server.asked[1].body["input"]
    assert asked[1:] == [*OUTPUT, {"type": "function_call_output", "call_id": "call_a", "output": "7"}]


async def test_another_model_is_told_what_was_said_and_not_what_it_cannot_read() -> None:
    async with SseServer(THOUGHT, RESPONSE) as server:
        async with aclosing(OpenAIModel("gpt-5", api="responses", base_url=server.url, api_key="k")) as model:
            reply = await model.complete(HELLO)
        async with aclosing(OpenAIModel("gpt-4o", api="responses", base_url=server.url, api_key="k")) as other:
            await _then(reply, other)
    assert server.asked[1].body["input"][1:] == [
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_a", "name": "stock", "arguments": '{"sku":"A1"}'},
        {"type": "function_call_output", "call_id": "call_a", "output": "7"},
    ]


@pytest.mark.parametrize("asked_again", ["deepseek-reasoner", "gpt-4o"])
async def test_thoughts_that_led_to_calls_come_back_to_who_had_them_alone(asked_again: str) -> None:
    signed = {"google": {"thought_signature": "c2lnbmVk"}}
    function = {"name": "stock", "arguments": "{}"}
    call, other = ({"id": id_, "type": "function", "function": function} for id_ in ("call_a", "call_b"))
    said = {"role": "assistant", "content": None, "tool_calls": [call, other]}
    carried = {**said, "reasoning_content": "I must look.", "tool_calls": [{**call, "extra_content": signed}, other]}
    answer = answers({"model": "m-1", "choices": [{"index": 0, "message": carried, "finish_reason": "tool_calls"}]})
    async with SseServer(answer, CHAT) as server:
        async with aclosing(OpenAIModel("deepseek-reasoner", base_url=server.url, api_key="k")) as model:
            reply = await model.complete(HELLO)
        async with aclosing(OpenAIModel(asked_again, base_url=server.url, api_key="k")) as again:
            await _then(reply, again)
    assert reply.thinking == "I must look."
    assert server.asked[1].body["messages"][1] == (carried if asked_again == "deepseek-reasoner" else said)
