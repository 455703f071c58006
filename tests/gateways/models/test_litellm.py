"""`LiteLLMModel` by the real library, against servers that speak two of its providers' protocols."""

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import pytest
from canned_answers import Canned, CannedServer, events, json_answer
from llmock.pytest_plugin import LLMock
from model_servers import AiMock
from msgspec import Raw, Struct

from treadle import Agent, Image, tool
from treadle.actors.context import ModelCallContext, enter_model_call
from treadle.actors.model import collect
from treadle.actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    ModelTimeout,
    OverloadedError,
    PermanentModelError,
    QuotaExceeded,
    RateLimitError,
    RequestRefused,
    ServerError,
    TruncatedAnswer,
    UnknownModel,
)
from treadle.events.message import Message, ModelReply, ToolCall, ToolSpec, Usage
from treadle.events.redaction import redact, redaction
from treadle.gateways.models.litellm import GENERAL, TABLE, LiteLLMModel
from treadle.gateways.models.litellm.errors import error_of, translated
from treadle.gateways.models.litellm.keys import key_names
from treadle.gateways.models.litellm.library import load
from treadle.gateways.models.litellm.messages import carried_of
from treadle.gateways.models.litellm.reading import Reading
from treadle.gateways.models.prices import Price
from treadle.gateways.models.secrets import DictSecrets

WEATHER: Final = ToolSpec(
    "weather", "Tells the weather.", Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}')
)
PROVIDERS: Final = ("openai/gpt-4o", "anthropic/claude-haiku-4-5")
USED: Final = {"prompt_tokens": 12, "completion_tokens": 4}
FIXTURES: Final[list[Mapping[str, Any]]] = [
    {"match": {"toolCallId": "toolu_v"}, "response": {"content": "Take a coat.", "usage": USED}},
    {
        "match": {"userMessage": "weather"},
        "response": {
            "toolCalls": [
                {"name": "weather", "arguments": '{"city":"Oslo"}', "id": "toolu_w"},
                {"name": "weather", "arguments": '{"city":"Rome"}', "id": "toolu_v"},
            ],
            "reasoning": "Cold up there.",
            "reasoningSignature": "signed",
            "usage": USED,
        },
    },
    {"match": {"userMessage": "long"}, "response": {"content": "It was", "finishReason": "length", "usage": USED}},
    {"match": {"userMessage": "Hello"}, "response": {"content": "Hello yourself.", "usage": USED}},
]


class Form(Struct, frozen=True):
    name: str
    schema: dict[str, Any]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES) as server:
        yield server


@pytest.fixture(params=PROVIDERS)
async def model(aimock: AiMock, request: pytest.FixtureRequest) -> AsyncIterator[LiteLLMModel]:
    made = model_at(request.param, aimock)
    yield made
    await made.aclose()


def model_at(name: str, server: AiMock, **given: Any) -> LiteLLMModel:
    url = server.openai_url if name.startswith("openai") else server.url
    return LiteLLMModel(name, api_key="k", base_url=url, price=Price(input=1, output=2), **given)


def reading() -> Reading:
    return Reading("gemini-2.5-pro", "vertex_ai", lambda usage: usage, lambda _: Usage())


def user(text: str) -> list[Message]:
    return [Message("user", text)]


async def asked(llmock: LLMock, messages: list[Message], name: str = "openai/gpt-4o", **options: Any) -> Any:
    """The body of the request that is sent."""
    model = LiteLLMModel(name, api_key="k", base_url=llmock.base_url(name.partition("/")[0]))
    try:
        await model.complete(messages, **options)
    finally:
        await model.aclose()
    return llmock.last_request.body


async def failure(name: str, url: str, *, streamed: bool = False, timeout_s: float = 5.0) -> ModelError:
    """The error that a question ends with."""
    model = LiteLLMModel(name, api_key="k", base_url=url, request_timeout_s=timeout_s)
    try:
        with pytest.raises(ModelError) as failed:
            if streamed:
                await collect(model.stream(user("Hello")), model.name)
            else:
                await model.complete(user("Hello"))
    finally:
        await model.aclose()
    return failed.value


class TestAnswers:
    async def test_a_reply_has_text_usage_and_cost(self, model: LiteLLMModel) -> None:
        reply = await model.complete(user("Hello"))
        assert (reply.text, reply.finish_reason) == ("Hello yourself.", "stop")
        assert reply.usage == Usage(12, 4, cost_usd=20e-6)
        assert reply.model == model.name.partition("/")[2]

    @pytest.mark.parametrize("question", ["Hello", "weather", "long"])
    async def test_a_stream_collects_to_what_is_given_whole(self, model: LiteLLMModel, question: str) -> None:
        streamed = await collect(model.stream(user(question), tools=[WEATHER]), model.name)
        whole = await model.complete(user(question), tools=[WEATHER])
        assert streamed.request_id and whole.request_id
        for reply in (streamed, whole):
            assert (reply.text, reply.tool_calls, reply.thinking, reply.carried, reply.finish_reason) == (
                whole.text, whole.tool_calls, whole.thinking, whole.carried, whole.finish_reason,
            )  # fmt: skip
        assert streamed.usage.output_tokens == 4

    async def test_parallel_calls_are_read(self, model: LiteLLMModel) -> None:
        reply = await model.complete(user("weather"), tools=[WEATHER])
        assert reply.tool_calls == (
            ToolCall("toolu_w", "weather", {"city": "Oslo"}),
            ToolCall("toolu_v", "weather", {"city": "Rome"}),
        )
        assert reply.finish_reason == "tool_calls"

    async def test_signed_thinking_goes_back_with_its_answer(self, llmock: LLMock) -> None:
        blocks = [{"type": "thinking", "thinking": "Cold up there.", "signature": "signed"}]
        said = Message("assistant", tool_calls=(ToolCall("a", "weather"),), carried=carried_of(blocks, "anthropic"))
        result = Message("tool", "rain", tool_call_id="a")
        body = await asked(llmock, [*user("x"), said, result], PROVIDERS[1], tools=[WEATHER])
        assert body["messages"][1]["content"][0] == blocks[0]

    async def test_signed_thinking_goes_to_nobody_else(self, llmock: LLMock) -> None:
        blocks = [{"type": "thinking", "thinking": "Cold up there.", "signature": "signed"}]
        said = Message("assistant", "Cold.", carried=carried_of(blocks, "anthropic"))
        body = await asked(llmock, [*user("x"), said, *user("y")])
        assert body["messages"][1] == {"role": "assistant", "content": "Cold."}

    async def test_an_agent_runs_its_tools(self, aimock: AiMock) -> None:
        seen: list[str] = []

        @tool(read_only=True)
        def weather(city: str) -> str:
            """Tells the weather."""
            seen.append(city)
            return f"rain in {city}"

        model = model_at(PROVIDERS[0], aimock)
        result = await Agent("Be brief.", model=model, tools=[weather]).run("What about the weather?")
        await model.aclose()
        assert (result.output, sorted(seen)) == ("Take a coat.", ["Oslo", "Rome"])

    async def test_cached_tokens_are_counted_apart_whoever_the_provider_is(self) -> None:
        claude = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {
                "input_tokens": 10, "output_tokens": 2, "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 50,
            },
        }  # fmt: skip
        gpt = {
            "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}],
            "usage": {
                "prompt_tokens": 110, "completion_tokens": 2, "total_tokens": 112,
                "prompt_tokens_details": {"cached_tokens": 100},
            },
        }  # fmt: skip
        for name, answer, usage in (
            (PROVIDERS[1], claude, Usage(10, 2, 100, 50)),
            (PROVIDERS[0], gpt, Usage(10, 2, 100)),
        ):
            async with CannedServer(json_answer(answer)) as server:
                model = LiteLLMModel(name, api_key="k", base_url=server.url, price=Price(input=0, output=0))
                assert (await model.complete(user("Hello"))).usage == usage
                await model.aclose()

    async def test_an_answer_whose_usage_is_not_told_is_charged_at_a_guess(self) -> None:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a" * 36}}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
        async with CannedServer(json_answer(body)) as server:
            model = LiteLLMModel(PROVIDERS[0], api_key="k", base_url=server.url, price=Price(input=4, output=8))
            reply = await model.complete(user("b" * 384))
            await model.aclose()
        assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.estimated) == (101, 10, True)
        assert reply.usage.cost_usd == pytest.approx(0.000484)

    async def test_a_filtered_answer_is_an_error(self) -> None:
        choice = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
        async with CannedServer(json_answer(body)) as server:
            assert type(await failure(PROVIDERS[0], server.url)) is ContentFilterError


def chat_answer(message: Mapping[str, Any], end: str | None, *, streamed: bool) -> Canned:
    """An answer of chat completions, whole or as a stream of one piece and its end."""
    head = {"id": "c", "created": 1, "model": "m"}
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    if not streamed:
        choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": end}
        return json_answer({**head, "object": "chat.completion", "choices": [choice], "usage": used})
    pieces: list[Any] = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", **message}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]},
        {"choices": [], "usage": used},
    ]
    sent = [json.dumps({**head, "object": "chat.completion.chunk", **piece}) for piece in pieces]
    body = "".join(f"data: {text}\n\n" for text in (*sent, "[DONE]"))
    return Canned(body.encode(), 200, {"content-type": "text/event-stream"})


BOTH_WAYS: Final = ("openai/gpt-4o", "deepseek/deepseek-chat")
"""One that LiteLLM asks through an SDK, and one that it asks itself."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", BOTH_WAYS)
class TestEnds:
    @pytest.mark.parametrize(
        ("end", "expected"),
        [
            (None, TruncatedAnswer),
            ("error", ServerError),
            ("insufficient_system_resource", OverloadedError),
            ("content_filter", ContentFilterError),
            ("a_word_of_tomorrow", BadReply),
            ("tool_calls", BadReply),
        ],
    )
    async def test_half_an_answer_is_an_error(
        self, name: str, streamed: bool, end: str | None, expected: type[ModelError]
    ) -> None:
        async with CannedServer(chat_answer({"content": "half"}, end, streamed=streamed)) as server:
            error = await failure(name, server.url, streamed=streamed)
        assert type(error) is expected

    async def test_a_refusal_is_an_error_that_says_it(self, name: str, streamed: bool) -> None:
        async with CannedServer(chat_answer({"refusal": "I will not."}, "stop", streamed=streamed)) as server:
            error = await failure(name, server.url, streamed=streamed)
        assert type(error) is RequestRefused
        assert "I will not." in str(error)
        assert error.usage is not None and error.usage.output_tokens == 2

    @pytest.mark.parametrize(("end", "reason"), [("stop", "stop"), ("eos", "stop"), ("length", "length")])
    async def test_a_whole_answer_is_one(self, name: str, streamed: bool, end: str, reason: str) -> None:
        reply = await answered(chat_answer({"content": "Hi."}, end, streamed=streamed), name, streamed)
        assert (reply.text, reply.finish_reason) == ("Hi.", reason)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", BOTH_WAYS)
class TestToolCalls:
    @pytest.mark.parametrize("text", ['{"a":NaN}', '{"a":1e400}', '{"a":"\\ud800"}', '{"a":', "[1]"])
    async def test_arguments_that_are_no_json_object_are_the_tools_to_refuse(
        self, name: str, streamed: bool, text: str
    ) -> None:
        message = {"tool_calls": [wanted("call_1", text)]}
        reply = await answered(chat_answer(message, "tool_calls", streamed=streamed), name, streamed)
        assert reply.tool_calls == (ToolCall("call_1", "weather", {"_invalid": text}),)

    async def test_arguments_nobody_can_read_end_no_run_with_an_error_to_retry(self, name: str, streamed: bool) -> None:
        text = "[" * 3000 + "]" * 3000
        answer = chat_answer({"tool_calls": [wanted("call_1", text)]}, "tool_calls", streamed=streamed)
        if streamed:
            assert (await answered(answer, name, streamed)).tool_calls[0].args == {"_invalid": text}
            return
        with pytest.raises(BadReply):  # LiteLLM itself cannot read them
            await answered(answer, name, streamed)

    @pytest.mark.parametrize("ids", [("call_1", "call_2"), ("", ""), ("call_1", "call_1")])
    async def test_two_calls_stay_two_whatever_their_numbers_are(
        self, name: str, streamed: bool, ids: tuple[str, str]
    ) -> None:
        # Streamed, both have the index 0 when their ids tell them apart.
        calls = [wanted(id_, f'{{"n":{n}}}', 0 if ids[0] != ids[1] else n) for n, id_ in enumerate(ids)]
        reply = await answered(chat_answer({"tool_calls": calls}, "tool_calls", streamed=streamed), name, streamed)
        assert [call.args for call in reply.tool_calls] == [{"n": 0}, {"n": 1}]
        assert len({call.id for call in reply.tool_calls} - {""}) == 2


def wanted(id_: str, text: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "id": id_, "type": "function", "function": {"name": "weather", "arguments": text}}


async def answered(answer: Canned, name: str, streamed: bool) -> ModelReply:
    """The reply that an answer of the provider becomes."""
    async with CannedServer(answer) as server:
        model = LiteLLMModel(name, api_key="k", base_url=server.url)
        if streamed:
            reply = await collect(model.stream(user("Hello"), tools=[WEATHER]), name)
        else:
            reply = await model.complete(user("Hello"), tools=[WEATHER])
        await model.aclose()
    return reply


class TestRequests:
    async def test_options_are_said_in_the_words_of_chat_completions(self, llmock: LLMock) -> None:
        body = await asked(
            llmock, user("Hello"), tools=[WEATHER], temperature=0.2, max_tokens=100, stop=("END",), seed=7,
            tool_choice="weather", parallel_tool_calls=False, extra={"user": "u"},
        )  # fmt: skip
        assert body["messages"] == [{"role": "user", "content": "Hello"}]
        assert (body["temperature"], body["max_tokens"], body["stop"], body["seed"]) == (0.2, 100, ["END"], 7)
        assert (body["parallel_tool_calls"], body["user"]) == (False, "u")
        assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}

    async def test_what_a_provider_has_no_word_for_is_left_out(self, llmock: LLMock) -> None:
        body = await asked(llmock, user("Hello"), PROVIDERS[1], seed=7, effort="low")
        assert "seed" not in body
        assert body["thinking"]["type"] == "enabled"

    async def test_strict_effort_is_refused_where_there_is_no_word_for_it(self, llmock: LLMock) -> None:
        with pytest.raises(InvalidRequestError, match="effort"):
            await asked(llmock, user("Hello"), effort="low", strict_effort=True)
        assert llmock.requests == []

    async def test_pictures_are_sent(self, llmock: LLMock) -> None:
        pictures = (Image("image/png", "QUJD"), Image(url="https://example.com/cat.png"))
        body = await asked(llmock, [Message("user", "What?", images=pictures)])
        assert body["messages"][0]["content"] == [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ]

    async def test_a_form_is_asked_for_where_the_provider_has_it(self, llmock: LLMock) -> None:
        form = Form("Report", {"type": "object", "properties": {"city": {"type": "string"}}})
        body = await asked(llmock, user("Hello"), output_schema=form)
        assert body["response_format"]["json_schema"] == {"name": "Report", "schema": form.schema}
        assert LiteLLMModel("openai/gpt-4o").native_output
        assert not LiteLLMModel("openai/gpt-3.5-turbo").native_output

    async def test_a_cached_prompt_is_marked(self, llmock: LLMock) -> None:
        body = await asked(llmock, [Message("system", "Be."), *user("Hello")], PROVIDERS[1], prompt_caching=True)
        assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
        assert body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}

    async def test_further_arguments_go_to_litellm(self, aimock: AiMock) -> None:
        model = model_at(PROVIDERS[0], aimock, mock_response="made up by LiteLLM")
        enter_model_call(ModelCallContext("call-7", 1, "run-1"))
        assert (await model.complete(user("Hello"))).text == "made up by LiteLLM"
        await model.aclose()

    async def test_a_logger_of_ones_own_is_called_too(self, aimock: AiMock) -> None:
        logged: list[Any] = []
        model = model_at(PROVIDERS[0], aimock, logger_fn=logged.append)
        await model.complete(user("Hello"))
        await model.aclose()
        assert logged

    async def test_the_key_may_be_a_secret_by_the_providers_name_for_it(self, llmock: LLMock) -> None:
        async with CannedServer(json_answer({}, 401)) as server:
            secrets = DictSecrets({"MISTRAL_API_KEY": "the-key"})
            model = LiteLLMModel("mistral/mistral-large-latest", base_url=server.url, secrets=secrets)
            with pytest.raises(AuthenticationError):
                await model.complete(user("Hello"))
            await model.aclose()
        assert server.requests[0][1]["authorization"] == "Bearer the-key"

    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("together_ai/x", "TOGETHERAI_API_KEY"),
            ("cohere_chat/command-r", "COHERE_API_KEY"),
            ("perplexity/sonar", "PERPLEXITYAI_API_KEY"),
            ("claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ],
    )
    def test_keys_have_the_names_that_litellm_gives_them(
        self, monkeypatch: pytest.MonkeyPatch, name: str, key: str
    ) -> None:
        for each in key_names(name):
            monkeypatch.delenv(each, raising=False)
        assert key in key_names(name)
        if not name.startswith("cohere_chat"):  # of which it does not say it
            assert load().validate_environment(name)["missing_keys"] == [key]

    async def test_a_key_that_litellm_finds_by_itself_is_masked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHERAI_API_KEY", "plain-key-of-together-4711")
        LiteLLMModel("together_ai/x")
        assert "4711" not in redact("it is plain-key-of-together-4711")
        redaction.forget_secret("plain-key-of-together-4711")


class TestPrices:
    def test_litellms_own_table_counts_where_treadles_has_nothing(self) -> None:
        model = LiteLLMModel("fireworks_ai/accounts/fireworks/models/deepseek-v3")
        assert model.cost_usd(Usage(1_000_000, 1_000_000)) == pytest.approx(1.8)

    def test_a_given_price_wins(self) -> None:
        assert LiteLLMModel("openai/gpt-4o", price=Price(input=1, output=1)).cost_usd(Usage(1_000_000)) == 1

    def test_nobody_guesses_a_price(self) -> None:
        assert LiteLLMModel("openai/nobody-knows-it").cost_usd(Usage(1)) is None

    def test_the_table_is_read_without_importing_the_library(self) -> None:
        program = (
            "import sys; from treadle.gateways.models.litellm import LiteLLMModel as M;"
            "assert M('fireworks_ai/accounts/fireworks/models/deepseek-v3').price; assert 'litellm' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


class TestErrors:
    @pytest.mark.parametrize("name", PROVIDERS)
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, InvalidRequestError),
            (401, AuthenticationError),
            (402, QuotaExceeded),
            (403, AuthenticationError),
            (404, UnknownModel),
            (413, InvalidRequestError),
            (422, InvalidRequestError),
            (429, RateLimitError),
            (500, ServerError),
            (503, OverloadedError),
            (529, OverloadedError),
        ],
    )
    async def test_a_status_is_one_error_whoever_the_provider_is(
        self, llmock: LLMock, name: str, status: int, expected: type[ModelError]
    ) -> None:
        llmock.fail(status, retry_after=7)
        error = await failure(name, llmock.base_url(name.partition("/")[0]))
        assert (type(error), error.status, error.may_be_charged) == (expected, status, False)
        assert error.retry_after_s == 7
        assert len(llmock.requests) == 1, "LiteLLM must not try again: attempts are the run's"

    @pytest.mark.parametrize("name", BOTH_WAYS)
    async def test_an_account_without_credit_is_not_asked_again(self, name: str) -> None:
        body = {"error": {"message": "Exceeded.", "code": "insufficient_quota", "type": "insufficient_quota"}}
        async with CannedServer(json_answer(body, 429)) as server:
            assert type(await failure(name, server.url)) is QuotaExceeded

    @pytest.mark.parametrize("name", PROVIDERS)
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            ("disconnect", (ConnectionFailed,)),
            ("truncate", (TruncatedAnswer,)),
            ("corrupt", (BadReply, TruncatedAnswer)),
        ],
    )
    async def test_a_broken_stream_is_no_answer(
        self, llmock: LLMock, name: str, fault: str, expected: tuple[type[ModelError], ...]
    ) -> None:
        getattr(llmock.reply("one two three four five six"), fault)(after_chunks=3)
        error = await failure(name, llmock.base_url(name.partition("/")[0]), streamed=True)
        assert type(error) in expected
        assert error.may_be_charged

    @pytest.mark.parametrize("name", PROVIDERS)
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_silent_provider_times_out_and_may_charge(self, name: str, streamed: bool) -> None:
        async with CannedServer(Canned(then="hang", headers={"content-type": "application/json"})) as server:
            error = await failure(name, server.url, streamed=streamed, timeout_s=0.2)
        assert (type(error), error.may_be_charged) == (ModelTimeout, True)

    @pytest.mark.parametrize("name", PROVIDERS)
    async def test_what_never_connected_is_not_charged(self, name: str) -> None:
        async with CannedServer() as server:
            url = server.url
        error = await failure(name, url)
        assert (type(error), error.may_be_charged) == (ConnectionFailed, False)

    async def test_an_overload_in_the_middle_of_a_stream_is_one(self) -> None:
        started: dict[str, Any] = {
            "type": "message_start",
            "message": {
                "id": "m", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [],
                "usage": {"input_tokens": 5, "output_tokens": 1},
            },
        }  # fmt: skip
        told = {"type": "error", "error": {"type": "overloaded_error", "message": "sorry"}}
        async with CannedServer(events(started, told)) as server:
            error = await failure(PROVIDERS[1], server.url, streamed=True)
        assert type(error) in (OverloadedError, ServerError)
        assert error.may_be_charged

    @pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}"])
    async def test_an_answer_that_is_none_is_never_taken_for_one(self, body: bytes) -> None:
        async with CannedServer(Canned(body, 200, {"content-type": "application/json"})) as server:
            await failure(PROVIDERS[0], server.url)

    @pytest.mark.parametrize("name", [*PROVIDERS, "azure/gpt-4o", "gemini/gemini-2.5-pro", "snowflake/claude-4"])
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_missing_key_is_no_fault_of_the_server(
        self, monkeypatch: pytest.MonkeyPatch, name: str, streamed: bool
    ) -> None:
        for key in (*key_names(name), "OPENAI_ADMIN_KEY", "AZURE_AD_TOKEN", "SNOWFLAKE_JWT"):
            monkeypatch.delenv(key, raising=False)
        model = LiteLLMModel(name, base_url="http://127.0.0.1:9")
        with pytest.raises(AuthenticationError) as failed:
            if streamed:
                await collect(model.stream(user("Hello")), name)
            else:
                await model.complete(user("Hello"))
        assert not failed.value.may_be_charged
        await model.aclose()

    @pytest.mark.parametrize("place", ["given", "stored", "environment"])
    async def test_a_key_that_no_header_takes_is_refused_and_not_said(
        self, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        key = "sk-secret-12345\nZzYy9876"
        places: dict[str, dict[str, Any]] = {
            "given": {"api_key": key},
            "stored": {"secrets": DictSecrets({"OPENAI_API_KEY": key})},
            "environment": {},
        }
        given = places[place]
        monkeypatch.setenv("OPENAI_API_KEY", key)
        model = LiteLLMModel("openai/gpt-4o", base_url="http://127.0.0.1:9", **given)
        with pytest.raises(AuthenticationError, match="a line break") as failed:
            await model.complete(user("Hello"))
        assert "secret" not in str(failed.value) and "ZzYy" not in str(failed.value)
        await model.aclose()

    def test_a_missing_package_is_no_lost_connection(self) -> None:
        with pytest.raises(PermanentModelError, match="No module named 'google'") as failed, translated(reading()):
            try:
                raise ModuleNotFoundError("No module named 'google'")
            except ModuleNotFoundError as exc:
                raise load().APIConnectionError(str(exc), llm_provider="vertex_ai", model="gemini-2.5-pro") from exc
        assert not failed.value.may_be_charged

    def test_what_a_provider_answers_of_keys_is_its_answer(self) -> None:
        """A text that it was sent, say."""
        wrong = load().InternalServerError("Missing credentials", llm_provider="openai", model="gpt-4o")
        wrong.litellm_response_headers = {"x-request-id": "req-1"}
        assert type(error_of(wrong)) is ServerError

    async def test_a_provider_that_litellm_does_not_know_is_refused(self) -> None:
        model = LiteLLMModel("nobody-has-this")
        with pytest.raises(InvalidRequestError, match="nobody-has-this"):
            await model.complete(user("Hello"))
        await model.aclose()

    def test_every_exception_of_the_library_has_its_place(self) -> None:
        litellm = load()
        found = {
            name
            for module in (litellm, litellm.exceptions)
            for name, each in inspect.getmembers(module, inspect.isclass)
            if issubclass(each, Exception) and each.__module__.startswith("litellm")
        }
        assert found - set(TABLE) - set(GENERAL) == set()

    def test_what_is_not_the_librarys_stays_what_it_is(self) -> None:
        assert error_of(RuntimeError("mine")) is None


class TestConnections:
    @pytest.mark.parametrize("name", PROVIDERS)
    async def test_cancelling_closes_the_connection(self, name: str) -> None:
        async with CannedServer(Canned(then="hang", headers={"content-type": "application/json"})) as server:
            model = LiteLLMModel(name, api_key="k", base_url=server.url)
            asking = asyncio.create_task(model.complete(user("Hello")))
            await server.hanging()
            asking.cancel()
            await server.client_gone()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await model.aclose()

    async def test_the_last_model_of_a_loop_closes_its_connections(self, aimock: AiMock) -> None:
        models = [model_at(name, aimock) for name in PROVIDERS]
        for each in models:
            await each.complete(user("Hello"))
        await models[0].aclose()
        assert (await models[1].complete(user("Hello"))).text == "Hello yourself."
        await models[1].aclose()
        cached = load().in_memory_llm_clients_cache.cache_dict
        assert not [key for key in cached if key.endswith(str(id(asyncio.get_running_loop())))]

    def test_each_event_loop_has_connections_of_its_own(self, aimock: AiMock) -> None:
        model = model_at(PROVIDERS[0], aimock)

        async def ask() -> str:
            reply = await model.complete(user("Hello"))
            await model.aclose()
            return reply.text

        assert [asyncio.run(ask()) for _ in range(2)] == ["Hello yourself."] * 2


def test_the_import_fetches_nothing_prints_nothing_and_leaves_the_environment_alone() -> None:
    program = """
import os, socket
def refuse(*args, **kwargs): raise AssertionError(f"network at import: {args}")
socket.getaddrinfo = socket.create_connection = refuse
before = dict(os.environ)
from treadle.gateways.models.litellm.keys import key_names
from treadle.gateways.models.litellm.library import load
from treadle.gateways.models.litellm.messages import carried_of
litellm = load()
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
"""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LITELLM")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
