"""A model that costs something, and does what the test says, call by call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

from treadle import Message, ModelReply, ToolSpec, Usage
from treadle.actors.model import ModelChunk
from treadle.actors.model_errors import ModelError, TransientModelError

ANSWER_USAGE = Usage(10, 5, cost_usd=0.15)
MOST = Usage(100, 50, cost_usd=1.5)
"""What an answer of this model costs, and the most that a call may: a cent a token."""


class Cut(NamedTuple):
    """A stream that says something, and then fails."""

    text: str
    error: Exception


Turn = str | Exception | Cut | Callable[[], Awaitable[str]]


class PaidModel:
    """Takes one turn for each call; after the last one it repeats the last.

    Attributes:
        asked: How often it was.
        under_way: How many of those have come to no end.
    """

    billed = True

    def __init__(self, *turns: Turn, name: str = "paid", alternatives: Sequence["PaidModel"] = ()) -> None:
        self._turns = turns
        self._name = name
        self.alternatives = alternatives
        self.asked = 0
        self.under_way = 0

    @property
    def name(self) -> str:
        return self._name

    def falls_on(self, error: ModelError) -> bool:
        return isinstance(error, TransientModelError)

    def estimate(self, messages: Sequence[Message]) -> tuple[int, int]:
        return MOST.input_tokens, MOST.output_tokens

    def cost_usd(self, usage: Usage) -> float:
        return usage.total_tokens / 100

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        text = await self._next()
        if isinstance(text, Cut):
            raise copy(text.error)
        return ModelReply(text, usage=ANSWER_USAGE)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        text = await self._next()
        if isinstance(text, Cut):
            if text.text:
                yield ModelChunk("text", text.text)
            raise copy(text.error)
        yield ModelChunk("text", text)
        yield ModelChunk("finish", finish_reason="stop", usage=ANSWER_USAGE)

    async def _next(self) -> str | Cut:
        turn = self._turns[min(self.asked, len(self._turns) - 1)]
        self.asked += 1
        if isinstance(turn, Exception):
            raise copy(turn)
        if isinstance(turn, str | Cut):
            return turn
        self.under_way += 1
        try:
            return await turn()
        finally:
            self.under_way -= 1


async def for_ever() -> str:
    """A turn that has no end."""
    await asyncio.Event().wait()
    raise AssertionError
