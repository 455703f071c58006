"""A tool whose code runs in other processes: `python examples/04-workers/main.py`.

The printer here calls `render` for each page, and two workers share the pages: this file, started again with `worker`.
What the run records is the same as if it had done them itself.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack

from treadle import Agent, FunctionModel, Message, ModelReply, System, ToolCall, ToolSpec, Worker, remote, tool

PAGES = ("front page", "weather", "sports", "back page")


@tool(idempotent=True)
async def render(page: str) -> str:
    """Render a page."""
    await asyncio.sleep(0.1)
    return f"{page} by process {os.getpid()}"


async def work(nats: str) -> None:
    # Alone in a file of its own, the tool would need no main: treadle up --worker tools.py --nats URL
    async with Worker([render], nats=nats, limit=2) as worker:
        print("ready", flush=True)
        await worker.serve()


def start_worker(nats: str) -> "subprocess.Popen[str]":
    """A worker that takes calls."""
    process = subprocess.Popen([sys.executable, __file__, "worker", nats], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    if messages[-1].role == "tool":
        return ModelReply("\n".join(message.content for message in messages if message.role == "tool"))
    return ModelReply(tool_calls=tuple(ToolCall(page, "render", {"page": page}) for page in PAGES))


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        journal = f"sqlite:{directory}/events.db"
        async with System(journal=journal, nats="embedded", directory=directory) as system, AsyncExitStack() as ends:
            assert system.server is not None
            for _ in range(2):
                worker = start_worker(system.server.url)
                ends.enter_context(worker)
                ends.callback(worker.kill)
            printer = system.host(
                Agent("You print.", model=FunctionModel(rules), tools=[remote("render")]), name="printer"
            )
            result = await printer.run("The paper, please.")
            print(result.output)
            printed_by = {line.rpartition(" ")[2] for line in result.output.splitlines()}
            assert printed_by and str(os.getpid()) not in printed_by  # which worker takes which page is chance
            recorded = [event.type for event in await system.journal.read(f"run-{result.run_id}")]
            assert recorded.count("run.tool_requested") == recorded.count("run.tool_completed") == len(PAGES)


if sys.argv[1:2] == ["worker"]:
    asyncio.run(work(sys.argv[2]))
else:
    asyncio.run(main())
