"""Answers while they are written."""

import time
from typing import Any

import msgspec

from treadle import ModelChunk
from treadle.gateways.outputs.partial import PartialOutput


def told(*pieces: str, wrapped: bool = False) -> list[Any]:
    """What a reader is told of an answer in these pieces."""
    partial, seen = PartialOutput(wrapped), list[Any]()
    for piece in pieces:
        if partial.add(ModelChunk("text", piece)):
            seen.append(partial.value)
    if partial.finish():
        seen.append(partial.value)
    return seen


def test_the_object_grows_and_is_told_only_when_it_has_changed() -> None:
    assert told('{"ci', 'ty": ', '"To', 'kyo"', ", ", '"temp_c"', ": 22", "}") == [
        {},
        {"city": "To"},
        {"city": "Tokyo"},
        {"city": "Tokyo", "temp_c": 22},
    ]


def test_a_wrapped_answer_is_told_without_its_wrapper() -> None:
    assert told("{", '"value": ', "[1", ", 2", "]}", wrapped=True) == [[1], [1, 2]]
    assert told("[1", ", 2", "]", wrapped=True) == [[1], [1, 2]]


def test_a_fence_is_seen_through() -> None:
    assert told("```json\n", '{"a": 1', "}\n", "```")[-1] == {"a": 1}


def test_words_are_no_answer() -> None:
    assert told("I shall ", "look ", "it up.") == []


def test_another_call_begins_anew() -> None:
    partial = PartialOutput(wrapped=False)
    assert partial.add(ModelChunk("text", '{"a": 1'))
    partial.restart()
    assert partial.add(ModelChunk("text", '{"a": 1'))
    assert partial.value == {"a": 1}


def test_an_answer_ten_times_as_long_costs_some_ten_times_as_much() -> None:
    def cost_s(rows: int) -> float:
        text = msgspec.json.encode([{"number": number, "name": f"row {number}"} for number in range(rows)]).decode()
        begun = time.process_time()
        assert len(told(*(text[at : at + 4] for at in range(0, len(text), 4)))[-1]) == rows
        return time.process_time() - begun

    cost_s(100)
    assert cost_s(4000) < 40 * max(cost_s(400), 0.005)  # a square would be a hundred times
