"""A run that outlives its process: `python examples/02-durable/main.py`.

The program starts itself a second time, and that process dies in the middle of its run, after the first of two tools.
Then this one goes on with the run: the first tool is not called again.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from treadle import Agent, FunctionModel, Message, ModelReply, ToolCall, ToolSpec, tool


@tool
def reserve(item: str) -> str:
    """Reserve an item."""
    print(f"  process {os.getpid()} reserves {item}")
    return f"{item} is reserved"


@tool(idempotent=True)
def charge(amount: int) -> str:
    """Charge an amount; a second time under the same call id does nothing."""
    if "die" in sys.argv:
        print(f"  process {os.getpid()} dies", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"  process {os.getpid()} charges {amount}")
    return f"{amount} are charged"


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    done = [message.name for message in messages if message.role == "tool"]
    match done:
        case []:
            return ModelReply(tool_calls=(ToolCall("first", "reserve", {"item": "seat 12"}),))
        case ["reserve"]:
            return ModelReply(tool_calls=(ToolCall("second", "charge", {"amount": 40}),))
        case _:
            return ModelReply("Seat 12 is yours.")


def seller(journal: str) -> Agent:
    tools = [reserve, charge]
    return Agent("You sell seats.", name="seller", model=FunctionModel(rules), tools=tools, runtime=f"sqlite:{journal}")


async def die(journal: str) -> None:
    await seller(journal).run("One seat, please.", session_id="alice")


async def go_on(journal: str) -> None:
    async with seller(journal) as agent:
        print((await agent.resume("alice")).output)


if "die" in sys.argv:
    asyncio.run(die(sys.argv[2]))
else:
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "seats.db")
        died = subprocess.run([sys.executable, __file__, "die", path], check=False)
        assert died.returncode == -signal.SIGKILL
        asyncio.run(go_on(path))
