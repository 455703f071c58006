"""A process with many runs at once, whose tools write what they do into a file; whoever started it pauses it.

python -m crash.paused <journal> <effects> run|resume <names, with commas>
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec, TreadleError, current_call, tool
from treadle.gateways.journals import postgres_store, postgres_tail

CALLS = 400
"""How many calls a run makes when nobody disturbs it: more than it gets to."""


def desk(journal: str, effects: str) -> Agent:
    # A tenth of the usual patience, or hundreds of tries would take an hour.
    postgres_tail.LIFE_S, postgres_tail.HEARTBEAT_S, postgres_tail.MARGIN_S = 1.0, 0.2, 0.2
    postgres_store.COMMIT_S = 1.0
    file = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(begun: float) -> str:
        call = current_call()
        os.write(file, f"{os.getpid()} {call.call_id} {call.attempt} {begun}\n".encode())
        return "noted"

    @tool
    async def on_the_loop() -> str:
        """Note it."""
        return note(time.monotonic())

    @tool
    def in_a_thread() -> str:
        """Note it."""
        return note(time.monotonic())

    def kind(messages: Sequence[Message]) -> str:
        # Threads that crowd for the interpreter are held up anywhere, between our last look and the tool as well.
        return "in_a_thread" if messages[0].content == "thread" else "on_the_loop"

    async def think(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0.002)
        called = sum(message.role == "tool" for message in messages)
        if called >= CALLS:
            return ModelReply("done")
        return ModelReply(tool_calls=(ToolCall("", kind(messages), {}),))

    return Agent(
        "Work.", model=FunctionModel(think), tools=[on_the_loop, in_a_thread], max_turns=CALLS + 1, runtime=journal
    )


async def main(journal: str, effects: str, how: str, names: Sequence[str]) -> None:
    async with desk(journal, effects) as agent:
        say = asyncio.Lock()

        async def work(name: str) -> None:
            try:
                prompt = "thread" if name.endswith("0") else "loop"
                await (agent.run(prompt, session_id=name) if how == "run" else agent.resume(name))
                said = "ended"
            except TreadleError as exc:
                said = f"{type(exc).__name__}: {exc}"
            async with say:
                print(f"{name} {said}", flush=True)

        await asyncio.gather(*map(work, names))


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(",")))
