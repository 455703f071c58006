"""Anthropic's models."""

from ..gateways.models.anthropic import AnthropicModel

__all__ = ["AnthropicModel"]
