"""A provider for the programs of `examples/` and `docs/`, which name real models: `aimock`, by the environment.

What it answers to which prompt stands here; anything else is an error, so that no program talks past it.
"""

from typing import Any, Final

from model_servers import AiMock

FIXTURES: Final[list[dict[str, Any]]] = [
    # examples/05-openai
    {"match": {"toolCallId": "call_tokyo"}, "response": {"content": "It is past noon in Tokyo."}},
    {
        "match": {"userMessage": "in Tokyo, nine"},
        "response": {"toolCalls": [{"id": "call_tokyo", "name": "time_in", "arguments": {"offset_hours": 9}}]},
    },
    # examples/06-anthropic
    {"match": {"userMessage": "A bat and a ball"}, "response": {"content": "0.05.", "reasoning": "x + x + 1 = 1.1"}},
    {"match": {"userMessage": "And the bat?"}, "response": {"content": "1.05."}},
    # docs/models.md
    {"match": {"userMessage": "What is in this picture?"}, "response": {"content": "One dot."}},
    {"match": {"userMessage": "what colour"}, "response": {"content": "White."}},
    # examples/07-litellm
    {
        "match": {"userMessage": "sky", "model": "mistral-small-latest"},
        "response": {"error": {"message": "too busy"}, "status": 503},
    },
    {"match": {"userMessage": "sky"}, "response": {"content": "Air scatters blue light the most."}},
    # examples/oncall
    {"match": {"userMessage": "hand-over"}, "response": {"content": "All quiet, and every promise held."}},
]


def environment(server: AiMock) -> dict[str, str]:
    """What leads the SDKs to `server`, whatever is in the environment of the tests."""
    addresses = {
        "OPENAI_BASE_URL": server.openai_url,
        "ANTHROPIC_BASE_URL": server.url,
        "MISTRAL_AZURE_API_BASE": server.openai_url,
        "OLLAMA_BASE_URL": server.openai_url,
    }
    keys = {f"{provider}_API_KEY": "not-a-key" for provider in ("OPENAI", "ANTHROPIC", "MISTRAL")}
    return {**addresses, **keys, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
