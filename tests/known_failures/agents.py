"""What the tests of known failures have in common: a model that waits, and agents that share a journal file."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec

Answer = Callable[[Sequence[Message], Sequence[ToolSpec]], ModelReply | str]


class Opened:
    """Makes agents on one journal file. Each number is a system of its own, with its own owner: another process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._agents: list[Agent] = []

    def __call__(self, model: FunctionModel, process: int = 1, **more: Any) -> Agent:
        # The same file in another spelling: systems are shared by what `runtime` says.
        runtime = f"sqlite:{self._directory}/{'./' * (process - 1)}runs.db"
        agent = Agent(model=model, name="desk", runtime=runtime, **more)
        self._agents.append(agent)
        return agent

    async def aclose(self) -> None:
        for agent in self._agents:
            await agent.aclose()


def asks(name: str, **args: Any) -> ModelReply:
    """A reply that calls one tool."""
    return ModelReply("", (ToolCall(f"m-{name}", name, args),))


def once(name: str, **args: Any) -> FunctionModel:
    """A model that calls one tool and then repeats what it said."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        return messages[-1].content if messages[-1].role == "tool" else asks(name, **args)

    return FunctionModel(answer)


class Waiting:
    """A model that says when it was asked, answers when it is let, and remembers what it was shown."""

    def __init__(self, answer: Answer) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.shown: list[Sequence[Message]] = []
        self._answer = answer

    async def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        self.shown.append(list(messages))
        self.asked.set()
        await self.go_on.wait()
        return self._answer(messages, tools)
