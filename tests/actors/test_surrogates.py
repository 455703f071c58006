"""A character that a provider cuts in two arrives whole, with whoever watches and in the journal."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import Agent
from treadle.actors.model import ModelChunk
from treadle.actors.surrogates import Halves, mended
from treadle.events.message import ModelReply

CUT = [
    (["Well \ud83d", "\ude00 done"], "Well \U0001f600 done"),
    (["\ud83d", "", "\ude00"], "\U0001f600"),
    (["a\ud83d", "b"], "a\ufffdb"),
    (["a", "\ude00b"], "a\ufffdb"),
    (["a\ud83d"], "a\ufffd"),
    (["\ud83d", "\ud83d", "\ude00"], "\ufffd\U0001f600"),
    (["plain ", "text"], "plain text"),
]


class Cutting:
    """A model that says these pieces, as text or as its thinking."""

    name = "cutting"

    def __init__(self, pieces: Sequence[str], kind: Any = "text") -> None:
        self._chunks = [ModelChunk(kind, piece) for piece in pieces]

    async def stream(self, messages: Any, *, tools: Any = (), **options: Any) -> AsyncIterator[ModelChunk]:
        for chunk in self._chunks:
            yield chunk
        yield ModelChunk("finish")


@pytest.mark.parametrize(("pieces", "whole"), CUT)
async def test_a_run_goes_on_with_the_whole_text(pieces: list[str], whole: str) -> None:
    assert (await Agent(model=Cutting(pieces)).run("Go")).output == whole


@pytest.mark.parametrize("kind", ["text", "thinking"])
@pytest.mark.parametrize(("pieces", "whole"), CUT)
async def test_whoever_watches_sees_no_half_of_a_character(pieces: list[str], whole: str, kind: str) -> None:
    events = [event async for event in Agent(model=Cutting(pieces, kind)).stream("Go")]
    shown = [event.payload["text"] for event in events if event.type == "model.chunk"]
    assert "".join(shown) == whole
    assert [text.encode() for text in shown]
    assert events[-1].type == "run.completed"


async def test_a_model_that_answers_in_one_piece_is_mended_too() -> None:
    class Whole(Cutting):
        async def complete(self, messages: Any, *, tools: Any = (), **options: Any) -> ModelReply:
            return ModelReply("\ud83d\ude00 and \ud83d", thinking="\ude00")

    assert (await Agent(model=Whole([])).run("Go")).output == "\U0001f600 and \ufffd"


def test_text_and_thinking_do_not_wait_for_each_other() -> None:
    halves = Halves()
    pieces = [("text", "\ud83d"), ("thinking", "\ud83d"), ("text", "\ude00"), ("thinking", "\ude01")]
    shown = [whole for kind, text in pieces for whole in halves.joined(ModelChunk(kind, text))]  # type: ignore[arg-type]
    assert [(whole.kind, whole.text) for whole in shown] == [("text", "\U0001f600"), ("thinking", "\U0001f601")]


@given(st.text(st.sampled_from("ab\u00e9\U0001f600\ud83d\ude00")), st.lists(st.integers(0, 20)))
def test_however_a_text_is_cut_what_is_shown_is_what_is_recorded(text: str, cuts: list[int]) -> None:
    halves = Halves()
    at = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(at)]
    chunks = [*(ModelChunk("text", piece) for piece in pieces), ModelChunk("finish")]
    shown = "".join(whole.text for chunk in chunks for whole in halves.joined(chunk))
    assert shown == mended(text)
    assert shown.encode().decode() == shown
