"""The smallest agent, and one with a tool: `python examples/01-minimal/main.py`. No key, no server, no file."""

import asyncio
import shutil
from collections.abc import Sequence

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec, tool


@tool(read_only=True)
def disk_free() -> str:
    """How much space is left on the disk."""
    return f"{shutil.disk_usage('/').free // 1024**3} GB"


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    """A model of one rule: look, then say what there is. A language model takes its place with `model="…"`."""
    last = messages[-1]
    if last.role == "user":
        return ModelReply(tool_calls=(ToolCall("look", "disk_free"),))
    return ModelReply(f"There are {last.content} left.")


async def main() -> None:
    echo = Agent("You are a helpful assistant.", model="echo")
    result = await echo.run("Tell me a joke.")
    print(result.output)

    agent = Agent("You look after a disk.", model=FunctionModel(rules), tools=[disk_free])
    async for event in agent.stream("How much space is left?"):
        print(f"  {event.type}")
    print((await agent.run("And now?")).output)


asyncio.run(main())
