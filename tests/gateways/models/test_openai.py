"""OpenAI's models by the real SDK, against servers that speak its protocols and that nobody here wrote."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, Literal, NamedTuple

import msgspec
import pytest
from llmock.pytest_plugin import LLMock
from model_servers import AiMock

from treadle import Agent, AuthenticationError, ConfigError, Image, Message, RateLimitError, tool
from treadle.actors.context import ModelCallContext, enter_model_call
from treadle.actors.model import collect
from treadle.actors.model_errors import ContentFilterError
from treadle.events.message import ModelReply, ToolCall, ToolSpec, Usage
from treadle.gateways.models.openai import OpenAIModel
from treadle.gateways.models.prices import Price
from treadle.gateways.models.secrets import DictSecrets

Api = Literal["chat", "responses"]
APIS: tuple[Api, ...] = ("chat", "responses")

STOCK = ToolSpec("stock", "Units in stock.", msgspec.Raw(b'{"type":"object","properties":{"sku":{"type":"string"}}}'))
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "greet"}, "response": {"content": "Good morning to all of you."}},
    {"match": {"userMessage": "think"}, "response": {"content": "Four.", "reasoning": "Two and two."}},
    {
        "match": {"userMessage": "both", "hasToolResult": False},
        "response": {
            "content": "I look.",
            "toolCalls": [
                {"name": "stock", "arguments": '{"sku": "A1"}', "id": "call_a"},
                {"name": "stock", "arguments": '{"sku": "B2"}', "id": "call_b"},
            ],
        },
    },
    {"match": {"userMessage": "both", "hasToolResult": True}, "response": {"content": "Seven and nine."}},
    {"match": {"userMessage": "broken"}, "response": {"toolCalls": [{"name": "stock", "arguments": '{"sku": '}]}},
    {"match": {"userMessage": "chat usage"}, "response": {"content": "a", "usage": {
        "prompt_tokens": 1000, "completion_tokens": 50}}},
    {"match": {"userMessage": "responses usage"}, "response": {"content": "a", "usage": {
        "input_tokens": 1000, "output_tokens": 50}}},
    {"match": {"userMessage": "cut"}, "response": {"content": "Once upon", "finishReason": "length"}},
    {"match": {"userMessage": "filtered"}, "response": {"content": "I", "finishReason": "content_filter"}},
    {"match": {"userMessage": "JSON", "responseFormat": "json_schema"}, "response": {"content": '{"name": "Ada"}'}},
    {"match": {"userMessage": "slow down"}, "response": {
        "error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"},
        "status": 429, "retryAfter": 7}},
]  # fmt: skip


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES) as server:
        yield server


async def ask(model: OpenAIModel, prompt: str, *, streamed: bool, **options: Any) -> ModelReply:
    messages = [Message("system", "Be brief."), Message("user", prompt)]
    if streamed:
        return await collect(model.stream(messages, **options), model.name)
    return await model.complete(messages, **options)


def at(server: AiMock, api: Api, name: str = "gpt-4o-mini", **more: Any) -> OpenAIModel:
    return OpenAIModel(name, api=api, base_url=server.openai_url, api_key="sk-test", **more)


every_way = pytest.mark.parametrize(
    ("api", "streamed"), [(api, streamed) for api in APIS for streamed in (False, True)]
)


@every_way
async def test_a_text_comes_whole_with_the_model_and_the_id_of_the_request(
    aimock: AiMock, api: Api, streamed: bool
) -> None:
    async with aclosing(at(aimock, api)) as model:
        reply = await ask(model, "greet", streamed=streamed)
    assert reply.text == "Good morning to all of you."
    assert (reply.finish_reason, reply.tool_calls) == ("stop", ())
    assert reply.model == "gpt-4o-mini"
    assert reply.request_id.startswith("req-")


@pytest.mark.parametrize("api", APIS)
async def test_a_streamed_text_comes_in_pieces(llmock: LLMock, api: Api) -> None:
    llmock.reply("one two three four")
    async with aclosing(OpenAIModel("gpt-4o", api=api)) as model:
        chunks = [chunk async for chunk in model.stream([Message("user", "Count.")])]
    texts = [chunk.text for chunk in chunks if chunk.kind == "text"]
    assert len(texts) > 1
    assert "".join(texts) == "one two three four"
    assert [chunk.kind for chunk in chunks][-1] == "finish"


@every_way
async def test_what_the_model_thought_comes_apart_from_what_it_says(aimock: AiMock, api: Api, streamed: bool) -> None:
    async with aclosing(at(aimock, api, "gpt-5")) as model:
        reply = await ask(model, "think", streamed=streamed)
    assert (reply.thinking, reply.text) == ("Two and two.", "Four.")


@every_way
async def test_calls_of_one_turn_come_whole_and_in_order(aimock: AiMock, api: Api, streamed: bool) -> None:
    async with aclosing(at(aimock, api)) as model:
        reply = await ask(model, "both", streamed=streamed, tools=[STOCK])
    assert reply.text == "I look."
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == (
        ToolCall("call_a", "stock", {"sku": "A1"}),
        ToolCall("call_b", "stock", {"sku": "B2"}),
    )


@every_way
async def test_arguments_that_are_no_json_are_given_as_their_text(aimock: AiMock, api: Api, streamed: bool) -> None:
    async with aclosing(at(aimock, api)) as model:
        reply = await ask(model, "broken", streamed=streamed, tools=[STOCK])
    assert [call.args for call in reply.tool_calls] == [{"_invalid": '{"sku": '}]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_that_a_broken_model_makes_is_given_as_it_is(llmock: LLMock, streamed: bool) -> None:
    async with aclosing(OpenAIModel("gpt-4o")) as model:
        llmock.call_tool("stock", {"sku": "A1"}).break_tool_call("malformed_arguments")
        broken = await ask(model, "stock", streamed=streamed, tools=[STOCK])
        llmock.break_tool_call("unknown_tool")
        made_up = await ask(model, "stock", streamed=streamed, tools=[STOCK])
    assert set(broken.tool_calls[0].args) == {"_invalid"}
    assert made_up.tool_calls[0].tool == "llmock_unknown_tool"


@every_way
async def test_usage_is_counted_and_priced(aimock: AiMock, api: Api, streamed: bool) -> None:
    async with aclosing(at(aimock, api, price=Price(input=2.0, output=10.0))) as model:
        reply = await ask(model, f"{api} usage", streamed=streamed)
    assert reply.usage == Usage(1000, 50, cost_usd=0.0025)


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_was_cut_off_says_so(aimock: AiMock, streamed: bool) -> None:
    async with aclosing(at(aimock, "chat")) as model:
        reply = await ask(model, "cut", streamed=streamed)
    assert (reply.text, reply.finish_reason) == ("Once upon", "length")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_filtered_answer_is_an_error_with_what_it_costs(aimock: AiMock, streamed: bool) -> None:
    async with aclosing(at(aimock, "chat", price=Price(input=2.0, output=10.0))) as model:
        with pytest.raises(ContentFilterError) as raised:
            await ask(model, "filtered", streamed=streamed)
    assert raised.value.usage is not None
    assert raised.value.usage.cost_usd > 0
    assert raised.value.request_id.startswith("req-")


@every_way
async def test_a_rate_limit_says_how_long_to_wait_and_whose_request_it_was(
    aimock: AiMock, api: Api, streamed: bool
) -> None:
    async with aclosing(at(aimock, api)) as model:
        with pytest.raises(RateLimitError, match=r"Slow down\.") as raised:
            await ask(model, "slow down", streamed=streamed)
    error = raised.value
    assert (error.provider, error.status, error.retry_after_s, error.may_be_charged) == ("openai", 429, 7.0, False)
    assert error.request_id.startswith("req-")


class Shape(NamedTuple):
    name: str
    schema: dict[str, Any]


PERSON = Shape("Person", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_keeps_to_the_schema_that_is_asked_for(aimock: AiMock, streamed: bool) -> None:
    async with aclosing(at(aimock, "chat")) as model:
        reply = await ask(model, "JSON", streamed=streamed, output_schema=PERSON)
    assert reply.text == '{"name": "Ada"}'


@every_way
async def test_an_answer_to_a_schema_is_json_of_it(llmock: LLMock, api: Api, streamed: bool) -> None:
    async with aclosing(OpenAIModel("gpt-4o", api=api)) as model:
        reply = await ask(model, "Who is it?", streamed=streamed, output_schema=PERSON)
    assert list(msgspec.json.decode(reply.text)) == ["name"]


@pytest.mark.parametrize("api", APIS)
async def test_an_agent_calls_tools_and_answers_with_their_results(aimock: AiMock, api: Api) -> None:
    @tool
    def stock(sku: str) -> str:
        """Units in stock."""
        return {"A1": "seven", "B2": "nine"}[sku]

    async with aclosing(at(aimock, api, "gpt-5")) as model:
        result = await Agent("Mind the store.", model=model, tools=[stock]).run("both")
    assert (result.output, result.turns) == ("Seven and nine.", 2)


@pytest.mark.parametrize("api", APIS)
async def test_pictures_are_sent(aimock: AiMock, api: Api) -> None:
    images = (Image(media_type="image/png", data="aGVsbG8="), Image(url="https://example.com/a.png"))
    async with aclosing(at(aimock, api)) as model:
        reply = await model.complete([Message("user", "greet", images=images)])
    assert reply.text == "Good morning to all of you."


async def test_the_call_is_named_to_the_provider(aimock: AiMock) -> None:
    async with aclosing(at(aimock, "chat")) as model:
        enter_model_call(ModelCallContext("run-1/model-2", 1, "run-1"))
        await ask(model, "greet", streamed=False)
    assert aimock.requests()[-1]["headers"]["x-client-request-id"] == "run-1/model-2"


async def test_the_key_is_looked_for_when_the_model_is_asked(aimock: AiMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    without = OpenAIModel("gpt-4o", base_url=aimock.openai_url)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as raised:
        await without.complete([Message("user", "greet")])
    assert raised.value.provider == "openai"
    secrets = DictSecrets({"OPENAI_API_KEY": "sk-mine"})
    async with aclosing(OpenAIModel("gpt-4o", base_url=aimock.openai_url, secrets=secrets)) as model:
        reply = await model.complete([Message("user", "greet")])
    assert reply.text


def test_each_event_loop_has_connections_of_its_own(aimock: AiMock) -> None:
    model = at(aimock, "chat")

    async def once() -> str:
        async with aclosing(model):
            return (await ask(model, "greet", streamed=True)).text

    assert asyncio.run(once()) == asyncio.run(once()) == "Good morning to all of you."


async def test_a_client_of_ones_own_is_used_without_its_retries_and_stays_open(llmock: LLMock) -> None:
    from openai import AsyncOpenAI

    llmock.rate_limit(times=2, retry_after=0.0)
    async with AsyncOpenAI(max_retries=2) as client:
        model = OpenAIModel("gpt-4o", client=client)
        with pytest.raises(RateLimitError):
            await model.complete([Message("user", "Hello.")])
        assert len(llmock.requests) == 1
        await model.aclose()
        assert not client.is_closed()


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    model = OpenAIModel("gpt-4o", api_key="sk-test")

    with pytest.raises(ConfigError, match=r'pip install "treadle\[openai\]"'):
        asyncio.run(model.complete([Message("user", "Hello.")]))


def test_an_unknown_api_is_refused() -> None:
    with pytest.raises(ConfigError, match="chat, responses"):
        OpenAIModel("gpt-4o", api="completions")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
