"""Models in a row: who is asked after which error, in a run and beside one, and what is said of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from billed import Billed

from treadle import (
    Agent,
    AuthenticationError,
    BadReply,
    CircuitOpen,
    ConfigError,
    ConnectionFailed,
    ContentFilterError,
    EchoModel,
    FallbackModel,
    FunctionModel,
    InvalidRequestError,
    Limits,
    Message,
    ModelChunk,
    ModelError,
    ModelTimeout,
    OutputValidationError,
    OverloadedError,
    Price,
    QuotaExceeded,
    RateLimitError,
    RequestRefused,
    RetryPolicy,
    RunError,
    RunState,
    ServerError,
    ToolSpec,
    TruncatedAnswer,
    UnknownModel,
)
from treadle.actors.model import collect

QUESTION = [Message("user", "Hello?")]
AT_ONCE = RetryPolicy(max_attempts=2, initial_delay_s=0.0, max_delay_s=0.0)
PRICE = Price(input=1.0, output=1.0)

OTHERS_FAULT = (
    RateLimitError, OverloadedError, ServerError, ConnectionFailed, ModelTimeout, CircuitOpen, QuotaExceeded, BadReply,
    TruncatedAnswer,
)  # fmt: skip
OUR_FAULT = (
    AuthenticationError, InvalidRequestError, UnknownModel, ContentFilterError, RequestRefused, OutputValidationError,
    ModelError,
)  # fmt: skip


@pytest.fixture(autouse=True)
async def closing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("ACME_API_KEY", "secret")
    yield
    await Agent(model="echo").aclose()


def failing(error: type[ModelError], name: str = "acme-1") -> Billed:
    return Billed(name, error(f"{name} failed"), price=PRICE)


@pytest.mark.parametrize("error", OTHERS_FAULT)
async def test_what_is_the_providers_fault_has_the_next_one_asked(error: type[ModelError]) -> None:
    model = FallbackModel([failing(error), Billed("acme-2", "here")])
    assert (await model.complete(QUESTION)).text == "here"
    assert (await collect(model.stream(QUESTION), "row")).text == "here"
    agent = Agent(model=model, retry_policy=AT_ONCE)
    result = await agent.run("Hello?")
    assert (result.state, result.output) == (RunState.DEGRADED, "here")
    assert result.error == "acme-2 answered in the place of acme-1, which failed: acme-1 failed"


@pytest.mark.parametrize("one", ["gpt-4o", {"provider": "openai", "name": "m", "api_key": "k"}, Billed("acme-1"), None])
def test_one_model_is_no_row_of_them(one: Any) -> None:
    with pytest.raises(ConfigError, match=r"takes a list of models, not one \w+( 'gpt-4o')?; write FallbackModel\(\["):
        FallbackModel(one)


@pytest.mark.parametrize("error", OUR_FAULT)
async def test_what_is_our_own_fault_is_told_and_nobody_else_is_asked(error: type[ModelError]) -> None:
    second = Billed("acme-2", "here")
    model = FallbackModel([failing(error), second])
    with pytest.raises(error):
        await model.complete(QUESTION)
    with pytest.raises(error):
        await collect(model.stream(QUESTION), "row")
    with pytest.raises(RunError, match="acme-1 failed") as failed:
        await Agent(model=model, retry_policy=AT_ONCE).run("Hello?")
    assert failed.value.result.state == RunState.FAILED
    assert not second.asked


async def test_what_nobody_knows_is_told_and_nobody_else_is_asked() -> None:
    second = Billed("acme-2", "here")
    model = FallbackModel([Billed("acme-1", ZeroDivisionError("odd")), second])
    with pytest.raises(ZeroDivisionError):
        await model.complete(QUESTION)
    with pytest.raises(RunError, match="odd"):
        await Agent(model=model).run("Hello?")
    assert not second.asked


async def test_every_attempt_and_every_fall_is_an_event_and_is_charged_for_itself() -> None:
    down = ServerError("acme-1 failed", may_be_charged=True)
    model = FallbackModel([Billed("acme-1", down, price=PRICE), Billed("acme-2", "here", price=PRICE)])
    agent = Agent(model=model, retry_policy=AT_ONCE, budget=Limits(max_cost_usd=1.0))
    events = [event async for event in agent.stream("Hello?")]
    recorded = [event for event in events if event.version and event.type.startswith("model.")]
    assert [event.type.removeprefix("model.") for event in recorded] == [
        "requested",
        "attempt_failed",
        "requested",
        "attempt_failed",
        "fell_back",
        "requested",
        "completed",
    ]
    assert (recorded[4].payload["from_model"], recorded[4].payload["to_model"]) == ("acme-1", "acme-2")
    assert recorded[-1].payload["reply"]["model"] == "acme-2"
    spent = 2 * 10e-6  # each attempt of the first, whose end nobody knows
    assert [event.payload["usage"]["cost_usd"] > spent for event in recorded if event.type.endswith("failed")] == [
        True
    ] * 2
    assert events[-1].type == "run.completed"
    assert events[-1].payload["degraded"].startswith("acme-2 answered in the place of acme-1")


async def test_the_last_one_that_fails_ends_the_run() -> None:
    model = FallbackModel([failing(ServerError), failing(QuotaExceeded, "acme-2"), failing(BadReply, "acme-3")])
    with pytest.raises(RunError, match="acme-3 failed"):
        await Agent(model=model, retry_policy=RetryPolicy.disabled()).run("Hello?")
    with pytest.raises(BadReply):
        await model.complete(QUESTION)


async def test_nobody_else_is_asked_once_a_part_of_an_answer_was_seen() -> None:
    class Cut(EchoModel):
        async def stream(
            self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
        ) -> AsyncIterator[ModelChunk]:
            yield ModelChunk("text", "half of")
            raise ConnectionFailed("cut")

    second = Billed("acme-2", "here")
    model = FallbackModel([Cut(), second])
    seen: list[str] = []
    with pytest.raises(ConnectionFailed):
        async for chunk in model.stream(QUESTION):
            seen.append(chunk.text)
    events = [event async for event in Agent(model=model, retry_policy=AT_ONCE).stream("Hello?")]
    assert (seen, events[-1].type, second.asked) == (["half of"], "run.failed", [])


@pytest.mark.parametrize(
    "fall_on",
    [
        AuthenticationError,
        (ContentFilterError, AuthenticationError),
        lambda error: isinstance(error, AuthenticationError),  # pyright: ignore
    ],
)
async def test_on_what_the_next_one_is_asked_can_be_said(fall_on: Any) -> None:
    def row(error: type[ModelError]) -> FallbackModel:
        return FallbackModel([failing(error), "echo"], fall_on=fall_on)

    assert (await Agent(model=row(AuthenticationError)).run("Hello?")).output == "Echo: Hello?"
    with pytest.raises(RunError):
        await Agent(model=row(ServerError), retry_policy=AT_ONCE).run("Hello?")


@pytest.mark.parametrize(
    "fall_on", ["x", ValueError, int, [ServerError], (ServerError, OSError), (ServerError(""),), 5]
)
def test_what_names_no_error_of_a_model_is_refused_as_fall_on(fall_on: Any) -> None:
    with pytest.raises(ConfigError, match=r"FallbackModel\(fall_on=.*; it is a class of ModelError"):
        FallbackModel(["echo"], fall_on=fall_on)


async def test_a_fall_on_that_raises_hides_no_error_of_the_model(caplog: pytest.LogCaptureFixture) -> None:
    def broken(error: ModelError) -> bool:
        raise KeyError("a bug")

    model = FallbackModel([failing(ServerError), "echo"], fall_on=broken)
    with pytest.raises(ServerError) as found:
        await Agent(model=model, retry_policy=AT_ONCE).run("Hello?")
    assert found.value.result.tokens_in == 0  # type: ignore[attr-defined]
    with pytest.raises(ServerError):
        await model.complete(QUESTION)
    assert "fall_on raised" in caplog.text


async def test_a_row_is_known_by_its_first_and_is_what_all_of_them_are() -> None:
    native, plain = Billed("acme-1"), FunctionModel(lambda messages, tools: "by rule", name="rules")
    row = FallbackModel([native, FallbackModel([plain, "echo"])])
    assert [row.name, row.billed, row.native_output, repr(row)] == [
        "acme-1",
        True,
        False,
        "FallbackModel(['acme-1', 'rules', 'echo'])",
    ]
    assert [model.name for model in row.alternatives] == ["rules", "echo"]
    assert FallbackModel([native, Billed()]).native_output
    assert not FallbackModel([plain, "echo"]).billed
    with pytest.raises(ConfigError, match="needs a model to ask first"):
        FallbackModel([])
    with pytest.raises(ConfigError, match="what works"):
        FallbackModel([object()])


async def test_a_row_closes_all_of_its_models_also_when_one_fails_to() -> None:
    class Stuck(Billed):
        async def aclose(self) -> None:
            raise OSError("stuck")

    models = [Billed("acme-1"), Stuck("acme-2"), Billed("acme-3")]
    for model in models:
        await collect(model.stream(QUESTION), model.name)
    with pytest.raises(OSError, match="stuck"):
        await FallbackModel(models).aclose()
    assert [model.closed for model in models] == [1, 0, 1]
