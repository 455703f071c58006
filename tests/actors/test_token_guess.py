"""What is sent is guessed as a whole: the most that a call may cost is no less than what it is known to send."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from treadle import EchoModel, Message, ModelReply, ToolSpec
from treadle.actors.model_charges import most_of
from treadle.actors.token_guess import guessed_input, guessed_usage
from treadle.events.message import OutputFormat, ToolCall

ASKED = [Message("user", "Hello?")]
TOOLS = [ToolSpec(f"tool_{number}", "D" * 2000, Raw(b'{"type":"object"}')) for number in range(10)]
SCHEMA = OutputFormat("answer", {"type": "object", "description": "d" * 4000}, native=True)


class Plain:
    """A model that can count nothing."""

    name = "plain"
    stream = EchoModel().stream


def most(messages: Sequence[Message], tools: Sequence[ToolSpec] = (), **options: Any) -> int:
    return most_of(Plain(), messages, tools, options).input_tokens


@pytest.mark.parametrize(
    ("text", "tokens"), [("a" * 4000, 1000), ("漢字" * 2000, 4000), ("ä" * 100, 100), ("aaaa\U0001f600", 2)]
)
def test_four_letters_are_a_token_and_so_is_each_character_of_another_script(text: str, tokens: int) -> None:
    assert guessed_input([Message("user", text)]) - guessed_input([Message("user", "")]) == tokens


def test_tools_and_arguments_and_a_schema_are_sent_too() -> None:
    bare = most(ASKED)
    called = [*ASKED, Message("assistant", tool_calls=(ToolCall("c", "t", {"text": "x" * 4000}),))]
    assert most(ASKED, TOOLS) - bare >= 5000
    assert most(called) - bare >= 1000
    assert most(ASKED, output_schema=SCHEMA) - bare >= 1000


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
ARGS = st.dictionaries(TEXTS, TEXTS | st.integers(0, 10**9), max_size=3)


@given(st.lists(TEXTS), st.lists(ARGS), st.lists(TEXTS, max_size=3))
def test_the_most_is_never_less_than_what_an_answer_of_untold_usage_is_charged(
    texts: list[str], calls: list[dict[str, Any]], described: list[str]
) -> None:
    messages = [Message("user", text) for text in texts]
    messages.append(Message("assistant", tool_calls=tuple(ToolCall("c", "t", args) for args in calls)))
    tools = [ToolSpec("t", text, Raw(b"{}")) for text in described]
    assert most(messages, tools) >= guessed_usage(messages, tools, ModelReply("Here.")).input_tokens
