"""pydantic-ai with a FunctionModel, its own stand-in for a provider.

Nothing is stored, so in the durable cases it is an orientation and no rival.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from measured import Measured, Round, all_at_once, one_after_another, play, times
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


async def echo(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    last = messages[-1].parts[-1]
    if not isinstance(last, UserPromptPart):
        raise AssertionError(f"expected the prompt, got {last!r}")
    return ModelResponse(parts=[TextPart(f"Echo: {last.content}")])


async def asks_once(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    if isinstance(messages[-1].parts[-1], ToolReturnPart):
        return ModelResponse(parts=[TextPart("There are 42.")])
    return ModelResponse(parts=[ToolCallPart("stock", {"item": "bolts"})])


def looping_agent() -> Agent[None, str]:
    agent = Agent(FunctionModel(asks_once), instructions="You mind the store.")

    @agent.tool_plain
    async def stock(item: str) -> str:
        """Tell how many of an item are in stock."""
        return f"42 of {item}"

    return agent


async def checked(agent: Agent[None, str]) -> None:
    result = await agent.run("How many bolts are there?")
    if result.output != "There are 42." or len(result.all_messages()) != 4:
        raise AssertionError(f"not the loop of two turns that is measured: {result!r}")


@asynccontextmanager
async def echo_turn() -> AsyncGenerator[Round]:
    agent = Agent(FunctionModel(echo), instructions="You are a helpful assistant.")
    yield lambda: one_after_another(lambda: agent.run("Tell me a joke."), times(300))


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    agent = looping_agent()
    yield lambda: one_after_another(lambda: checked(agent), times(100))


@asynccontextmanager
async def concurrent_loops() -> AsyncGenerator[Round]:
    agent = looping_agent()
    yield lambda: all_at_once(lambda: checked(agent), 500)


if __name__ == "__main__":
    play(
        "pydantic-ai",
        {
            "echo_turn": Measured("s", echo_turn),
            "durable_loop": Measured("s", durable_loop),
            "concurrent_loops": Measured("runs/s", concurrent_loops),
        },
    )
