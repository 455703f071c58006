"""loomflow: its echo agent, and a tool loop journaled by SqliteRuntime.

SqliteRuntime sets `synchronous=NORMAL` on its WAL itself, so its steps are not fsynced; there is no public switch for
it. Each run gets a session of its own, as it does when no `session_id` is given. Each round gets a new agent: the
default memory keeps every episode and looks through all of them on each run, about 0.3 µs more per run so far, and a
later round must not pay for an earlier one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loomflow import Agent, tool
from loomflow.core.types import Message, ModelChunk, Role, ToolCall, Usage
from loomflow.runtime import SqliteRuntime
from measured import Measured, Round, all_at_once, one_after_another, play, times


@tool(name="stock")
async def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


class AsksOnce:
    """Asks for one tool call, then answers. Stateless, so that any number of runs can share it."""

    name = "scripted"

    async def complete(self, messages: list[Message], **_: Any) -> tuple[str, list[ToolCall], Usage, str]:
        if messages[-1].role is Role.TOOL:
            return "There are 42.", [], Usage(), "stop"
        return "", [ToolCall(tool="stock", args={"item": "bolts"})], Usage(), "tool_use"

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        text, calls, usage, reason = await self.complete(messages, **options)
        if text:
            yield ModelChunk(kind="text", text=text)
        for call in calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield ModelChunk(kind="finish", finish_reason=reason, usage=usage)


@asynccontextmanager
async def echo_turn() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        agent = Agent("You are a helpful assistant.", model="echo")
        return await one_after_another(lambda: agent.run("Tell me a joke."), times(100))

    yield a_round


@asynccontextmanager
async def looping_agent() -> AsyncGenerator[Agent]:
    runtime = SqliteRuntime("journal.db")
    yield Agent("You mind the store.", model=AsksOnce(), tools=[stock], runtime=runtime)
    await runtime.store.aclose()


async def checked(agent: Agent) -> None:
    result = await agent.run("How many bolts are there?")
    if result.output != "There are 42." or result.turns != 2:
        raise AssertionError(f"not the loop of two turns that is measured: {result!r}")


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        async with looping_agent() as agent:
            return await one_after_another(lambda: checked(agent), times(100))

    yield a_round


@asynccontextmanager
async def concurrent_loops() -> AsyncGenerator[Round]:
    async def a_round() -> list[float]:
        async with looping_agent() as agent:
            return await all_at_once(lambda: checked(agent), 500)

    yield a_round


if __name__ == "__main__":
    play(
        "loomflow",
        {
            "echo_turn": Measured("s", echo_turn),
            "durable_loop": Measured("s", durable_loop),
            "concurrent_loops": Measured("runs/s", concurrent_loops),
        },
    )
