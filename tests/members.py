"""Agents of a team that say what a test tells them to, and count what they are asked."""

from collections.abc import Callable, Sequence
from typing import Any

from treadle import Agent, FunctionModel, Message, ModelReply, ToolSpec, Usage

Says = str | Exception | Callable[[str], str]


class Member:
    """An agent whose model answers from the prompt alone, so that it says the same after a crash.

    Args:
        says: The answer; or what it is made of, given the prompt; or the error that its model fails with.

    Attributes:
        asked: What its model was sent, call for call.
    """

    def __init__(self, says: Says, name: str | None = None, **how: Any) -> None:
        self.asked: list[Sequence[Message]] = []
        self._says = says
        self.agent = Agent("You work in a team.", model=FunctionModel(self._answer), name=name, **how)

    @property
    def calls(self) -> int:
        return len(self.asked)

    @property
    def prompts(self) -> list[str]:
        return [messages[-1].content for messages in self.asked]

    def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        self.asked.append(messages)
        if isinstance(self._says, Exception):
            raise self._says
        text = self._says if isinstance(self._says, str) else self._says(messages[-1].content)
        return ModelReply(text, usage=Usage(input_tokens=10, output_tokens=1))


def calls_of(*members: Member) -> list[int]:
    """How often each was asked."""
    return [member.calls for member in members]
