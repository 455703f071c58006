"""A team whose process is killed in the middle: `python examples/10-team/main.py`.

A lead asks two agents at once. When one of them has answered, the process dies by kill -9, and another one goes on with
the run. Every call of a model is written down outside of it: none that was answered is made twice.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from treadle import Agent, FunctionModel, Message, ModelReply, Team, ToolCall, ToolSpec

FACTS = {"moon": "The moon pulls the sea.", "sun": "The sun pulls it half as much."}
SESSION = "tides"


def newsroom(directory: Path, *, slow: str = "") -> Agent:
    """The team; the agent `slow` never answers."""

    def paid(name: str) -> None:
        with (directory / "paid.txt").open("a") as bill:
            print(name, file=bill)

    def lead(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        paid("lead")
        if messages[-1].role == "tool":
            return " ".join(message.content for message in messages if message.role == "tool")
        asked = [{"worker": worker, "instructions": "What does it do to the sea?"} for worker in FACTS]
        return ModelReply(tool_calls=tuple(ToolCall(args["worker"], "delegate", args) for args in asked))

    def expert(name: str) -> Agent:
        async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
            if name == slow:
                await asyncio.Event().wait()
            paid(name)
            return FACTS[name]

        return Agent(f"You know the {name}.", model=FunctionModel(answer))

    workers = {name: expert(name) for name in FACTS}
    return Team.supervisor(workers, model=FunctionModel(lead), name="newsroom", runtime=f"sqlite:{directory}/runs.db")


async def begin(directory: Path) -> None:
    team = newsroom(directory, slow="sun")
    run = await team.session(SESSION).start("Why are there tides?")
    async for event in run.events():
        if event.type == "child.ended":
            print(f"{event.payload['output']} -- and here the process dies", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


async def go_on(directory: Path) -> None:
    async with newsroom(directory) as team:
        result = await team.resume(SESSION)
        print(result.output)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        dead = subprocess.run([sys.executable, __file__, directory], check=False)
        assert dead.returncode == -signal.SIGKILL
        asyncio.run(go_on(Path(directory)))
        bill = (Path(directory) / "paid.txt").read_text().split()
        print("paid:", ", ".join(bill))
        assert sorted(bill) == ["lead", "lead", "moon", "sun"]


if len(sys.argv) > 1:
    asyncio.run(begin(Path(sys.argv[1])))
else:
    main()
