"""Providers who speak OpenAI's protocol: that they are asked at their address, under their key, in their words."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from model_servers import AiMock

from treadle import Agent, AuthenticationError, Generation, Model, RunError, price_of

FIXTURES = [
    {
        "match": {"userMessage": "Hello"},
        "response": {"content": "Here.", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}},
    },
    {"match": {"userMessage": "No"}, "response": {"error": {"message": "no such key", "type": "x"}, "status": 401}},
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES, "--strict") as server:
        yield server


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


@pytest.mark.parametrize(
    ("make", "provider", "name", "address"),
    [
        (Model.deepseek, "deepseek", "deepseek-chat", "DEEPSEEK_BASE_URL"),
        (Model.gemini, "gemini", "gemini-2.5-flash", "GEMINI_BASE_URL"),
        (Model.minimax, "minimax", "MiniMax-M2", "MINIMAX_BASE_URL"),
        (Model.qwen, "qwen", "qwen-plus", "DASHSCOPE_BASE_URL"),
        (Model.ollama, "ollama", "llama3:8b", "OLLAMA_BASE_URL"),
    ],
)
async def test_a_provider_is_asked_in_openais_protocol_and_at_its_own_price(
    make: Callable[..., Any], provider: str, name: str, address: str, aimock: AiMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(address, aimock.openai_url)
    before = len(aimock.requests())
    agent = Agent(model=make(name, api_key="k"), generation=Generation(max_tokens=50))
    result = await agent.run("Hello")
    events = [event async for event in agent.stream("Hello")]
    price = price_of(provider, name)
    assert result.output == "Here."
    assert result.cost_usd == pytest.approx(0.0 if price is None else (1000 * price.input + 10 * price.output) / 1e6)
    assert (price is None) is (provider == "ollama")
    assert events[-1].payload["output"] == "Here."
    asked = aimock.requests()[before:]
    assert {request["path"] for request in asked} == {"/v1/chat/completions"}
    assert {(request["body"]["model"], request["body"]["max_tokens"]) for request in asked} == {(name, 50)}
    with pytest.raises(RunError) as failed:
        await agent.run("No")
    assert isinstance(failed.value, AuthenticationError)
    assert failed.value.provider == provider
