"""`AnthropicModel` by the real SDK: what is sent, and what is made of the answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from canned_answers import CannedServer, events, json_answer
from llmock.pytest_plugin import LLMock
from model_servers import AiMock
from msgspec import Raw, Struct

from treadle import Agent, Generation, Image, tool
from treadle.actors.context import ModelCallContext, enter_model_call
from treadle.actors.model import ModelChunk, collect
from treadle.actors.model_errors import BadReply, InvalidRequestError, RequestRefused, TruncatedAnswer
from treadle.events.message import Message, ModelReply, ToolCall, ToolSpec, Usage
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.prices import Price

WEATHER: Final = ToolSpec(
    "weather", "Tells the weather.", Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}')
)
REPORT: Final = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 1}, "temp_c": {"type": "number"}},
    "required": ["city", "temp_c"],
}
FIXTURES: Final[list[Mapping[str, Any]]] = [
    {"match": {"toolCallId": "toolu_v"}, "response": {"content": "Take a coat.", "usage": {"input_tokens": 30}}},
    {
        "match": {"userMessage": "weather"},
        "response": {
            "content": "Let me look.",
            "toolCalls": [
                {"name": "weather", "arguments": '{"city":"Oslo"}', "id": "toolu_w"},
                {"name": "weather", "arguments": '{"city":"Rome"}', "id": "toolu_v"},
            ],
            "reasoning": "Cold up there.",
            "reasoningSignature": "signed",
            "redactedThinking": ["sealed"],
            "usage": {"input_tokens": 20, "output_tokens": 7},
        },
    },
    {"match": {"userMessage": "long"}, "response": {"content": "It was a dark", "finishReason": "length"}},
    {"match": {"userMessage": "no"}, "response": {"content": "", "finishReason": "refusal"}},
    {
        "match": {"userMessage": "Hello"},
        "response": {"content": "Hello yourself.", "usage": {"input_tokens": 12, "output_tokens": 4}},
    },
]


class Form(Struct, frozen=True):
    name: str
    schema: dict[str, Any]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES, "--strict") as server:
        yield server


@pytest.fixture
async def claude(aimock: AiMock) -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=aimock.url, price=Price(input=3, output=15))
    yield model
    await model.aclose()


async def asked(llmock: LLMock, messages: list[Message], name: str = "claude-haiku-4-5", **options: Any) -> Any:
    """The body of the request that is sent."""
    model = AnthropicModel(name, api_key="k", base_url=llmock.base_url("anthropic"))
    try:
        await model.complete(messages, **options)
    finally:
        await model.aclose()
    return llmock.last_request.body


async def ask_canned(server: CannedServer, *, streamed: bool = False, **options: Any) -> ModelReply:
    model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=server.url, price=Price(input=0.0, output=0.0))
    try:
        if streamed:
            return await collect(model.stream([Message("user", "Hello")], **options), model.name)
        return await model.complete([Message("user", "Hello")], **options)
    finally:
        await model.aclose()


def user(text: str) -> list[Message]:
    return [Message("user", text)]


def answer(**changed: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    } | changed  # fmt: skip


def started(**usage: int) -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": answer(content=[], stop_reason=None, usage=usage or {"input_tokens": 5}),
    }


def block(index: int, head: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": head},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def stopped(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    told = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": told, "usage": usage or {"output_tokens": 2}},
        {"type": "message_stop"},
    ]


class TestAnswers:
    async def test_a_reply_has_text_usage_cost_and_model(self, claude: AnthropicModel) -> None:
        reply = await claude.complete(user("Hello"))
        assert (reply.text, reply.finish_reason, reply.model) == ("Hello yourself.", "stop", "claude-haiku-4-5")
        assert reply.usage == Usage(12, 4, cost_usd=(12 * 3 + 4 * 15) / 1e6)

    @pytest.mark.parametrize("question", ["Hello", "weather", "long"])
    async def test_a_stream_collects_to_the_reply_that_is_given_whole(
        self, claude: AnthropicModel, question: str
    ) -> None:
        options: dict[str, Any] = {"tools": [WEATHER], "effort": "low"}
        streamed = await collect(claude.stream(user(question), **options), claude.name)
        assert streamed == await claude.complete(user(question), **options)

    async def test_thinking_text_and_parallel_calls_come_as_chunks_in_their_order(self, claude: AnthropicModel) -> None:
        chunks = [chunk async for chunk in claude.stream(user("weather"), tools=[WEATHER], effort="low")]
        assert [chunk.kind for chunk in chunks] == ["thinking", "text", "tool_call", "tool_call", "finish"]
        assert chunks[0].text == "Cold up there."
        assert [chunk.tool_call for chunk in chunks[2:4]] == [
            ToolCall("toolu_w", "weather", {"city": "Oslo"}),
            ToolCall("toolu_v", "weather", {"city": "Rome"}),
        ]
        assert chunks[-1].finish_reason == "tool_calls"

    async def test_a_tool_loop_with_signed_thinking_passes_the_servers_strict_checks(
        self, claude: AnthropicModel
    ) -> None:
        reply = await claude.complete(user("weather"), tools=[WEATHER], effort="low")
        results = [Message("tool", "rain", tool_call_id=call.id) for call in reply.tool_calls]
        answered = await claude.complete([*user("weather"), reply.message, *results], tools=[WEATHER], effort="low")
        assert answered.text == "Take a coat."

    async def test_an_answer_that_is_cut_off_says_length(self, claude: AnthropicModel) -> None:
        assert (await claude.complete(user("long"))).finish_reason == "length"

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_refusal_is_an_error_with_what_it_cost_and_why(self, streamed: bool) -> None:
        details = {"type": "refusal", "category": "bio", "explanation": "not this"}
        told = answer(content=[], stop_reason="refusal", stop_details=details)
        finish = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}}
        chunks = events(started(), finish | {"usage": {"output_tokens": 2}}, {"type": "message_stop"})
        async with CannedServer(chunks if streamed else json_answer(told, request_id="req_1")) as server:
            with pytest.raises(RequestRefused, match="not this") as refused:
                await ask_canned(server, streamed=streamed)
        assert refused.value.usage == Usage(5, 2)

    @pytest.mark.parametrize(
        ("reason", "finish"),
        [("stop_sequence", "stop"), ("model_context_window_exceeded", "length"), ("stop", "stop")],
    )
    async def test_stop_reasons_have_our_words(self, reason: str, finish: str) -> None:
        async with CannedServer(json_answer(answer(stop_reason=reason))) as server:
            assert (await ask_canned(server)).finish_reason == finish

    @pytest.mark.parametrize("reason", ["a_word_of_tomorrow", "tool_use"])
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_an_end_that_nobody_knows_or_that_is_for_a_call_without_one_is_no_answer(
        self, reason: str, streamed: bool
    ) -> None:
        text = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Let me look."})
        stream = events(started(), *text, *stopped(reason))
        async with CannedServer(stream if streamed else json_answer(answer(stop_reason=reason))) as server:
            with pytest.raises(BadReply, match="ended its answer") as bad:
                await ask_canned(server, streamed=streamed)
        assert bad.value.usage is not None and not bad.value.may_be_charged

    async def test_a_turn_that_the_provider_paused_is_no_answer(self) -> None:
        async with CannedServer(json_answer(answer(stop_reason="pause_turn"))) as server:
            with pytest.raises(TruncatedAnswer, match="paused") as truncated:
                await ask_canned(server)
        assert truncated.value.usage == Usage(5, 2)

    async def test_cached_tokens_are_counted_and_priced_apart(self) -> None:
        usage = {
            "input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 50, "cache_creation": {"ephemeral_5m_input_tokens": 50},
        }  # fmt: skip
        price = Price(input=1, output=5, cached_input=0.1, cache_write=1.25)
        stream = events(started(**{**usage, "cache_creation": None}), *stopped(output_tokens=7))  # type: ignore[arg-type]
        async with CannedServer(json_answer(answer(usage=usage)), stream) as server:
            model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=server.url, price=price)
            whole = await model.complete(user("Hello"))
            streamed = await collect(model.stream(user("Hello")), model.name)
            await model.aclose()
        assert whole.usage == Usage(10, 1, 100, 50, cost_usd=(10 + 5 + 10 + 62.5) / 1e6)
        assert streamed.usage == Usage(10, 7, 100, 50, cost_usd=(10 + 35 + 10 + 62.5) / 1e6)

    @pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 0, "output_tokens": 0}])
    async def test_an_answer_whose_usage_is_not_told_is_charged_at_a_guess(self, usage: dict[str, int] | None) -> None:
        said = "a" * 36
        told = answer(content=[{"type": "text", "text": said}], usage=usage)
        begun: dict[str, Any] = {"type": "message_start", "message": {**told, "content": [], "stop_reason": None}}
        ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        pieces = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": said})
        stream = events(begun, *pieces, ended, {"type": "message_stop"})
        async with CannedServer(json_answer(told), stream) as server:
            model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=server.url, price=Price(input=4, output=8))
            whole = await model.complete(user("b" * 384))
            streamed = await collect(model.stream(user("b" * 384)), model.name)
            await model.aclose()
        assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.estimated) == (101, 10, True)
        assert whole.usage.cost_usd == pytest.approx(0.000484)
        assert (streamed.text, streamed.usage, streamed.estimated) == (said, whole.usage, True)

    async def test_the_request_id_of_the_provider_is_kept(self) -> None:
        async with CannedServer(
            json_answer(answer(), request_id="req_1"), events(started(), *stopped(), request_id="req_2")
        ) as server:
            assert (await ask_canned(server)).request_id == "req_1"
            assert (await ask_canned(server, streamed=True)).request_id == "req_2"

    @pytest.mark.parametrize("sent", ['{"city": "Os', "[1]", '"Oslo"'])
    async def test_arguments_that_are_no_json_object_reach_the_run_as_they_came(self, sent: str) -> None:
        head: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": sent}
        async with CannedServer(events(started(), *block(0, head, delta), *stopped("tool_use"))) as server:
            reply = await ask_canned(server, streamed=True, tools=[WEATHER])
        assert reply.tool_calls == (ToolCall("t", "weather", {"_invalid": sent}),)

    async def test_blocks_of_the_providers_own_tools_come_back_in_their_place(self) -> None:
        searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "Oslo"}}
        found: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
        texts = [{"type": "text", "text": "I look. "}, {"type": "text", "text": "Rain."}]
        content = [texts[0], searched, found, texts[1]]
        async with CannedServer(json_answer(answer(content=content)), json_answer(answer())) as server:
            reply = await ask_canned(server)
            model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=server.url)
            await model.complete([*user("Hello"), reply.message, *user("And?")])
            await model.aclose()
        assert reply.text == "I look. Rain."
        assert server.bodies[1]["messages"][1]["content"] == content

    async def test_an_agent_runs_its_tools(self, aimock: AiMock) -> None:
        seen: list[str] = []

        @tool(read_only=True)
        def weather(city: str) -> str:
            """Tells the weather."""
            seen.append(city)
            return f"rain in {city}"

        model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=aimock.url)
        agent = Agent("Be brief.", model=model, tools=[weather], generation=Generation(effort="low"))
        result = await agent.run("What about the weather?")
        await model.aclose()
        assert (result.output, sorted(seen)) == ("Take a coat.", ["Oslo", "Rome"])
        assert (result.tokens_in, result.tokens_out) == (50, 7)


class TestRequests:
    async def test_the_system_prompt_stands_apart_and_results_stand_together(self, llmock: LLMock) -> None:
        calls = (ToolCall("a", "weather", {"city": "Oslo"}), ToolCall("b", "weather", {"city": "Rome"}))
        body = await asked(
            llmock,
            [
                Message("system", "Be brief."),
                Message("user", "weather"),
                Message("assistant", "I look.", calls),
                Message("tool", "rain", tool_call_id="a", name="weather"),
                Message("tool", "sun", tool_call_id="b", name="weather"),
                Message("user", "And tomorrow?"),
            ],
            tools=[WEATHER],
        )
        assert body["system"] == "Be brief."
        assert body["messages"] == [
            {"role": "user", "content": "weather"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": "b", "name": "weather", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "b", "content": "sun"},
                    {"type": "text", "text": "And tomorrow?"},
                ],
            },
        ]

    async def test_pictures_stand_before_the_words_about_them(self, llmock: LLMock) -> None:
        pictures = (Image("image/png", "QUJD"), Image(url="https://example.com/cat.png"))
        body = await asked(llmock, [Message("user", "What is it?", images=pictures)])
        assert body["messages"][0]["content"] == [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            {"type": "text", "text": "What is it?"},
        ]

    async def test_options_are_said_in_the_providers_words(self, llmock: LLMock) -> None:
        body = await asked(
            llmock,
            user("Hello"),
            temperature=0.2,
            top_p=0.9,
            max_tokens=100,
            stop=("END",),
            seed=7,
            top_k=5,
            extra={"service_tier": "auto"},
        )
        del body["messages"]
        assert body == {
            "model": "claude-haiku-4-5", "max_tokens": 100, "temperature": 0.2, "top_p": 0.9, "top_k": 5,
            "stop_sequences": ["END"], "service_tier": "auto",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("options", "choice"),
        [
            ({}, None),
            ({"tool_choice": "auto"}, None),
            ({"tool_choice": "none"}, {"type": "none"}),
            ({"tool_choice": "required"}, {"type": "any"}),
            ({"tool_choice": "weather"}, {"type": "tool", "name": "weather"}),
            ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
            ({"parallel_tool_calls": True}, None),
        ],
    )
    async def test_a_choice_of_tools_is_said(
        self, llmock: LLMock, options: dict[str, Any], choice: dict[str, Any] | None
    ) -> None:
        body = await asked(llmock, user("Hello"), tools=[WEATHER], **options)
        assert body.get("tool_choice") == choice

    async def test_tools_of_the_history_are_defined_where_none_may_be_called(self, llmock: LLMock) -> None:
        history = [*user("x"), Message("assistant", tool_calls=(ToolCall("a", "weather"),))]
        body = await asked(llmock, [*history, Message("tool", "rain", tool_call_id="a")])
        assert [made["name"] for made in body["tools"]] == ["weather"]
        assert body["tool_choice"] == {"type": "none"}

    async def test_a_cached_prompt_is_marked_in_three_places(self, llmock: LLMock) -> None:
        mark = {"type": "ephemeral"}
        body = await asked(
            llmock, [Message("system", "Be brief."), *user("Hello")], tools=[WEATHER], prompt_caching=True
        )
        assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
        assert body["tools"][-1]["cache_control"] == mark
        assert body["messages"][-1]["content"][-1]["cache_control"] == mark

    async def test_the_models_own_longest_answer_holds_where_nobody_says(self, llmock: LLMock) -> None:
        assert (await asked(llmock, user("Hello")))["max_tokens"] == 4096

    async def test_the_call_id_goes_with_the_request(self) -> None:
        async with CannedServer(json_answer(answer())) as server:
            enter_model_call(ModelCallContext("call-7", 2, "run-1"))
            await ask_canned(server)
        assert server.requests[0][1]["x-client-request-id"] == "call-7.2"

    async def test_options_of_the_model_hold_where_the_call_says_nothing(self) -> None:
        async with CannedServer(json_answer(answer())) as server:
            model = AnthropicModel(
                "claude-haiku-4-5", api_key="k", base_url=server.url, options={"temperature": 0.1, "top_p": 0.5}
            )
            await model.complete(user("Hello"), top_p=0.9)
            await model.aclose()
        assert (server.bodies[0]["temperature"], server.bodies[0]["top_p"]) == (0.1, 0.9)


class TestThinking:
    @pytest.mark.parametrize(
        ("name", "effort", "thinking", "word"),
        [
            ("claude-haiku-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
            ("claude-sonnet-4-5-20990101", "max", {"type": "enabled", "budget_tokens": 24_576}, None),
            ("claude-sonnet-4-6", "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
            ("claude-sonnet-4-6", "xhigh", {"type": "adaptive", "display": "summarized"}, "high"),
            ("claude-opus-5", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
            ("deepseek-chat", "low", {"type": "enabled", "budget_tokens": 2048}, None),
            ("claude-3-haiku-29990101", "high", None, None),
        ],
    )
    async def test_effort_is_a_budget_or_a_word_by_generation(
        self, llmock: LLMock, name: str, effort: str, thinking: Any, word: str | None
    ) -> None:
        body = await asked(llmock, user("Hello"), name, effort=effort)
        assert body.get("thinking") == thinking
        assert body.get("output_config", {}).get("effort") == word

    def test_the_longest_answer_is_known_before_the_call_whatever_it_refuses(self) -> None:
        model = AnthropicModel("claude-3-haiku-29990101", api_key="k")
        assert model.longest_answer({"effort": "high", "strict_effort": True}) == 4096

    async def test_there_is_room_for_an_answer_beside_the_thinking(self, llmock: LLMock) -> None:
        body = await asked(llmock, user("Hello"), effort="high")
        assert body["max_tokens"] == body["thinking"]["budget_tokens"] + 4096
        body = await asked(llmock, user("Hello"), effort="high", max_tokens=3000)
        assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (3000, 1976)

    @pytest.mark.parametrize("options", [{"max_tokens": 2000}, {"tool_choice": "required"}])
    async def test_where_there_can_be_no_thinking_the_call_goes_on_without(
        self, llmock: LLMock, options: dict[str, Any]
    ) -> None:
        body = await asked(llmock, user("Hello"), effort="high", tools=[WEATHER], **options)
        assert "thinking" not in body

    @pytest.mark.parametrize(
        ("name", "effort", "why"),
        [
            ("claude-3-haiku-29990101", "low", "cannot think"),
            ("claude-sonnet-4-6", "xhigh", "nearest effort is 'high'"),
            ("claude-haiku-4-5", "high", "no room"),
        ],
    )
    async def test_strict_effort_is_refused_before_anything_is_sent(
        self, llmock: LLMock, name: str, effort: str, why: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match=why):
            await asked(llmock, user("Hello"), name, effort=effort, strict_effort=True, max_tokens=1500)
        assert llmock.requests == []

    @pytest.mark.parametrize(("name", "effort"), [("claude-haiku-4-5", "low"), ("claude-opus-4-7", None)])
    async def test_sampling_is_left_out_where_it_would_be_refused(
        self, llmock: LLMock, name: str, effort: str | None
    ) -> None:
        body = await asked(llmock, user("Hello"), name, effort=effort, temperature=0.3, top_p=0.5, top_k=3)
        assert not {"temperature", "top_p", "top_k"} & set(body)


class TestAnswersInAForm:
    async def test_current_models_are_held_to_the_schema_by_the_provider(self, llmock: LLMock) -> None:
        form = Form("Report", REPORT)
        body = await asked(llmock, user("Hello"), tools=[WEATHER], output_schema=form, effort="low")
        schema = body["output_config"]["format"]["schema"]
        assert (body["output_config"]["format"]["type"], schema["additionalProperties"]) == ("json_schema", False)
        assert "minLength" not in schema["properties"]["city"]
        assert [made["name"] for made in body["tools"]] == ["weather"]
        assert "tool_choice" not in body

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "object", "properties": {"any": {}}},
            {"type": "object", "properties": {"pair": {"type": "array", "prefixItems": [{"type": "integer"}]}}},
            {
                "$ref": "#/$defs/Node",
                "$defs": {"Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}]}}}},
            },
        ],
        ids=["map", "free value", "tuple", "recursion"],
    )
    async def test_what_the_format_cannot_express_is_the_argument_of_a_tool(
        self, llmock: LLMock, schema: dict[str, Any]
    ) -> None:
        body = await asked(llmock, user("Hello"), output_schema=Form("Odd", schema))
        assert "output_config" not in body
        assert body["tools"][0]["input_schema"] == schema
        assert body["tool_choice"] == {"type": "tool", "name": "__output__"}

    @pytest.mark.parametrize(
        ("name", "options", "choice"),
        [
            ("deepseek-chat", {}, {"type": "tool", "name": "__output__"}),
            ("deepseek-chat", {"tools": [WEATHER]}, {"type": "any"}),
            ("deepseek-chat", {"tools": [WEATHER], "tool_choice": "weather"}, {"type": "tool", "name": "weather"}),
            ("deepseek-chat", {"tools": [WEATHER], "effort": "low"}, None),
            ("claude-3-haiku-29990101", {}, {"type": "tool", "name": "__output__"}),
        ],
    )
    async def test_models_without_the_format_are_made_to_call_it_unless_they_think(
        self, llmock: LLMock, name: str, options: dict[str, Any], choice: Any
    ) -> None:
        body = await asked(llmock, user("Hello"), name, output_schema=Form("Report", REPORT), **options)
        assert body["tools"][-1]["name"] == "__output__"
        assert body.get("tool_choice") == choice

    async def test_newer_models_are_never_made_to_call_it(self, llmock: LLMock) -> None:
        free = Form("Free", {"type": "object", "additionalProperties": True})
        body = await asked(llmock, user("Hello"), "claude-opus-5-5", output_schema=free)
        assert body["tools"][-1]["name"] == "__output__"
        assert "tool_choice" not in body

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_the_arguments_of_the_tool_are_the_answer(self, streamed: bool) -> None:
        given = {"city": "Oslo", "temp_c": -3.5}
        head: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "__output__", "input": {}}
        text = json.dumps(given)
        pieces = [{"type": "input_json_delta", "partial_json": part} for part in (text[:9], text[9:])]
        said = {"type": "text", "text": "Here it is:"}
        stream = events(
            started(),
            *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Here it is:"}),
            *block(1, head, *pieces),
            *stopped("tool_use"),
        )
        whole = json_answer(answer(content=[said, {**head, "input": given}], stop_reason="tool_use"))
        async with CannedServer(stream if streamed else whole) as server:
            reply = await ask_canned(
                server, streamed=streamed, output_schema=Form("Map", {"type": "object", "additionalProperties": True})
            )
        assert (json.loads(reply.text), reply.tool_calls, reply.finish_reason) == (given, (), "stop")

    async def test_the_answer_streams_as_text(self) -> None:
        head: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "__output__", "input": {}}
        pieces = [{"type": "input_json_delta", "partial_json": part} for part in ('{"city":', '"Oslo"}')]
        async with CannedServer(events(started(), *block(0, head, *pieces), *stopped("tool_use"))) as server:
            model = AnthropicModel("other", api_key="k", base_url=server.url)
            chunks = [chunk async for chunk in model.stream(user("x"), output_schema=Form("Report", REPORT))]
            await model.aclose()
        assert [chunk.text for chunk in chunks if chunk.kind == "text"] == ['{"city":', '"Oslo"}']

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_tool_of_that_name_that_nobody_offered_is_a_call_like_any_other(self, streamed: bool) -> None:
        call = {"type": "tool_use", "id": "t", "name": "__output__", "input": {"x": 1}}
        pieces = block(0, {**call, "input": {}}, {"type": "input_json_delta", "partial_json": '{"x":1}'})
        stream, whole = events(started(), *pieces, *stopped("tool_use")), answer(content=[call], stop_reason="tool_use")
        async with CannedServer(stream if streamed else json_answer(whole)) as server:
            reply = await ask_canned(server, streamed=streamed)
        assert (reply.text, reply.tool_calls) == ("", (ToolCall("t", "__output__", {"x": 1}),))
        assert reply.finish_reason == "tool_calls"

    async def test_an_answer_without_members_is_one(self) -> None:
        call: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "__output__", "input": {}}
        pieces = block(0, call, {"type": "input_json_delta", "partial_json": ""})
        async with CannedServer(events(started(), *pieces, *stopped("tool_use"))) as server:
            form = Form("Map", {"type": "object", "additionalProperties": True})
            reply = await ask_canned(server, streamed=True, output_schema=form)
        assert (reply.text, reply.finish_reason) == ("{}", "stop")

    async def test_a_model_that_answers_in_words_is_heard_all_the_same(self) -> None:
        text = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": '{"city": "Oslo"}'})
        async with CannedServer(events(started(), *text, *stopped())) as server:
            model = AnthropicModel("other", api_key="k", base_url=server.url)
            reply = await collect(model.stream(user("x"), output_schema=Form("Report", REPORT)), model.name)
            await model.aclose()
        assert reply.text == '{"city": "Oslo"}'


class TestConnections:
    async def test_an_answer_that_may_take_long_is_streamed(self) -> None:
        text = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Long."})
        async with CannedServer(events(started(), *text, *stopped())) as server:
            reply = await ask_canned(server, max_tokens=20_000)
        assert (reply.text, server.bodies[0]["stream"]) == ("Long.", True)

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_cancelling_closes_the_connection(self, streamed: bool) -> None:
        hangs = events(started(), then="hang")
        async with CannedServer(hangs) as server:
            asking = asyncio.create_task(ask_canned(server, streamed=streamed))
            await server.hanging()
            asking.cancel()
            await server.client_gone()
            with pytest.raises(asyncio.CancelledError):
                await asking

    def test_each_event_loop_has_its_own_client(self, aimock: AiMock) -> None:
        model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=aimock.url)

        async def ask() -> tuple[int, str]:
            reply = await model.complete(user("Hello"))
            client = id(model.client)
            await model.aclose()
            return client, reply.text

        assert [asyncio.run(ask())[1] for _ in range(2)] == ["Hello yourself."] * 2

    async def test_a_given_client_is_used_and_left_open(self, aimock: AiMock) -> None:
        from anthropic import AsyncAnthropic

        async with AsyncAnthropic(api_key="k", base_url=aimock.url, max_retries=0) as client:
            model = AnthropicModel("claude-haiku-4-5", client=client)
            assert (await model.complete(user("Hello"))).text == "Hello yourself."
            await model.aclose()
            assert not client.is_closed()


async def test_chunks_of_a_stream_arrive_before_its_end(tmp_path: Path) -> None:
    text = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"})
    async with CannedServer(events(started(), *text, then="hang")) as server:
        model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=server.url)
        chunks = model.stream(user("Hello"))
        assert await anext(chunks) == ModelChunk("text", "Hel")
        await chunks.aclose()  # type: ignore[attr-defined]
        await server.client_gone()
        await model.aclose()


async def test_what_is_no_message_is_a_bad_reply() -> None:
    for body in ({"foo": 1}, [1], "words"):
        async with CannedServer(json_answer(body)) as server:
            with pytest.raises(BadReply):
                await ask_canned(server)
