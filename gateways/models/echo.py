"""A model that answers with the question: for trying things out without a key."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ...actors.model import ModelChunk
from ...events.message import Message, ModelReply, ToolSpec, Usage


class EchoModel:
    """Answers with the last user message. A word is a token.

    Args:
        prefix: Stands before the answer.
        chunk_delay_s: Seconds before each word when streaming.
        cost_per_token: US dollars.
    """

    name = "echo"

    def __init__(self, prefix: str = "Echo: ", chunk_delay_s: float = 0.0, cost_per_token: float = 0.0) -> None:
        self.prefix = prefix
        self.chunk_delay_s = chunk_delay_s
        self.cost_per_token = cost_per_token

    def __repr__(self) -> str:
        return f"EchoModel(prefix={self.prefix!r})"

    def estimate(self, messages: Sequence[Message]) -> tuple[int, int]:
        """Input and output tokens of a call, before it is made."""
        usage = self._reply(messages).usage
        return usage.input_tokens, usage.output_tokens

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        return self._reply(messages)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        reply = self._reply(messages)
        for index, word in enumerate(reply.text.split(" ")):
            if self.chunk_delay_s:
                await asyncio.sleep(self.chunk_delay_s)
            yield ModelChunk("text", word if index == 0 else f" {word}")
        yield ModelChunk("finish", finish_reason="stop", usage=reply.usage)

    def _reply(self, messages: Sequence[Message]) -> ModelReply:
        question = next((message.content for message in reversed(messages) if message.role == "user"), "")
        text = self.prefix + question
        tokens_in = sum(len(message.content.split()) for message in messages)
        tokens_out = len(text.split())
        cost_usd = (tokens_in + tokens_out) * self.cost_per_token
        return ModelReply(text, usage=Usage(tokens_in, tokens_out, cost_usd=cost_usd))
