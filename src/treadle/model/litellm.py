"""The models of LiteLLM's providers."""

from ..gateways.models.litellm import LiteLLMModel

__all__ = ["LiteLLMModel"]
