"""What whoever watches an answer is shown of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from treadle import Agent, ModelChunk
from treadle.actors.masked_chunks import MaskedChunks
from treadle.events.message import Message, ToolCall, ToolSpec

KEY = "ghp_" + "aB3dE6gH9j" * 4


def _shown(*chunks: ModelChunk) -> list[ModelChunk]:
    masked = MaskedChunks()
    return [each for chunk in chunks for each in masked.add(chunk)] + list(masked.rest())


def test_what_waits_is_shown_before_another_kind_of_chunk() -> None:
    call = ToolCall("1", "look", {"at": KEY})
    assert _shown(
        ModelChunk("thinking", "It is gh"),
        ModelChunk("text", f"{KEY[:9]}"),
        ModelChunk("text", KEY[9:]),
        ModelChunk("tool_call", tool_call=call),
        ModelChunk("finish"),
    ) == [
        ModelChunk("thinking", "It is "),
        ModelChunk("thinking", "gh"),
        ModelChunk("text", "[redacted]"),
        ModelChunk("tool_call", tool_call=ToolCall("1", "look", {"at": "[redacted]"})),
    ]


def test_half_an_answer_is_shown_to_its_end() -> None:
    assert _shown(ModelChunk("text", "It is s"))[-1] == ModelChunk("text", "s")


class _Cutting:
    """A model that answers letter by letter."""

    name = "cutting"

    def __init__(self, answer: str) -> None:
        self._answer = answer

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        for letter in self._answer:
            yield ModelChunk("text", letter)
        yield ModelChunk("finish")


async def test_a_key_that_is_cut_into_chunks_is_shown_to_nobody() -> None:
    agent = Agent("You are a desk.", model=_Cutting(f"The key is {KEY}, keep it."))
    events = [event async for event in agent.stream("Tell.")]
    told = [event.payload["text"] for event in events if event.type == "model.chunk"]
    assert "".join(told) == "The key is [redacted], keep it."
    assert told[:3] == ["T", "h", "e"]


async def test_no_partial_object_has_a_part_of_a_key() -> None:
    agent = Agent("You are a desk.", model=_Cutting(f'{{"at": "{KEY}", "of": "bob"}}'), output_schema=dict[str, str])
    partial = [event.payload["partial"] async for event in agent.stream("Tell.") if event.type == "output.partial"]
    assert partial[-1] == {"at": "[redacted]", "of": "bob"}
    assert not any("ghp" in str(each) for each in partial)
