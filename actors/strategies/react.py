"""ReAct: one model call a turn, its tool calls in parallel, until it answers without asking for a tool.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2022 (arXiv:2210.03629).
"""

from collections.abc import Collection, Mapping, Sequence

from ...events.errors import ConfigError
from ...events.message import Message
from ..children import Asked
from ..model_charges import Interrupted
from ..steps import Steps


class ReAct:
    """Think, act, look.

    Args:
        max_turns: Model calls until the run is interrupted, where that is less than the agent's own limit.
    """

    name = "react"

    def __init__(self, max_turns: int | None = None) -> None:
        if max_turns is not None and max_turns < 1:
            raise ConfigError(f"ReAct(max_turns={max_turns}) lets it do nothing; it must be 1 or more")
        self._max_turns = max_turns

    def __repr__(self) -> str:
        return "ReAct()" if self._max_turns is None else f"ReAct(max_turns={self._max_turns})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {}

    async def run(self, steps: Steps) -> str:
        return await react(steps, max_turns=self._max_turns)


async def react(
    steps: Steps,
    *,
    tools: bool | Collection[str] = True,
    max_turns: int | None = None,
    conversation: Sequence[Message] | None = None,
) -> str:
    """The answer to the prompt of `steps`.

    Args:
        tools: Which of the run's tools the model is shown.
        conversation: What it goes on from, in the place of the run's beginning.
    """
    messages = steps.messages() if conversation is None else list(conversation)
    turns = 0
    while True:
        if turns == max_turns:
            raise Interrupted("max_turns", f"it has made {turns} model calls, its limit is ReAct(max_turns)")
        turns += 1
        reply = await steps.model(messages, tools=tools, answer=True)
        if not reply.tool_calls:
            return reply.text
        messages.append(reply.message)
        results = await steps.tools(reply.tool_calls)
        for result in results:
            if result.ok and result.ends_turn:
                return result.text
        messages.extend(result.message for result in results)
