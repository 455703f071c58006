"""What goes wrong with `AnthropicModel`: by the real SDK, as our errors say it."""

import inspect
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, get_args

import anthropic
import httpx2
import pytest
from anthropic.types.shared import ErrorType
from canned_answers import Canned, CannedServer, events, json_answer
from llmock.pytest_plugin import LLMock

from treadle.actors.model import collect
from treadle.actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    InvalidRequestError,
    ModelError,
    ModelTimeout,
    OverloadedError,
    QuotaExceeded,
    RateLimitError,
    ServerError,
    TransientModelError,
    TruncatedAnswer,
    UnknownModel,
)
from treadle.events.message import Message, Usage
from treadle.gateways.models.anthropic import TABLE, AnthropicModel
from treadle.gateways.models.anthropic.errors import error_of
from treadle.gateways.models.prices import Price

QUESTION = [Message("user", "Hello")]
FREE = Price(input=0.0, output=0.0)
STARTED: Final[dict[str, Any]] = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 1},
    },
}  # fmt: skip
TEXT: Final[list[dict[str, Any]]] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
]
TEXT_END: Final[dict[str, Any]] = {"type": "content_block_stop", "index": 0}
END: Final[list[dict[str, Any]]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


def told(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


async def failure(url: str, *, streamed: bool = False, timeout_s: float = 5.0) -> ModelError:
    """The error that a question ends with."""
    model = AnthropicModel("claude-haiku-4-5", api_key="k", base_url=url, request_timeout_s=timeout_s, price=FREE)
    try:
        with pytest.raises(ModelError) as failed:
            if streamed:
                await collect(model.stream(QUESTION), model.name)
            else:
                await model.complete(QUESTION, max_tokens=1)  # short enough not to be streamed
    finally:
        await model.aclose()
    assert failed.value.provider in ("anthropic", "")
    return failed.value


@pytest.fixture
async def refused_port() -> AsyncIterator[str]:
    async with CannedServer() as server:
        url = server.url
    yield url


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", InvalidRequestError),
        (400, "billing_error", QuotaExceeded),
        (401, "authentication_error", AuthenticationError),
        (402, "billing_error", QuotaExceeded),
        (403, "permission_error", AuthenticationError),
        (404, "not_found_error", UnknownModel),
        (408, "timeout_error", ModelTimeout),
        (409, "conflict_error", TransientModelError),
        (413, "request_too_large", InvalidRequestError),
        (418, "of a proxy", InvalidRequestError),
        (422, "of a proxy", InvalidRequestError),
        (429, "rate_limit_error", RateLimitError),
        (429, "of a proxy", RateLimitError),
        (500, "api_error", ServerError),
        (502, "of a proxy", ServerError),
        (503, "of a proxy", OverloadedError),
        (504, "timeout_error", ModelTimeout),
        (529, "overloaded_error", OverloadedError),
    ],
)
async def test_a_status_is_one_error_with_the_providers_words(
    status: int, kind: str, expected: type[ModelError], streamed: bool
) -> None:
    async with CannedServer(json_answer(told(kind, "it says why"), status, request_id="req_1")) as server:
        error = await failure(server.url, streamed=streamed)
        assert len(server.requests) == 1
    assert type(error) is expected
    assert (error.status, error.request_id, error.usage) == (status, "req_1", None)
    assert "it says why" in str(error)
    assert error.may_be_charged is (status in (502, 504))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503, 529])
async def test_statuses_of_a_mock_provider_are_errors(llmock: LLMock, status: int) -> None:
    llmock.fail(status)
    error = await failure(llmock.base_url("anthropic"))
    assert (type(error) is not ModelError, error.status) == (True, status)
    assert len(llmock.requests) == 1, "the SDK must not try again: attempts are the run's"


async def test_a_limit_of_spending_is_no_limit_of_the_rate() -> None:
    body = told("rate_limit_error")
    body["error"]["details"] = {"error_code": "enforced_spend_limit_reached"}
    async with CannedServer(json_answer(body, 429)) as server:
        assert type(await failure(server.url)) is QuotaExceeded


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "60", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"}, None),
        ({"retry_after": "99999999999999999999 Jan 2026 00:00:00 GMT"}, None),
        ({"retry_after": "Mon, 01 Jan 0001 00:00:00 +1200"}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
async def test_the_time_to_wait_is_what_the_provider_says(headers: dict[str, str], wait_s: float | None) -> None:
    async with CannedServer(json_answer(told("rate_limit_error"), 429, **headers)) as server:
        assert (await failure(server.url)).retry_after_s == wait_s


@pytest.mark.parametrize("words", [{"a": 1}, ["a"], 5, None])
async def test_an_error_whose_words_are_no_text_is_known_by_its_status(words: object) -> None:
    async with CannedServer(json_answer({"type": "error", "error": {"type": words, "message": words}}, 529)) as server:
        assert type(await failure(server.url)) is OverloadedError


async def test_the_time_to_wait_may_be_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    async with CannedServer(json_answer(told("overloaded_error"), 529, retry_after=until)) as server:
        wait_s = (await failure(server.url)).retry_after_s
    assert wait_s is not None
    assert 290 < wait_s <= 300


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", OverloadedError), ("api_error", ServerError), ("something_new", ServerError)],
)
async def test_an_error_in_the_middle_of_a_stream_says_what_was_used(kind: str, expected: type[ModelError]) -> None:
    async with CannedServer(events(STARTED, *TEXT, told(kind, "sorry"), request_id="req_1")) as server:
        error = await failure(server.url, streamed=True)
    assert type(error) is expected
    assert (error.usage, error.may_be_charged, error.request_id) == (Usage(5, 1), True, "req_1")
    assert "sorry" in str(error)


class TestConnections:
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_what_never_connected_is_not_charged(self, refused_port: str, streamed: bool) -> None:
        error = await failure(refused_port, streamed=streamed)
        assert (type(error), error.may_be_charged) == (ConnectionFailed, False)

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_silent_provider_times_out_and_may_charge(self, streamed: bool) -> None:
        async with CannedServer(Canned(then="hang", headers={"content-type": "application/json"})) as server:
            error = await failure(server.url, streamed=streamed, timeout_s=0.1)
        assert (type(error), error.may_be_charged) == (ModelTimeout, True)

    async def test_a_stream_that_stalls_times_out_with_what_is_known_to_be_used(self) -> None:
        async with CannedServer(events(STARTED, *TEXT, then="hang")) as server:
            error = await failure(server.url, streamed=True, timeout_s=0.1)
        assert (type(error), error.usage, error.may_be_charged) == (ModelTimeout, Usage(5, 1), True)

    async def test_a_whole_answer_that_is_cut_is_a_failed_connection(self) -> None:
        whole = json.dumps({"type": "message"}).encode()
        async with CannedServer(Canned(whole, 200, {"content-type": "application/json"}, "cut")) as server:
            error = await failure(server.url)
        assert (type(error), error.may_be_charged) == (ConnectionFailed, True)

    async def test_a_stream_that_is_cut_is_a_failed_connection_with_what_is_known_to_be_used(self) -> None:
        async with CannedServer(events(STARTED, *TEXT, then="cut", request_id="req_1")) as server:
            error = await failure(server.url, streamed=True)
        assert (type(error), error.usage, error.may_be_charged) == (ConnectionFailed, Usage(5, 1), True)

    async def test_a_provider_that_hangs_up_may_charge(self) -> None:
        async with CannedServer(Canned(then="drop")) as server:
            error = await failure(server.url)
        assert (type(error), error.may_be_charged) == (ConnectionFailed, True)


class TestBrokenStreams:
    @pytest.mark.parametrize(
        "sent",
        [[STARTED], [STARTED, *TEXT], [STARTED, *TEXT, TEXT_END], [STARTED, *TEXT, TEXT_END, END[0]]],
        ids=["after its start", "in a block", "after a block", "before its last event"],
    )
    async def test_a_stream_that_just_ends_is_half_an_answer(self, sent: list[dict[str, Any]]) -> None:
        async with CannedServer(events(*sent)) as server:
            error = await failure(server.url, streamed=True)
        assert (type(error), error.may_be_charged) == (TruncatedAnswer, True)
        assert error.usage is not None

    async def test_a_stream_without_an_event_is_no_answer(self) -> None:
        async with CannedServer(events()) as server:
            error = await failure(server.url, streamed=True)
        assert (type(error), error.may_be_charged, error.usage) == (BadReply, True, None)

    async def test_an_end_with_an_open_block_is_half_an_answer(self) -> None:
        async with CannedServer(events(STARTED, *TEXT, *END)) as server:
            assert type(await failure(server.url, streamed=True)) is TruncatedAnswer

    @pytest.mark.parametrize(
        "garbage",
        [
            b'event: content_block_delta\ndata: {"type": "content_bl\n\n',
            b"event: content_block_delta\ndata: [1, 2]\n\n",
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":9,"delta":{}}\n\n',
            b'event: message_delta\ndata: {"type":"message_delta"}\n\n',
            b"event: message_delta\ndata: \xff\xfe\n\n",
        ],
        ids=["half a JSON", "no object", "of a block that is none", "without its fields", "no UTF-8"],
    )
    async def test_garbage_is_a_bad_reply(self, garbage: bytes) -> None:
        good = events(STARTED, *TEXT)
        async with CannedServer(Canned(good.body + garbage, 200, good.headers)) as server:
            error = await failure(server.url, streamed=True)
        assert (type(error), error.usage) == (BadReply, Usage(5, 1))

    @pytest.mark.parametrize("body", [b"<html>", b"", b'{"type": "mess', b"[]", b"{}", b"null"])
    async def test_a_whole_answer_that_is_none_is_a_bad_reply(self, body: bytes) -> None:
        async with CannedServer(Canned(body, 200, {"content-type": "application/json"})) as server:
            assert type(await failure(server.url)) is BadReply

    async def test_a_page_in_the_place_of_a_stream_is_no_answer(self) -> None:
        async with CannedServer(Canned(b"<html>", 200, {"content-type": "text/html"})) as server:
            assert type(await failure(server.url, streamed=True)) in (BadReply, TruncatedAnswer)

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [("disconnect", ConnectionFailed), ("truncate", TruncatedAnswer), ("corrupt", BadReply)],
    )
    async def test_the_faults_of_a_mock_provider_are_errors(
        self, llmock: LLMock, fault: str, expected: type[ModelError]
    ) -> None:
        getattr(llmock.reply("one two three four five six"), fault)(after_chunks=3)
        assert type(await failure(llmock.base_url("anthropic"), streamed=True)) is expected


class TestTable:
    def test_every_exception_of_the_sdk_has_its_place(self) -> None:
        exported = {
            found
            for _, found in inspect.getmembers(anthropic, inspect.isclass)
            if issubclass(found, anthropic.AnthropicError) and found is not anthropic.APIStatusError
        }
        coded = {found for found in exported if "error_code" in found.__annotations__}
        assert {found.__name__ for found in exported - coded} - set(TABLE) == set()
        assert {found for found in coded if not {base.__name__ for base in found.__mro__} & set(TABLE)} == set()

    def test_every_type_of_error_has_its_place(self) -> None:
        assert set(get_args(ErrorType)) - set(TABLE) == set()

    def test_every_status_class_of_the_sdk_becomes_what_the_table_says(self) -> None:
        request = httpx2.Request("POST", "http://localhost")
        for _, found in inspect.getmembers(anthropic, inspect.isclass):
            status = getattr(found, "status_code", None)
            if not isinstance(status, int) or not issubclass(found, anthropic.APIStatusError):
                continue
            response = httpx2.Response(status, request=request)
            error = error_of(found("no", response=response, body=None))
            assert error is not None
            assert isinstance(error, ModelError) and type(error) is not ModelError, found

    def test_what_is_not_the_sdks_stays_what_it_is(self) -> None:
        assert error_of(RuntimeError("mine")) is None


async def test_a_header_that_is_refused_is_not_said() -> None:
    """It may be the key of a client that somebody has made."""
    async with CannedServer() as server:
        client = anthropic.AsyncAnthropic(api_key="sk-secret\nZzYy9876", base_url=server.url, max_retries=0)
        with pytest.raises(InvalidRequestError) as error:
            await AnthropicModel("claude-haiku-4-5", client=client).complete(QUESTION)
        await client.close()
    assert "secret" not in str(error.value) and "ZzYy" not in str(error.value)


async def test_a_missing_key_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"):
        await AnthropicModel("claude-haiku-4-5").complete(QUESTION)
