"""Models of providers, by provider: `from treadle.model.anthropic import AnthropicModel`. See docs/models.md.

Each is imported by itself, since each wants its provider's package when it is asked.
"""

__all__: list[str] = []
