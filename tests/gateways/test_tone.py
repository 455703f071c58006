"""How answers are phrased: presets, words of one's own, and who decides."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from treadle import Agent, ConfigError, FunctionModel, Message, ToolSpec, Tuning
from treadle.actors.tone import TONES, ambient, ambient_tone

PRESETS = ("casual", "professional", "technical", "legal", "finance", "executive", "academic")


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


def shown(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """A model that answers with its system message."""
    return messages[0].content if messages[0].role == "system" else ""


def agent(**how: Any) -> Agent:
    return Agent("Be brief.", model=FunctionModel(shown), **how)


def test_the_presets_are_all_there() -> None:
    assert tuple(TONES) == PRESETS
    assert len(set(TONES.values())) == len(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_preset_is_shown_with_what_it_means(preset: str) -> None:
    output = (await agent(response_tone=preset).run("Go on.")).output
    assert output.startswith("Be brief.\n\nTone of your answers")
    assert output.endswith(f"\n{preset}: {TONES[preset]}")


async def test_other_words_pass_as_they_are() -> None:
    words = "warm but precise, like a doctor"
    assert (await agent(response_tone=words).run("Go on.")).output.endswith(f"\n{words}")


async def test_without_a_tone_the_model_reads_of_none() -> None:
    assert (await agent().run("Go on.")).output == "Be brief."


async def test_the_call_wins_over_the_agent_and_the_agent_over_its_tuning_and_what_is_around() -> None:
    async def tone(of: Agent, **how: Any) -> str:
        return (await of.run("Go on.", **how)).output.rpartition("\n")[2].partition(":")[0]

    with ambient("casual"):
        assert await tone(agent()) == "casual"
        assert await tone(agent(tuning=Tuning(response_tone="legal"))) == "legal"
        assert await tone(agent(tuning=Tuning(response_tone="legal"), response_tone="finance")) == "finance"
        assert await tone(agent(response_tone="finance"), response_tone="academic") == "academic"
    assert ambient_tone() is None
    assert await tone(agent()) == "Be brief."


async def test_an_empty_tone_is_none_whatever_is_around() -> None:
    with ambient("casual"):
        assert (await agent(response_tone="legal").run("Go on.", response_tone="")).output == "Be brief."
        assert (await agent(response_tone="").run("Go on.")).output == "Be brief."


async def test_a_session_passes_the_tone_on_and_the_next_prompt_has_its_own() -> None:
    session = agent().session("conv-1")
    assert "legal: " in (await session.run("Go on.", response_tone="legal")).output
    assert "casual: " in (await (await session.start("And then?", response_tone="casual")).wait()).output
    with ambient("academic"):
        assert "academic: " in (await session.run("And now?")).output
    assert "Tone" not in (await session.run("Really?")).output


async def test_the_tone_is_recorded_in_the_words_that_the_model_was_shown() -> None:
    run = await agent().session("conv-1").start("Go on.", response_tone="legal")
    await run.wait()
    started = (await run.transcript())[0]
    assert started.payload["tone"] == f"legal: {TONES['legal']}"


async def test_the_tone_stands_after_the_schema() -> None:
    class Answer(BaseModel):
        text: str

    system = list[str]()

    def answers(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        system.append(messages[0].content)
        return '{"text": "yes"}'

    made = Agent("Be brief.", model=FunctionModel(answers), response_tone="legal", output_schema=Answer)
    assert (await made.run("Go on.")).parsed == Answer(text="yes")
    parts = system[0].split("\n\n")
    assert [part.split()[0] for part in parts] == ["Be", "STRUCTURED", "Tone"]


@pytest.mark.parametrize("tone", [5, "\ud800"])
def test_a_tone_that_is_no_text_is_refused(tone: Any) -> None:
    with pytest.raises(ConfigError, match="response_tone"):
        agent(response_tone=tone)
    with pytest.raises(ConfigError, match="response_tone"):
        agent(tuning=Tuning(response_tone=tone))
