"""The loop that is measured: the model asks for a tool, the tool answers, the model answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec, tool


@tool
async def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


def asks_once(messages: Sequence[Message], _: Sequence[ToolSpec]) -> ModelReply:
    """Asks for one tool call, then answers. Stateless, so that any number of runs can share it."""
    if messages[-1].role == "tool":
        return ModelReply("There are 42.")
    return ModelReply(tool_calls=(ToolCall("", "stock", {"item": "bolts"}),))


@asynccontextmanager
async def looping_agent(journal: str = "sqlite:journal.db") -> AsyncGenerator[Agent]:
    # The tool has effects, as far as the agent knows: each run waits for the disk before it, and before its answer.
    async with Agent("You mind the store.", model=FunctionModel(asks_once), tools=[stock], runtime=journal) as agent:
        yield agent


async def checked(agent: Agent) -> None:
    result = await agent.run("How many bolts are there?")
    if result.output != "There are 42." or result.turns != 2:
        raise AssertionError(f"not the loop of two turns that is measured: {result!r}")
