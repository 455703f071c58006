"""Providers who speak OpenAI's protocol at an address of their own."""

import os
from typing import Any, ClassVar

from ...actors.model_errors import AuthenticationError
from .openai import OpenAIModel


class CompatibleModel(OpenAIModel):
    """A model at another address than OpenAI's, under another key: chat completions, which all of them have.

    Not all of them keep to a JSON Schema that they are handed; for those that do not, or may not, it stands in the
    prompt (`native_output`).

    Args:
        base_url: Else `ADDRESS_KEY` is looked for in the environment; else the provider's own address.
        settings: As of `OpenAIModel`.
    """

    ADDRESS: ClassVar[str]

    def __init__(self, name: str, *, base_url: str | None = None, **settings: Any) -> None:
        address = base_url or os.environ.get(self.ADDRESS_KEY) or self.ADDRESS
        super().__init__(name, base_url=address, **settings)


class DeepSeekModel(CompatibleModel):
    """A model of DeepSeek."""

    provider = "deepseek"
    native_output = False
    KEYS = ("DEEPSEEK_API_KEY",)
    ADDRESS = "https://api.deepseek.com/v1"
    ADDRESS_KEY = "DEEPSEEK_BASE_URL"


class GeminiModel(CompatibleModel):
    """A model of Google."""

    provider = "gemini"
    KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    ADDRESS = "https://generativelanguage.googleapis.com/v1beta/openai"
    ADDRESS_KEY = "GEMINI_BASE_URL"


class MiniMaxModel(CompatibleModel):
    """A model of MiniMax."""

    provider = "minimax"
    native_output = False
    KEYS = ("MINIMAX_API_KEY",)
    ADDRESS = "https://api.minimax.io/v1"
    ADDRESS_KEY = "MINIMAX_BASE_URL"


class QwenModel(CompatibleModel):
    """A model of Alibaba."""

    provider = "qwen"
    native_output = False
    KEYS = ("DASHSCOPE_API_KEY",)
    ADDRESS = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    ADDRESS_KEY = "DASHSCOPE_BASE_URL"


class OllamaModel(CompatibleModel):
    """A model that an Ollama server runs. It needs no key, and nobody is billed."""

    provider = "ollama"
    KEYS = ("OLLAMA_API_KEY",)
    ADDRESS = "http://localhost:11434"
    ADDRESS_KEY = "OLLAMA_BASE_URL"
    billed = False

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        assert self.base_url is not None
        address = self.base_url.rstrip("/")
        self.base_url = address if address.endswith("/v1") else f"{address}/v1"  # as Ollama's own tools are told it

    @property
    def key(self) -> str:
        """A server of one's own asks for none, and OpenAI's client does not go without."""
        try:
            return super().key
        except AuthenticationError:
            return "ollama"
