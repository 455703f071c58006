"""Programs whose model costs money: it is a provider's, which keeps its own account (see `provider.py`)."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from treadle import Agent, Limits, Message, ModelReply, ToolCall, ToolSpec, Usage
from treadle.actors.context import current_model_call
from treadle.actors.model import ModelChunk
from treadle.architecture import Supervisor

from .points import Points
from .programs import Program, World, desk, rule, tools_of
from .provider import CENTS, MOST_OUT, Question, tokens_in

BILLED = "billed"
OTHERWISE = "billed, other words"
"""The same, whose client asks for something else: it closes what the one before it left open."""
TEAM = "billed team"
"""One that leads another, and both of them cost money."""

TURNS = (["charge"],)
DELEGATES = ToolCall("m0", "delegate", {"worker": "teller", "instructions": "Charge it."})
PROVIDER_URL = "provider-url"
"""The file that says where the provider is."""

_IN_TIME_S = 10


def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    """What the provider's model says, to whoever asks."""
    leads, told = "You lead the workers" in messages[0].content, messages[-1]
    if leads and told.role == "user":
        return ModelReply("", (DELEGATES,), finish_reason="tool_calls")
    return ModelReply(told.content) if leads else rule(*TURNS)(messages, tools)


class BilledModel:
    """Asks the provider over HTTP, and comes by places where it may die in between."""

    name = "billed"
    billed = True

    def __init__(self, url: str, points: Points) -> None:
        self._url = urlsplit(url)
        self._points = points

    def estimate(self, messages: Sequence[Message]) -> tuple[int, int]:
        return tokens_in(messages), MOST_OUT

    def cost_usd(self, usage: Usage) -> float:
        return usage.total_tokens * CENTS

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        call = current_model_call()
        assert call is not None
        body = msgspec.json.encode(Question(call.call_id, call.attempt, tuple(messages)))
        self._points.reach_again("before the request")
        async with asyncio.timeout(_IN_TIME_S):
            reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
            try:
                head = f"POST {self._url.path} HTTP/1.1\r\nHost: provider\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                assert b" 102 " in await reader.readuntil(b"\r\n\r\n")
                self._points.reach_again("the provider has the request")
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                reply = msgspec.json.decode(await reader.read(), type=ModelReply)
            finally:
                writer.close()
        self._points.reach_again("the answer is here")
        return reply

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        reply = await self.complete(messages, tools=tools, **options)
        yield ModelChunk("text", reply.text)
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk("finish", finish_reason=reply.finish_reason, usage=reply.usage)


def billed() -> Mapping[str, Program]:
    """Them, by name."""

    def model(world: World) -> BilledModel:
        return BilledModel((world.directory / PROVIDER_URL).read_text(), world.points)

    def make(world: World) -> Agent:
        return desk(world, model(world), budget=Limits(max_tokens=100_000))

    def team(world: World) -> Agent:
        teller = Agent("You work in a team.", model=model(world), tools=tools_of(world.ledger))
        return desk(world, model(world), budget=Limits(max_tokens=100_000), architecture=Supervisor({"teller": teller}))

    return {
        BILLED: Program(BILLED, make),
        OTHERWISE: Program(OTHERWISE, make, (("conv-1", "Forget it."),)),
        TEAM: Program(TEAM, team),
    }
