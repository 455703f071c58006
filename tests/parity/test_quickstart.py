"""loomflow's quickstart, sections 1 to 5: its code blocks run in order, with only the import root changed.

The providers are a server that speaks their protocols, named by their own environment variables.

One line is an elision in the original: `Agent("...", tuning=…)` has no model, and section 1 says that `model=` is
required. So that line is refused as it stands, as here it has to be, and runs with the model of the line before it.
"""

import ast
import inspect
import json
import re
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import AiMock

from treadle import Agent, ConfigError

BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = Path(__file__).with_name("quickstart.md").read_text()
SECTIONS = {
    int(section[0]): [found["code"].replace("loomflow", "treadle") for found in BLOCK.finditer(section)]
    for section in PAGE.split("\n## ")[1:]
}
ELIDED = 'agent = Agent("...", tuning='

TOKYO = {"city": "Tokyo", "temp_c": 22, "conditions": "sunny"}
BERLIN = {"city": "Berlin", "temp_c": 12, "conditions": "light rain"}
INVOICE = {"value": {"invoice_no": "INV-2026-0042", "total_cents": 129900}}
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "Tokyo: sunny"}, "response": {"content": json.dumps(TOKYO)}},
    {"match": {"userMessage": "Berlin"}, "response": {"content": json.dumps(BERLIN)}},
    {"match": {"userMessage": "INV-2026-0042"}, "response": {"content": json.dumps(INVOICE)}},
    {
        "match": {"userMessage": "plan a Tokyo trip", "hasToolResult": True},
        "response": {"content": "Pack for the sun, and see Asakusa first."},
    },
    {
        "match": {"userMessage": "plan a Tokyo trip"},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": '{"city": "Tokyo"}'}]},
    },
    {"match": {"userMessage": "Hello"}, "response": {"content": "Hello yourself."}},
    {"match": {"userMessage": "...", "systemMessage": "casual"}, "response": {"content": "Sure thing."}},
    {"match": {"userMessage": "..."}, "response": {"content": json.dumps(TOKYO)}},
]


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("providers"), FIXTURES) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, providers: AiMock) -> None:
    for name, value in {
        "OPENAI_BASE_URL": providers.openai_url,
        "OPENAI_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": providers.url,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }.items():
        monkeypatch.setenv(name, value)


class Reader:
    """Somebody who types the blocks in, one after the other."""

    def __init__(self) -> None:
        # A module, so that classes and type hints find their names.
        self.page = types.ModuleType("quickstart")

    async def types_in(self, section: int, *numbers: int) -> None:
        """The blocks of a section, all or those with these numbers."""
        for number, code in enumerate(SECTIONS[section], 1):
            if not numbers or number in numbers:
                await self.runs(code, f"section {section}, block {number}")

    async def runs(self, code: str, where: str = "a block") -> None:
        compiled = compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(compiled, self.page.__dict__)
        if inspect.isawaitable(done):
            await done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    yield Reader()
    await Agent(model="echo").aclose()


def bodies(providers: AiMock, path: str) -> list[dict[str, Any]]:
    return [asked["body"] for asked in providers.requests() if asked["path"].startswith(path)]


def test_the_page_has_every_block_of_the_sections() -> None:
    assert {section: len(blocks) for section, blocks in SECTIONS.items()} == {1: 1, 2: 3, 3: 1, 4: 1, 5: 4}


def test_section_1_prints_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    page: dict[str, Any] = {}
    exec(SECTIONS[1][0], page)
    assert capsys.readouterr().out == "Echo: Tell me a joke.\n"


async def test_section_2_finds_models_by_their_names(reader: Reader) -> None:
    found: list[str] = []
    for line in SECTIONS[2][0].splitlines()[2:]:
        await reader.runs(f"from treadle import Agent\n{line}")
        found.append(f"{type(reader.agent.spec.model).__name__} {reader.agent.spec.model.name}")
    assert found == ["AnthropicModel claude-opus-4-7", "OpenAIModel gpt-4o", "EchoModel echo"]


async def test_section_2_takes_a_model_of_ones_own(reader: Reader, providers: AiMock) -> None:
    await reader.types_in(2, 1, 2)
    assert (await reader.agent.run("Hello")).output == "Hello yourself."
    asked = bodies(providers, "/v1/messages")[-1]
    assert (asked["model"], asked["max_tokens"]) == ("claude-opus-4-7", 8192)


async def test_section_2_phrases_answers_by_the_tone(reader: Reader, providers: AiMock) -> None:
    (block,) = [block for block in SECTIONS[2] if ELIDED in block]
    with pytest.raises(ConfigError, match="an agent needs model="):
        await reader.runs(block)
    await reader.runs(block.replace(ELIDED, 'agent = Agent("...", model="gpt-4.1-mini", tuning='))
    assert reader.r.output == "Sure thing."
    first = bodies(providers, "/v1/chat/completions")[-1]["messages"][0]["content"]
    assert "casual: relaxed" in first
    assert "like a doctor" not in first


async def test_sections_3_and_4_tell_a_trip_while_it_is_planned(
    reader: Reader, providers: AiMock, capsys: pytest.CaptureFixture[str]
) -> None:
    await reader.types_in(3)
    await reader.types_in(4)
    said = capsys.readouterr().out
    assert said == "\n[calling get_weather]\n[got result]\nPack for the sun, and see Asakusa first."
    offered = [tool["function"]["name"] for tool in bodies(providers, "/v1/messages")[-1]["tools"]]
    assert offered == ["get_weather", "delete_file"]


async def test_section_5_answers_with_types(
    reader: Reader, providers: AiMock, capsys: pytest.CaptureFixture[str]
) -> None:
    await reader.types_in(5, 1)
    assert capsys.readouterr().out == "Tokyo 22.0\n"
    assert type(reader.report).__name__ == "WeatherReport"
    asked = bodies(providers, "/v1/chat/completions")[-1]
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert asked["messages"][0]["content"] == "Be precise."  # nothing of the schema where it is native

    await reader.runs("r = await agent.run('...', output_schema=WeatherReport)")
    assert reader.r.value == reader.r.parsed == reader.WeatherReport(**TOKYO)
    await reader.types_in(5, 2)
    assert reader.r.value == reader.r.output == "Hello yourself."

    await reader.types_in(5, 3)
    assert reader.result.parsed == reader.WeatherReport(**BERLIN)

    await reader.types_in(5, 4)
    assert type(reader.r.value).__name__ == "Found"
    assert (reader.no, reader.tot) == ("INV-2026-0042", 129900)
