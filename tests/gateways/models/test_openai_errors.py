"""What goes wrong with OpenAI's models ends as the taxonomy says: by the real SDK, on the wire."""

import asyncio
import typing
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import httpx
import openai
import pytest
from llmock.pytest_plugin import LLMock
from openai.types.responses import ResponseError
from sse_server import Answer, SseServer, answers, cuts_after, events, sends, sends_and_hangs, stream_head, streams

from treadle import Message
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
    QuotaExceeded,
    RateLimitError,
    RequestRefused,
    ServerError,
    TransientModelError,
    TruncatedAnswer,
    UnknownModel,
)
from treadle.events.message import ModelReply, Usage
from treadle.gateways.models.openai import OpenAIModel
from treadle.gateways.models.openai.errors import CODES, EXCEPTIONS, by_status, translated
from treadle.gateways.models.prices import Price

Api = Literal["chat", "responses"]
HELLO = [Message("user", "Hello.")]
both = pytest.mark.parametrize("streamed", [False, True])


async def ask(model: OpenAIModel, streamed: bool) -> ModelReply:
    if streamed:
        return await collect(model.stream(HELLO), model.name)
    return await model.complete(HELLO)


@asynccontextmanager
async def asked(*given: Answer, api: Api = "chat", **more: Any) -> AsyncGenerator[tuple[SseServer, OpenAIModel]]:
    """A model at a server that answers so."""
    more = {"price": Price(input=1.0, output=2.0), **more}
    async with (
        SseServer(*given) as server,
        aclosing(OpenAIModel("gpt-4o", api=api, base_url=server.url, api_key="sk-test", **more)) as model,
    ):
        yield server, model


async def raised(*given: Answer, streamed: bool, api: Api = "chat", **more: Any) -> ModelError:
    async with asked(*given, api=api, **more) as (_, model):
        with pytest.raises(ModelError) as error:
            await ask(model, streamed)
    return error.value


# --- the tables ------------------------------------------------------------------------------------------------------


def test_every_exception_of_the_installed_sdk_is_in_the_table() -> None:
    names = {*openai.__all__, *openai._exceptions.__all__, "APIError", "APIStatusError"}  # pyright: ignore[reportPrivateUsage]
    found = {name: getattr(openai._exceptions, name, None) or getattr(openai, name, None) for name in names}  # pyright: ignore[reportPrivateUsage]
    exported = {name for name, each in found.items() if isinstance(each, type) and issubclass(each, Exception)}
    assert exported == set(EXCEPTIONS)


def test_every_code_of_the_responses_api_is_in_the_table() -> None:
    codes = set(typing.get_args(ResponseError.model_fields["code"].annotation))
    assert codes
    assert codes <= set(CODES)


def test_what_is_neither_of_the_sdk_nor_of_http_stays_what_it_is() -> None:
    assert translated(ZeroDivisionError("ours"), "openai", "gpt-4o") is None


def test_an_exception_that_a_later_sdk_has_counts_as_what_it_derives_from() -> None:
    class PaymentRequiredError(openai.APIStatusError):
        pass

    response = httpx.Response(402, request=httpx.Request("POST", "https://api.openai.com"))
    error = translated(PaymentRequiredError("Pay.", response=response, body=None), "openai", "gpt-4o")
    assert isinstance(error, QuotaExceeded)


STATUSES: list[tuple[int, type[ModelError]]] = [
    (400, InvalidRequestError),
    (401, AuthenticationError),
    (402, QuotaExceeded),
    (403, AuthenticationError),
    (404, InvalidRequestError),
    (408, ModelTimeout),
    (409, TransientModelError),
    (413, InvalidRequestError),
    (422, InvalidRequestError),
    (429, RateLimitError),
    (500, ServerError),
    (502, ServerError),
    (503, OverloadedError),
    (504, ModelTimeout),
    (529, OverloadedError),
]


@both
@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_a_refusal_is_known_by_its_status(
    llmock: LLMock, status: int, kind: type[ModelError], streamed: bool
) -> None:
    llmock.fail(status, code="said_by_nobody")
    async with aclosing(OpenAIModel("gpt-4o")) as model:
        with pytest.raises(ModelError) as error:
            await ask(model, streamed)
    assert type(error.value) is kind is by_status(status)
    assert error.value.status == status
    assert error.value.may_be_charged == (status in (502, 504))
    assert len(llmock.requests) == 1


CODED: list[tuple[int, str, type[ModelError]]] = [
    (429, "insufficient_quota", QuotaExceeded),
    (404, "model_not_found", UnknownModel),
    (400, "content_filter", ContentFilterError),
    (400, "content_policy_violation", ContentFilterError),
    (400, "context_length_exceeded", InvalidRequestError),
    (401, "invalid_api_key", AuthenticationError),
    (503, "slow_down", OverloadedError),
]


@pytest.mark.parametrize(("status", "code", "kind"), CODED)
async def test_the_code_tells_more_than_the_status(
    llmock: LLMock, status: int, code: str, kind: type[ModelError]
) -> None:
    llmock.fail(status, code=code)
    async with aclosing(OpenAIModel("gpt-4o")) as model:
        with pytest.raises(ModelError, match=code) as error:
            await model.complete(HELLO)
    assert type(error.value) is kind


async def test_a_404_that_names_the_model_is_about_the_model() -> None:
    body = {"error": {"message": 'model "gpt-4o" not found, try pulling it first', "type": "api_error"}}  # Ollama's
    error = await raised(answers(body, status="404 Not Found"), streamed=False)
    assert type(error) is UnknownModel


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("retry-after: 12", 12, 12),
        ("retry-after-ms: 250", 0.25, 0.25),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("retry-after: Fri, 31 Dec 9999 23:59:59 GMT", 1e9, 1e12),
    ],
)
async def test_the_provider_says_how_long_to_wait(header: str, least: float, most: float) -> None:
    body = {"error": {"message": "Slow down."}}
    error = await raised(answers(body, header, status="429 Too Many"), streamed=False)
    assert error.retry_after_s is not None
    assert least <= error.retry_after_s <= most


async def test_a_rate_limit_without_a_time_says_none() -> None:
    error = await raised(answers({"error": {"message": "Slow down."}}, status="429 Too Many"), streamed=True)
    assert (type(error), error.retry_after_s) == (RateLimitError, None)


# --- the wire --------------------------------------------------------------------------------------------------------


def piece(content: str = "", **more: Any) -> dict[str, Any]:
    """A chunk of a chat's answer."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None, **more}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]}


END = piece(finish_reason="stop")
HEAD = stream_head("x-request-id: req-7")
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
ERROR = {"error": {"message": "No room.", "type": "server_error", "code": "server_is_overloaded"}}

BROKEN: dict[str, tuple[list[bytes], type[ModelError]]] = {
    "nothing": ([HEAD], BadReply),
    "a clean end without a finish": ([HEAD, *events(piece("Hel"), done=False)], TruncatedAnswer),
    "[DONE] without a finish": ([HEAD, *events(piece("Hel"))], TruncatedAnswer),
    "an event cut in half": ([HEAD, *events(piece("Hel"), done=False), b'data: {"choices":[{"de'], TruncatedAnswer),
    "garbage": ([HEAD, *events(piece("Hel"), "{oops", END)], BadReply),
    "bytes that are no text": ([HEAD, b"data: \xff\xfe\n\n"], BadReply),
    "JSON of another shape": ([HEAD, *events(["a", "list"])], BadReply),
    "choices of another shape": ([HEAD, *events({"choices": [7], "usage": None})], BadReply),
    "an error": ([HEAD, *events(piece("Hel"), ERROR)], OverloadedError),
    "an error that is only a text": ([HEAD, *events({"error": "it broke"})], ServerError),
    "an error with a status as its code": ([HEAD, *events({"error": {"message": "!", "code": 429}})], RateLimitError),
    "a finish that nobody knows": ([HEAD, *events(piece("Hel"), piece(finish_reason="bored"))], BadReply),
    "a finish by lack of room": ([HEAD, *events(piece(finish_reason="insufficient_system_resource"))], OverloadedError),
    "a page of HTML": ([HEAD.replace(b"text/event-stream", b"text/html"), b"<html>Login</html>"], BadReply),
    "a chunk that breaks off": (
        [stream_head("transfer-encoding: chunked", "x-request-id: req-7"), b"40\r\ndata: {"],
        ConnectionFailed,
    ),
    "less than its length": ([stream_head("content-length: 999", "x-request-id: req-7"), *events(piece("Hel"), END)],
                             ConnectionFailed),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
async def test_half_a_stream_is_an_error_of_that_request(fault: str) -> None:
    sent, kind = BROKEN[fault]
    if fault == "less than its length":
        sent = [each for each in sent if b"DONE" not in each]  # whoever has read that reads no further
    error = await raised(sends(*sent), streamed=True)
    assert type(error) is kind
    assert (error.provider, error.request_id) == ("openai", "req-7")
    assert error.may_be_charged


async def test_a_stream_that_is_reset_in_its_middle_is_a_cut_connection() -> None:
    error = await raised(cuts_after(HEAD, *events(piece("Hel"), done=False)), streamed=True)
    assert type(error) is ConnectionFailed
    assert error.may_be_charged


@both
async def test_a_connection_that_is_closed_before_the_answer_may_have_been_charged(streamed: bool) -> None:
    error = await raised(sends(), streamed=streamed)
    assert type(error) is ConnectionFailed
    assert error.may_be_charged


@both
async def test_where_nobody_listens_nothing_is_charged(streamed: bool, unused_tcp_port: int) -> None:
    async with aclosing(OpenAIModel("gpt-4o", base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", api_key="k")) as model:
        with pytest.raises(ConnectionFailed) as error:
            await ask(model, streamed)
    assert not error.value.may_be_charged


@pytest.mark.parametrize("url", ["127.0.0.1/v1", "ftp://127.0.0.1/v1"])
async def test_an_address_that_is_none_is_not_tried_again(url: str) -> None:
    async with aclosing(OpenAIModel("gpt-4o", base_url=url, api_key="sk-test")) as model:
        with pytest.raises(InvalidRequestError) as error:
            await model.complete(HELLO)
    assert not error.value.may_be_charged


async def test_a_header_that_is_refused_is_not_said() -> None:
    """It may be the key of a client that somebody has made."""
    async with (
        SseServer(answers({})) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="sk-secret\nZzYy9876") as client,
    ):
        with pytest.raises(InvalidRequestError) as error:
            await OpenAIModel("gpt-4o", client=client).complete(HELLO)
    assert "secret" not in str(error.value) and "ZzYy" not in str(error.value)
    assert not error.value.may_be_charged


async def test_what_cannot_be_encoded_was_not_sent() -> None:
    async with (
        SseServer(answers({})) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="sk-é") as client,
    ):
        with pytest.raises(InvalidRequestError) as error:
            await OpenAIModel("gpt-4o", client=client).complete(HELLO)
    assert not error.value.may_be_charged


WHOLE: dict[str, tuple[Answer, type[ModelError]]] = {
    "no JSON": (answers("{oops"), BadReply),
    "no JSON object": (answers(["a", "list"]), BadReply),
    "a text": (sends(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>"), BadReply),
    "no choice": (answers({"choices": []}), BadReply),
    "nothing that is known": (answers({"hello": "there"}), BadReply),
    "an error with status 200": (answers(ERROR), OverloadedError),
    "no end": (answers({"choices": [{"index": 0, "message": {"content": "Hel"}}]}), TruncatedAnswer),
    "less than its length": (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), ConnectionFailed),
    "a broken encoding": (
        sends(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\nno gzip"), BadReply,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WHOLE)
async def test_what_is_no_answer_is_an_error(fault: str) -> None:
    sent, kind = WHOLE[fault]
    error = await raised(sent, streamed=False)
    assert type(error) is kind
    assert error.may_be_charged


RESPONSES: dict[str, tuple[list[object], type[ModelError]]] = {
    "nothing at its end": ([{"type": "response.output_text.delta", "delta": "Hel"}], TruncatedAnswer),
    "an error": ([{"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}], RateLimitError),
    "a wrapped error": ([{"type": "error", "error": {"code": "server_error", "message": "!"}}], ServerError),
    "a failure": ([{"type": "response.failed", "response": {"status": "failed", "output": [], "error": {
        "code": "invalid_prompt", "message": "Flagged."}}}], ContentFilterError),
    "a filter": ([{"type": "response.incomplete", "response": {"status": "incomplete", "output": [],
        "incomplete_details": {"reason": "content_filter"}}}], ContentFilterError),
    "an unknown reason": ([{"type": "response.incomplete", "response": {"status": "incomplete", "output": [],
        "incomplete_details": {"reason": "bored"}}}], BadReply),
    "no reason": ([{"type": "response.incomplete", "response": {"status": "incomplete", "output": []}}],
        TruncatedAnswer),
    "another status": ([{"type": "response.completed", "response": {"status": "cancelled", "output": []}}], BadReply),
    "a refusal": ([{"type": "response.completed", "response": {"status": "completed", "output": [
        {"type": "message", "content": [{"type": "refusal", "refusal": "I must not."}]}]}}], RequestRefused),
}  # fmt: skip


@pytest.mark.parametrize("fault", RESPONSES)
async def test_half_a_response_is_an_error(fault: str) -> None:
    sent, kind = RESPONSES[fault]
    error = await raised(streams(*sent, headers=["x-request-id: req-8"], done=False), streamed=True, api="responses")
    assert type(error) is kind
    assert error.request_id == "req-8"
    assert error.may_be_charged


@pytest.mark.parametrize("fault", [name for name, (sent, _) in RESPONSES.items() if "response" in str(sent[-1])[-99:]])
async def test_a_response_that_is_none_is_an_error(fault: str) -> None:
    sent, kind = RESPONSES[fault]
    last: Any = sent[-1]
    if "response" in last:
        assert type(await raised(answers(last["response"]), streamed=False, api="responses")) is kind


@both
@pytest.mark.parametrize(
    ("message", "reason", "kind"),
    [
        ({"refusal": "I must not."}, "stop", RequestRefused),
        ({"content": "I"}, "content_filter", ContentFilterError),
    ],
)
async def test_a_refusal_is_charged(
    message: dict[str, str], reason: str, kind: type[ModelError], streamed: bool
) -> None:
    if streamed:
        last = {**piece(finish_reason=reason), "usage": USAGE}
        sent = streams(piece(delta=message), last)
    else:
        sent = answers({"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": USAGE})
    error = await raised(sent, streamed=streamed)
    assert type(error) is kind
    assert error.usage == Usage(10, 2, cost_usd=14e-6)
    assert not error.may_be_charged


# --- llmock's faults -------------------------------------------------------------------------------------------------

FAULTS: dict[str, type[ModelError]] = {
    "disconnect": ConnectionFailed,
    "truncate": TruncatedAnswer,
    "corrupt": BadReply,
}


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_in_a_stream_is_no_answer(llmock: LLMock, api: Api, fault: str) -> None:
    llmock.reply("one two three four five six")
    getattr(llmock, fault)(after_chunks=3)
    async with aclosing(OpenAIModel("gpt-4o", api=api)) as model:
        with pytest.raises(ModelError) as error:
            await ask(model, streamed=True)
    assert type(error.value) is FAULTS[fault]
    assert error.value.may_be_charged


# --- time ------------------------------------------------------------------------------------------------------------


@both
async def test_a_server_that_says_nothing_is_given_up(streamed: bool) -> None:
    async with asked(sends_and_hangs(), request_timeout_s=0.05) as (server, model):
        with pytest.raises(ModelTimeout) as error:
            await ask(model, streamed)
        await asyncio.wait_for(server.left.wait(), 5)
    assert error.value.may_be_charged


async def test_a_stream_that_stops_is_given_up() -> None:
    pieces = [HEAD, *events(piece("Hel"), done=False)]
    async with asked(sends_and_hangs(*pieces), request_timeout_s=0.1) as (server, model):
        with pytest.raises(ModelTimeout) as error:
            await ask(model, streamed=True)
        await asyncio.wait_for(server.left.wait(), 5)
    assert isinstance(error.value, TransientModelError)
    assert error.value.request_id == "req-7"
    assert error.value.may_be_charged


@both
async def test_who_cancels_a_call_closes_its_connection(streamed: bool) -> None:
    pieces = [HEAD, *events(piece("Hel"), done=False)] if streamed else []
    async with asked(sends_and_hangs(*pieces)) as (server, model):
        call = asyncio.create_task(ask(model, streamed))
        async with asyncio.timeout(20):
            while not server.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert not server.left.is_set()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(server.left.wait(), 5)


async def test_who_leaves_a_stream_closes_its_connection() -> None:
    async with asked(sends_and_hangs(HEAD, *events(piece("Hel"), done=False))) as (server, model):
        chunks: Any = model.stream(HELLO)
        assert (await anext(chunks)).text == "Hel"
        assert not server.left.is_set()
        await chunks.aclose()
        await asyncio.wait_for(server.left.wait(), 5)
