"""`treadle.Model`: what a model has to have, and where models come from."""

from abc import ABCMeta
from typing import TYPE_CHECKING, Protocol, Unpack, runtime_checkable

from ...actors import model as port
from .providers import make_model
from .settings import ModelSettings

if TYPE_CHECKING:
    _ProtocolType = ABCMeta
else:
    _ProtocolType = type(Protocol)


class _Factories(_ProtocolType):
    """Where models come from. Asked of the class `Model` itself, so that no model need have these.

    All take the same settings (`ModelSettings`).

    Raises:
        ConfigError: The provider's package is missing, or a setting is not one of its adapter's.
    """

    def openai(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of OpenAI, or of anybody who speaks its protocol at `base_url`. Key: `OPENAI_API_KEY`."""
        return make_model("openai", name, **settings)

    def anthropic(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of Anthropic. Key: `ANTHROPIC_API_KEY`."""
        return make_model("anthropic", name, **settings)

    def litellm(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of one of LiteLLM's providers, which stands before the slash: `mistral/mistral-large-latest`."""
        return make_model("litellm", name, **settings)

    def gemini(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of Google. Key: `GEMINI_API_KEY` or `GOOGLE_API_KEY`."""
        return make_model("gemini", name, **settings)

    def qwen(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of Alibaba. Key: `DASHSCOPE_API_KEY`."""
        return make_model("qwen", name, **settings)

    def deepseek(cls, name: str = "deepseek-chat", **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of DeepSeek. Key: `DEEPSEEK_API_KEY`."""
        return make_model("deepseek", name, **settings)

    def minimax(cls, name: str = "MiniMax-Text-01", **settings: Unpack[ModelSettings]) -> port.Model:
        """A model of MiniMax. Key: `MINIMAX_API_KEY`."""
        return make_model("minimax", name, **settings)

    def ollama(cls, name: str, **settings: Unpack[ModelSettings]) -> port.Model:
        """A model that an Ollama server runs: that of this machine, or of `OLLAMA_BASE_URL`. It needs no key."""
        return make_model("ollama", name, **settings)


@runtime_checkable
class Model(port.Model, Protocol, metaclass=_Factories):
    """A language model: any object with `name` and `stream(messages, *, tools, **options)`.

    Of providers: `Model.openai("gpt-4o")`, and likewise `anthropic`, `litellm`, `gemini`, `qwen`, `deepseek`,
    `minimax` and `ollama`. What else a model of one's own may have stands in `treadle.actors.model`.
    """
