"""What `model=` may be: names, providers, mappings, objects; and what is said when it is none of them."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from treadle import Agent, ConfigError, EchoModel, Message, Model, ModelChunk, RetryPolicy, ToolSpec, register_provider
from treadle.actors.model_errors import AuthenticationError
from treadle.gateways.models import providers
from treadle.gateways.models.hosted import HostedModel
from treadle.gateways.models.providers import make_model
from treadle.gateways.models.resolver import resolve_model
from treadle.gateways.models.secrets import DictSecrets

pytestmark = pytest.mark.usefixtures("nothing_set")


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key and no address in the environment; afterwards, no provider that a test has added."""
    for provider in ("OPENAI", "ANTHROPIC", "GEMINI", "GOOGLE", "DASHSCOPE", "DEEPSEEK", "MINIMAX", "OLLAMA"):
        for what in ("API_KEY", "BASE_URL"):
            monkeypatch.delenv(f"{provider}_{what}", raising=False)
    monkeypatch.setattr(providers, "_registered", {})
    monkeypatch.setattr(providers, "_prefixes", {})
    yield


class Acme(HostedModel[str]):
    """A provider of somebody's own."""

    provider = "acme"
    KEYS = ("ACME_API_KEY",)

    def _connect(self) -> str:
        return self.key

    async def _disconnect(self, client: str) -> None:
        return None

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        yield ModelChunk("finish")


@pytest.mark.parametrize(
    ("text", "adapter", "name"),
    [
        ("echo", "EchoModel", "echo"),
        ("claude-opus-4-7", "AnthropicModel", "claude-opus-4-7"),
        ("anthropic:claude-opus-4-7", "AnthropicModel", "claude-opus-4-7"),
        ("gpt-4o", "OpenAIModel", "gpt-4o"),
        (" gpt-4o\n", "OpenAIModel", "gpt-4o"),
        ("chatgpt-4o-latest", "OpenAIModel", "chatgpt-4o-latest"),
        ("o1", "OpenAIModel", "o1"),
        ("o4-mini", "OpenAIModel", "o4-mini"),
        ("openai:ft:gpt-4o:acme::7p4l", "OpenAIModel", "ft:gpt-4o:acme::7p4l"),
        ("gemini-2.5-pro", "GeminiModel", "gemini-2.5-pro"),
        ("qwen:qwen-plus", "QwenModel", "qwen-plus"),
        ("deepseek-chat", "DeepSeekModel", "deepseek-chat"),
        ("minimax:MiniMax-M2", "MiniMaxModel", "MiniMax-M2"),
        ("ollama:llama3:8b", "OllamaModel", "llama3:8b"),
        ("mistral-large-latest", "LiteLLMModel", "mistral/mistral-large-latest"),
        ("command-r-plus", "LiteLLMModel", "cohere_chat/command-r-plus"),
        ("litellm/groq/llama-3.3-70b-versatile", "LiteLLMModel", "groq/llama-3.3-70b-versatile"),
        ("litellm:groq/llama-3.3-70b-versatile", "LiteLLMModel", "groq/llama-3.3-70b-versatile"),
        ("bedrock/anthropic.claude-v2:1", "LiteLLMModel", "bedrock/anthropic.claude-v2:1"),
    ],
)
def test_a_name_leads_to_its_provider(text: str, adapter: str, name: str) -> None:
    model = resolve_model(text)
    assert (type(model).__name__, model.name) == (adapter, name)
    assert isinstance(model, Model)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("llama3:8b", "ollama:llama3:8b"),
        ("opnai:gpt-4o", "openai:gpt-4o"),
        ("antropic:claude-opus-4-7", "anthropic:claude-opus-4-7"),
        ("gtp-4o", "openai:gpt-4o"),
        ("codestral-latest", "litellm/mistral/codestral-latest"),
    ],
)
def test_a_name_that_is_nobodys_is_refused_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'") as refused:
        resolve_model(text)
    assert "what works: model='echo'" in str(refused.value)
    assert "anthropic, deepseek, gemini, litellm, minimax, ollama, openai, qwen" in str(refused.value)


def test_a_name_like_nothing_is_refused_without_a_guess() -> None:
    with pytest.raises(ConfigError, match="a model 'zzz'; what works"):
        resolve_model("zzz")
    with pytest.raises(ConfigError, match="its model is not named: 'openai:NAME'"):
        resolve_model("openai:")


@pytest.mark.parametrize("text", ["claude-", "gpt-", "chatgpt-", "o3-", "deepseek-", "gemini-", "mistral-", "command-"])
def test_the_beginning_of_a_name_is_no_name(text: str) -> None:
    with pytest.raises(ConfigError, match=f"nobody is known to have a model '{text}'"):
        resolve_model(text)


def test_a_mapping_names_a_model_and_says_more_of_it() -> None:
    given: dict[str, Any] = {"provider": "openai", "name": "m", "api_base": "http://here/v1", "effort": "low"}
    model: Any = resolve_model({**given, "extensions": {"user": "x"}})
    assert (model.name, model.base_url) == ("m", "http://here/v1")
    assert model.options == {"effort": "low", "extra": {"user": "x"}}
    by_beginning: Any = resolve_model({"model": "gpt-4o", "timeout": 3})
    assert (type(by_beginning).__name__, by_beginning.request_timeout_s) == ("OpenAIModel", 3)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "a model as a mapping is"),
        ({"provider": "openai"}, "a model as a mapping is"),
        ({"provider": 1, "name": "x"}, "a model as a mapping is"),
        ({"provider": "acme", "name": "x"}, "there is no provider 'acme'; there are: anthropic"),
        ({"provider": "openai", "name": "x", "organisation": "y"}, "unexpected keyword argument 'organisation'"),
        ({"name": "gpt-4o", "api_base": "http://a", "base_url": "http://b"}, "two words for one thing"),
        ({"name": "gpt-4o", "max_retries": -1}, "max_retries=-1 is no number from 0 on"),
        ({"name": "gpt-4o", "effort": "heavy"}, r"effort='heavy'\); it must be one of minimal"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        resolve_model(given)


def test_a_provider_that_is_registered_has_its_models_by_its_name_and_its_prefix() -> None:
    register_provider("acme", Acme, prefixes=["acme-"])
    for text in ("acme:one", "acme-one"):
        assert isinstance(Agent(model=text).spec.model, Acme)
    assert resolve_model("acme:one:two").name == "one:two"
    register_provider("plain", EchoModel)
    assert isinstance(Agent(model="plain:> ", secrets=DictSecrets({})).spec.model, EchoModel)
    with pytest.raises(ConfigError, match="one word without ':' and '/'"):
        register_provider("a:b", Acme)


def test_a_registered_provider_takes_the_place_of_one_that_comes_along() -> None:
    register_provider("openai", Acme)
    assert isinstance(resolve_model("gpt-4o"), Acme)


def test_an_installed_package_adds_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "acme": EntryPoint("acme", "treadle.gateways.models.echo:EchoModel", "treadle.models"),
        "broken": EntryPoint("broken", "no_such_module:Model", "treadle.models"),
    }
    monkeypatch.setattr(providers, "_installed", lambda: found)
    assert isinstance(resolve_model("acme:> "), EchoModel)
    with pytest.raises(ConfigError, match=r"'broken' \(no_such_module:Model\) cannot be loaded: ModuleNotFoundError"):
        resolve_model("broken:x")


@pytest.mark.parametrize(("text", "extra"), [("gpt-4o", "openai"), ("claude-x", "anthropic"), ("litellm/x", "litellm")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    text: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.actors.stand_in._expected", False)  # as outside of pytest
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ConfigError, match=rf'pip install "treadle\[{extra}\]"'):
        Agent(model=text)


def test_naming_a_model_does_not_import_its_package() -> None:
    program = (
        "import sys; from treadle import Agent\n"
        "for model in ('gpt-4o', 'claude-opus-4-7', 'ollama:llama3', 'litellm/x'): Agent(model=model)\n"
        "print({'openai', 'anthropic', 'litellm'} & {name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("make", "adapter", "address", "keys"),
    [
        (Model.openai, "OpenAIModel", None, ["OPENAI_API_KEY"]),
        (Model.anthropic, "AnthropicModel", None, ["ANTHROPIC_API_KEY"]),
        (Model.gemini, "GeminiModel", "generativelanguage.googleapis.com", ["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
        (Model.qwen, "QwenModel", "dashscope.aliyuncs.com", ["DASHSCOPE_API_KEY"]),
        (Model.deepseek, "DeepSeekModel", "api.deepseek.com", ["DEEPSEEK_API_KEY"]),
        (Model.minimax, "MiniMaxModel", "api.minimax.io", ["MINIMAX_API_KEY"]),
    ],
)
def test_a_factory_makes_the_adapter_with_its_address_and_its_keys(
    make: Callable[..., Any], adapter: str, address: str | None, keys: list[str]
) -> None:
    model = make("m")
    assert (type(model).__name__, model.name, model.billed) == (adapter, "m", True)
    assert (address or "") in (model.base_url or "")
    with pytest.raises(AuthenticationError, match=" or ".join(keys)):
        _ = model.key
    for key in keys:
        assert make("m", secrets=DictSecrets({key: "secret"})).key == "secret"
    assert make("m", api_key="given").key == "given"
    assert make("m", api_base="http://here/v1").base_url == "http://here/v1"


def test_a_model_of_ollama_needs_no_key_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = Model.ollama("llama3:8b")
    assert (model.billed, bool(model.key), model.base_url) == (False, True, "http://localhost:11434/v1")
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://gpu:11434/v1/")
    elsewhere: Any = Model.ollama("llama3:8b")
    assert elsewhere.base_url == "http://gpu:11434/v1"


def test_a_key_of_another_name_is_the_only_one_that_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-somebody-else")
    model: Any = make_model("openai", "m", api_key_env="TEAM_KEY")
    with pytest.raises(AuthenticationError, match=r"openai needs the key TEAM_KEY \(api_key_env\)"):
        _ = model.key
    monkeypatch.setenv("TEAM_KEY", "of-the-team")
    assert model.key == "of-the-team"


def test_a_model_brings_its_retries_unless_the_agent_has_a_policy() -> None:
    model = Model.openai("gpt-4o", max_retries=5)
    assert Agent(model=model).spec.retry == RetryPolicy(max_attempts=6)
    assert Agent(model=model, retry_policy=RetryPolicy.disabled()).spec.retry == RetryPolicy.disabled()
    assert Agent(model=Model.openai("gpt-4o")).spec.retry == RetryPolicy()


def test_whatever_has_the_methods_of_a_model_is_one() -> None:
    class Own:
        name = "own"

        def stream(
            self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
        ) -> AsyncIterator[ModelChunk]:
            raise NotImplementedError

    model: Model = Own()
    assert isinstance(model, Model)
    assert resolve_model(model) is model
    assert not isinstance("gpt-4o", Model)
    assert not hasattr(model, "openai")


def test_the_modules_of_models_are_where_loomflow_has_them() -> None:
    from treadle.model.anthropic import AnthropicModel
    from treadle.model.litellm import LiteLLMModel
    from treadle.model.openai import OpenAIModel

    assert [model.__name__ for model in (AnthropicModel, LiteLLMModel, OpenAIModel)] == [
        "AnthropicModel",
        "LiteLLMModel",
        "OpenAIModel",
    ]
