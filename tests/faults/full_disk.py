"""An agent whose disk is full for a while: in this process no file may grow beyond a limit, which is then lifted.

    python full_disk.py JOURNAL

Prints one JSON object: what each call came to, and the tool calls with the ids of their intents.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec, TreadleError, current_call, tool

TURNS = 4
called: list[tuple[str, int]] = []


@tool
async def measure() -> str:
    """Returns more than the room that is left."""
    call = current_call()
    called.append((call.call_id, call.attempt))
    return "x" * 40_000


def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    asked = max(place for place, message in enumerate(messages) if message.role == "user")
    if len(messages) - asked > 2 * TURNS:
        return ModelReply(f"measured for {messages[asked].content}")
    return ModelReply(tool_calls=(ToolCall(str(len(messages)), "measure"),))


async def tried(asking: Any) -> list[str]:
    try:
        result = await asking
    except TreadleError as exc:
        return [type(exc).__name__, str(exc)]
    return [result.state, result.output]


async def main(path: Path) -> None:
    agent = Agent("", model=FunctionModel(answer), tools=[measure], name="desk", runtime=f"sqlite:{path}")
    told = {"before": await tried(agent.run("one", session_id="s"))}
    largest = max(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 60_000, hard))
    told["in a session"] = await tried(agent.run("two", session_id="s"))
    told["again"] = await tried(agent.run("two", session_id="s"))
    told["alone"] = await tried(agent.run("three"))
    full = len(called)
    resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))
    told["resumed"] = await tried(agent.resume("s"))
    told["after"] = await tried(agent.run("four", session_id="s"))
    history = [message.content for message in await agent.session("s").history()]
    await agent.aclose()
    print(json.dumps({"told": told, "called": called, "full": full, "history": history}))


asyncio.run(main(Path(sys.argv[1])))
