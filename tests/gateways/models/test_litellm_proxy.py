"""Adapters through LiteLLM's own proxy: its mock answers, and its translation of one protocol into another."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from litellm_proxy import KEY, LiteLLMProxy
from model_servers import AiMock
from msgspec import Raw

from treadle.actors.model import collect
from treadle.actors.model_errors import ModelError, QuotaExceeded, RateLimitError, ServerError
from treadle.events.message import Message, ToolCall, ToolSpec
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.litellm import LiteLLMModel
from treadle.gateways.models.openai import OpenAIModel

pytestmark = pytest.mark.timeout(600)  # the first time, the proxy is installed
MAKES: Final[dict[str, Callable[[str, str], Any]]] = {
    "openai chat": lambda name, url: OpenAIModel(name, api_key=KEY, base_url=f"{url}/v1", api="chat"),
    "anthropic": lambda name, url: AnthropicModel(name, api_key=KEY, base_url=url),
    "litellm over chat completions": lambda name, url: LiteLLMModel(
        f"openai/{name}", api_key=KEY, base_url=f"{url}/v1"
    ),
    "litellm over messages": lambda name, url: LiteLLMModel(f"anthropic/{name}", api_key=KEY, base_url=url),
}
WEATHER: Final = ToolSpec(
    "weather", "Tells the weather.", Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}')
)
CALL: Final = {"name": "weather", "arguments": '{"city":"Oslo"}', "id": "call_w"}
FIXTURES: Final[list[Mapping[str, Any]]] = [
    {"match": {"userMessage": "weather"}, "response": {"toolCalls": [CALL]}},
    {"match": {"userMessage": "Hello"}, "response": {"content": "Hello from behind the proxy."}},
]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLLMProxy]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES) as upstream:
        gpt = {"model": "openai/gpt-4o", "api_key": "k"}
        models = {
            "mocked": {**gpt, "mock_response": "Hello from the proxy."},
            "behind": {**gpt, "api_base": upstream.openai_url},
            "limited": {**gpt, "mock_response": "litellm.RateLimitError"},
            "broken": {**gpt, "mock_response": "litellm.InternalServerError"},
        }
        with LiteLLMProxy(tmp_path_factory.mktemp("proxy"), models) as server:
            yield server


@pytest.fixture(params=MAKES)
async def model_of(proxy: LiteLLMProxy, request: pytest.FixtureRequest) -> AsyncIterator[Callable[[str], Any]]:
    made: list[Any] = []

    def make(name: str) -> Any:
        made.append(MAKES[request.param](name, proxy.url))
        return made[-1]

    yield make
    for model in made:
        await model.aclose()


def user(text: str) -> list[Message]:
    return [Message("user", text)]


async def test_mock_answers_are_read(model_of: Callable[[str], Any]) -> None:
    reply = await model_of("mocked").complete(user("Hello"))
    assert (reply.text, reply.finish_reason) == ("Hello from the proxy.", "stop")
    assert reply.usage.output_tokens > 0


async def test_an_answer_streams_through_the_proxy(model_of: Callable[[str], Any]) -> None:
    model = model_of("behind")
    reply = await collect(model.stream(user("Hello")), model.name)
    assert (reply.text, reply.finish_reason) == ("Hello from behind the proxy.", "stop")


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_of_tools_come_through_the_proxy(model_of: Callable[[str], Any], streamed: bool) -> None:
    model = model_of("behind")
    asked = {"tools": [WEATHER]}
    if streamed:
        reply = await collect(model.stream(user("weather"), **asked), model.name)
    else:
        reply = await model.complete(user("weather"), **asked)
    assert (reply.tool_calls, reply.finish_reason) == (
        (ToolCall("call_w", "weather", {"city": "Oslo"}),),
        "tool_calls",
    )


@pytest.mark.parametrize(("name", "expected"), [("limited", RateLimitError), ("broken", ServerError)])
async def test_errors_of_the_proxy_are_ours(
    model_of: Callable[[str], Any], name: str, expected: type[ModelError]
) -> None:
    with pytest.raises(expected) as failed:
        await model_of(name).complete(user("Hello"))
    assert not isinstance(failed.value, QuotaExceeded)
    assert failed.value.status in (429, 500)


async def test_a_model_that_the_proxy_does_not_have_is_no_answer(model_of: Callable[[str], Any]) -> None:
    with pytest.raises(ModelError):
        await model_of("unheard-of").complete(user("Hello"))
