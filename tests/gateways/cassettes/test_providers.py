"""Providers' models, named by strings: recorded against a server, played without it, without a key, without an SDK."""

import sys
from pathlib import Path

import pytest
from model_servers import AiMock

from treadle import Agent, Cassette, Event, tool

FIXTURES = [
    {"match": {"userMessage": "Oslo", "turnIndex": 0},
     "response": {"toolCalls": [{"name": "weather", "arguments": '{"city": "Oslo"}'}]}},
    {"match": {"userMessage": "Oslo", "turnIndex": 1}, "response": {"content": "It is mild in Oslo."}},
]  # fmt: skip

PROVIDERS = [
    ("gpt-4o", "OPENAI", "openai", "/v1"),
    ("claude-haiku-4-5", "ANTHROPIC", "anthropic", ""),
]


@tool(read_only=True)
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 21 degrees"


def texts(events: list[Event]) -> str:
    return "".join(event.payload["text"] for event in events if event.type == "model.chunk")


@pytest.mark.parametrize(("model", "prefix", "package", "path"), PROVIDERS, ids=lambda value: str(value))
async def test_a_provider_s_model_is_played_without_server_key_and_package(
    model: str, prefix: str, package: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, streamed = tmp_path / "whole.json", tmp_path / "streamed.json"
    with AiMock(tmp_path / "server", FIXTURES) as server:
        monkeypatch.setenv(f"{prefix}_API_KEY", "sk-secret-of-the-house-1234567890")
        monkeypatch.setenv(f"{prefix}_BASE_URL", f"{server.url}{path}")
        async with Agent(model=model, tools=[weather]) as agent:
            with Cassette(whole):
                recorded = await agent.run("Weather in Oslo?")
            with Cassette(streamed):
                told = [event async for event in agent.stream("Weather in Oslo?")]
    assert recorded.output == texts(told) == "It is mild in Oslo."
    monkeypatch.delenv(f"{prefix}_API_KEY")
    monkeypatch.delenv(f"{prefix}_BASE_URL")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    async with Agent(model=model, tools=[weather]) as agent:
        with Cassette(whole, record="none"):
            played = await agent.run("Weather in Oslo?")
        with Cassette(streamed, record="none"):
            assert texts([event async for event in agent.stream("Weather in Oslo?")]) == "It is mild in Oslo."
    assert (played.output, played.tokens_in, played.tokens_out, played.cost_usd) == (
        recorded.output, recorded.tokens_in, recorded.tokens_out, recorded.cost_usd,
    )  # fmt: skip
    assert "sk-secret" not in whole.read_text()
