"""OpenAI's models, and those of others who speak its protocol."""

from ..gateways.models.openai import OpenAIModel

__all__ = ["OpenAIModel"]
