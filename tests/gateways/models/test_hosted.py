"""What all models of a provider have in common: where they are, and which client is theirs."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from sse_server import SseServer, answers

from treadle import Agent, ConfigError, EchoModel, Message, Model, Price, Usage
from treadle.actors.context import ModelCallContext, enter_model_call
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.compatible import OllamaModel
from treadle.gateways.models.openai import OpenAIModel

HERE, THERE = "https://here.example.org/v1", "https://there.example.org/v1"


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_models_of_one_name_fail_apart_on_two_servers() -> None:
    """However a model was told its server, a circuit that opens for one leaves the other closed."""
    here = OpenAIModel("m", base_url=HERE).endpoint
    assert here == OpenAIModel("m", base_url=f"{HERE}/").endpoint
    assert here == OpenAIModel("m", client=AsyncOpenAI(api_key="k", base_url=HERE)).endpoint
    there = OpenAIModel("m", client=AsyncOpenAI(api_key="k", base_url=THERE))
    assert len({here, there.endpoint, OpenAIModel("m").endpoint}) == 3
    claude = AnthropicModel("m", client=AsyncAnthropic(api_key="k", base_url=HERE))
    assert claude.endpoint == f"anthropic:{HERE}:m"


def test_a_server_that_the_environment_names_fails_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    makes: dict[str, type[OpenAIModel | AnthropicModel]] = {
        "OPENAI_BASE_URL": OpenAIModel,
        "ANTHROPIC_BASE_URL": AnthropicModel,
        "OLLAMA_BASE_URL": OllamaModel,
    }
    for name, make in makes.items():
        own = make("m").endpoint
        monkeypatch.setenv(name, THERE)
        assert make("m").endpoint == f"{make.provider}:{THERE}:m"
        assert make("m").endpoint != own


class Vault:
    """A store whose key is changed now and then."""

    key = "first-key-4444"

    def lookup_sync(self, name: str) -> str | None:
        return self.key


CHAT = {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]}
CLAUDE: dict[str, Any] = {
    "model": "m",
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.mark.parametrize(("make", "body"), [(OpenAIModel, CHAT), (AnthropicModel, CLAUDE)], ids=["openai", "anthropic"])
async def test_a_key_that_is_changed_in_its_store_is_sent_with_the_next_call(make: Any, body: dict[str, Any]) -> None:
    store = Vault()
    async with SseServer(answers(body)) as server, aclosing(make("m", base_url=server.url, secrets=store)) as model:
        await model.complete([Message("user", "Hello.")])
        store.key = "second-key-5555"
        await model.complete([Message("user", "Hello.")])
    first, second = (" ".join(asked.headers.values()) for asked in server.asked)
    assert "first-key-4444" in first
    assert "second-key-5555" in second
    assert "first-key-4444" not in second


@pytest.mark.parametrize(("make", "body"), [(OpenAIModel, CHAT), (AnthropicModel, CLAUDE)], ids=["openai", "anthropic"])
async def test_a_request_says_which_attempt_it_is_made_for(make: Any, body: dict[str, Any]) -> None:
    enter_model_call(ModelCallContext("call-7", 2, "run-1"))
    async with SseServer(answers(body)) as server, aclosing(make("m", base_url=server.url, api_key="k")) as model:
        await model.complete([Message("user", "Hello.")])
    assert server.asked[0].headers["x-client-request-id"] == "call-7.2"


IMPORTS = """
import asyncio, sys, threading
from treadle import Agent, ConnectionFailed, Model

class Watch:
    found = []
    def find_spec(self, name, path=None, target=None):
        if name in ("openai._client", "openai.resources.chat", "anthropic._client", "litellm.main"):
            self.found.append((name, threading.current_thread() is threading.main_thread()))

sys.meta_path.insert(0, Watch())
for make, name in ((Model.openai, "m"), (Model.anthropic, "m"), (Model.litellm, "openai/m")):
    model = make(name, api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0)
    try:
        asyncio.run(Agent("You help.", model=model).run("Hello."))
    except ConnectionFailed:
        pass
    else:
        raise AssertionError("nobody is there")
assert len(Watch.found) == 4 and not any(on_loop for _, on_loop in Watch.found), Watch.found
"""


def test_a_providers_package_is_imported_beside_the_event_loop() -> None:
    """It takes seconds, in which a node would be taken for dead."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


async def test_what_a_model_has_to_prepare_takes_none_of_its_time() -> None:
    class Slow(EchoModel):
        async def prepare(self) -> None:
            await asyncio.sleep(0.5)

    result = await Agent("You help.", model=Slow(), model_timeout_s=0.2).run("Hello.")
    assert result.output == "Echo: Hello."


MAKERS = [OpenAIModel, AnthropicModel, Model.openai, Model.anthropic, Model.litellm]


@pytest.mark.parametrize("make", MAKERS)
def test_a_price_may_be_a_mapping(make: Callable[..., Any]) -> None:
    model = make("openai/some-model", price={"input": 2, "output": 8.5})
    assert model.price == Price(input=2, output=8.5)
    assert model.cost_usd(Usage(1_000_000, 2_000_000)) == 19.0


@pytest.mark.parametrize(
    "price", [{"input": 1}, {"input": "x", "output": 1}, {"input": -1, "output": 2}, (1, 2), 5, True]
)
@pytest.mark.parametrize("make", MAKERS)
def test_what_is_no_price_is_refused_where_the_model_is_made(make: Callable[..., Any], price: object) -> None:
    with pytest.raises(ConfigError, match="prices: of openai/some-model: "):
        make("openai/some-model", price=price)


@pytest.mark.parametrize("seconds", [0, -1, "30", True, float("nan"), float("inf")])
@pytest.mark.parametrize("make", MAKERS)
def test_a_time_out_that_is_none_is_refused_where_the_model_is_made(make: Callable[..., Any], seconds: object) -> None:
    with pytest.raises(ConfigError, match=r"request_timeout_s.* is no number of seconds above 0"):
        make("openai/some-model", request_timeout_s=seconds)


@pytest.mark.parametrize("retries", [-1, 2.5, "3", True])
def test_retries_that_cannot_be_counted_are_refused_where_the_model_is_made(retries: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_retries=.* is no number from 0 on"):
        Model.openai("some-model", max_retries=retries)
