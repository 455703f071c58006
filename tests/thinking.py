"""A model that plays the parts of an architecture, told from one another by words of their prompts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from treadle import FunctionModel, Message, ModelReply, ToolCall, ToolSpec

Says: TypeAlias = "str | ModelReply | Sequence[str] | Callable[[Sequence[Message]], str | ModelReply]"
"""What a part says: always the same; one after the other, the last again and again; what follows from the messages."""


# Words of the prompts that the architectures tell their parts from one another with, where nobody says otherwise.
CRITIC, REFINER = "reviewer of the answer", "being reviewed"
JUDGE, REFLECTOR = "judge of the answer", "look back on an attempt"
PROPOSER, SCORER, WRITER = "think ahead", "judge a line of thought", "thought about this"
STEPS, EXECUTOR, SYNTHESIZER = "plan the work", "You carry out a plan", "steps of your plan"
CALLS, SOLVER = "plan which tools", "tools of your plan"


class Parts(FunctionModel):
    """Answers as the first part whose words stand in the system message; the part `""` is everybody else.

    Attributes:
        calls: How often each part was asked.
        seen: What each was shown, in the order of the calls.
    """

    def __init__(self, parts: Mapping[str, Says], name: str = "parts") -> None:
        super().__init__(self._play, name)
        self._parts = {**parts}
        self.calls: Counter[str] = Counter()
        self.seen: list[tuple[str, Sequence[Message]]] = []

    @property
    def total(self) -> int:
        return self.calls.total()

    def shown(self, part: str) -> str:
        """All that a part was shown the last time, as one text."""
        return "\n".join(message.content for message in self.messages(part))

    def messages(self, part: str) -> Sequence[Message]:
        return [messages for played, messages in self.seen if played == part][-1]

    def _play(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        system = messages[0].content if messages[0].role == "system" else ""
        part = next(words for words in self._parts if words in system)
        self.calls[part] += 1
        self.seen.append((part, messages))
        says = self._parts[part]
        if callable(says):
            return says(messages)
        if isinstance(says, str | ModelReply):
            return says
        return says[min(self.calls[part], len(says)) - 1]


def asks_for(tool: str, **args: object) -> ModelReply:
    """A model's call of a tool."""
    return ModelReply("", (ToolCall(f"call-{tool}", tool, dict(args)),), finish_reason="tool_calls")
