"""A model that goes through a list of turns, for agents that lead others or hand over."""

from collections.abc import Callable, Sequence
from typing import Any

from treadle import FunctionModel, Message, ModelReply, ToolCall, ToolSpec, Usage

Turn = str | ModelReply | Callable[[Sequence[Message]], str]


class Turns:
    """Its first turn, its second … by how many it sees behind it since the last prompt: the same after a crash.

    Attributes:
        asked: What it was sent, call for call.
        shown: The tools that it was shown with it.
    """

    def __init__(self, *turns: Turn) -> None:
        self.asked: list[Sequence[Message]] = []
        self.shown: list[Sequence[ToolSpec]] = []
        self._turns = turns
        self.model = FunctionModel(self._answer)

    @property
    def calls(self) -> int:
        return len(self.asked)

    def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        self.asked.append(list(messages))
        self.shown.append(tools)
        turn = self._turns[taken(messages)]
        reply = turn if isinstance(turn, str | ModelReply) else turn(messages)
        usage = Usage(input_tokens=100, output_tokens=10)
        return ModelReply(reply, usage=usage) if isinstance(reply, str) else ModelReply("", reply.tool_calls, usage)


def taken(messages: Sequence[Message]) -> int:
    """How many turns there were since the last prompt."""
    last = max(number for number, message in enumerate(messages) if message.role == "user")
    return sum(message.role == "assistant" for message in messages[last:])


def calls(*asked: tuple[str, dict[str, Any]]) -> ModelReply:
    """A turn that calls these tools."""
    return ModelReply(tool_calls=tuple(ToolCall(f"m{slot}", name, args) for slot, (name, args) in enumerate(asked)))


def delegates(**tasks: str) -> ModelReply:
    """A turn that gives these workers these tasks."""
    return calls(*(("delegate", {"worker": worker, "instructions": task}) for worker, task in tasks.items()))


def hands_over(target: str, message: str = "") -> ModelReply:
    """A turn that hands over."""
    return calls(("handoff", {"target": target, **({"message": message} if message else {})}))


def results(messages: Sequence[Message]) -> str:
    """What the tools of the last turn said."""
    last = max(number for number, message in enumerate(messages) if message.role == "assistant")
    return " | ".join(message.content for message in messages[last + 1 :])
