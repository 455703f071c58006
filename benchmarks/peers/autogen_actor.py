"""AutoGen core: one message to a local agent and its answer, on the runtime its documentation starts with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler
from measured import Measured, Round, one_after_another, play, times


@dataclass
class Ask:
    number: int


@dataclass
class Answer:
    number: int


class Counter(RoutedAgent):
    @message_handler
    async def ask(self, message: Ask, ctx: MessageContext) -> Answer:
        return Answer(message.number + 1)


@asynccontextmanager
async def actor_ask() -> AsyncGenerator[Round]:
    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", lambda: Counter("Adds one."))
    runtime.start()
    message, counter = Ask(1), AgentId("counter", "default")
    yield lambda: one_after_another(lambda: runtime.send_message(message, counter), times(3000))
    await runtime.stop_when_idle()


if __name__ == "__main__":
    play("AutoGen core", {"actor_ask": Measured("s", actor_ask)})
