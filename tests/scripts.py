"""A model that goes through a list of turns over a whole conversation, whatever users say in between."""

from collections.abc import Sequence

from treadle import FunctionModel, Message, ModelReply, ToolCall, ToolSpec, Usage


class Script:
    """Its first reply, its second … by how many it sees behind it: the same after a crash. The last is repeated.

    Attributes:
        asked: What it was sent, call for call.
    """

    def __init__(self, *replies: str | ModelReply) -> None:
        self.asked: list[Sequence[Message]] = []
        self._replies = replies
        self.model = FunctionModel(self._answer)

    @property
    def calls(self) -> int:
        return len(self.asked)

    @property
    def told(self) -> list[str]:
        """What users said in its last call, in order."""
        return [message.content for message in self.asked[-1] if message.role == "user"]

    def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        self.asked.append(list(messages))
        turn = sum(message.role == "assistant" for message in messages)
        reply = self._replies[min(turn, len(self._replies) - 1)]
        usage = Usage(input_tokens=100, output_tokens=10)
        return ModelReply(reply, usage=usage) if isinstance(reply, str) else ModelReply("", reply.tool_calls, usage)


class Checker:
    """A model that says of an answer what a rule says, by the words that stand in it.

    Args:
        verdicts: What it says of an answer that holds these words; `""` is any other.
    """

    def __init__(self, **verdicts: str) -> None:
        self.asked: list[str] = []
        self._verdicts = verdicts
        self.model = FunctionModel(self._check, "checker")

    @property
    def calls(self) -> int:
        return len(self.asked)

    def _check(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        self.asked.append(messages[-1].content)
        answer = messages[-1].content.partition("The answer:\n")[2]
        return next((said for words, said in self._verdicts.items() if words in answer), "NOT_DONE\nGo on.")


def turn(tool: str, **args: object) -> ModelReply:
    """A turn that calls a tool."""
    return ModelReply(tool_calls=(ToolCall(f"m-{tool}", tool, dict(args)),))


def writes(*steps: object) -> ModelReply:
    """A turn that writes the plan."""
    return turn("plan_write", steps=list(steps))
