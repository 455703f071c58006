"""Records histories for the corpus: `python tests/histories/record.py VERSION` fills `tests/histories/VERSION/`.

Existing files are never rewritten: what was recorded has to be replayed for ever. `thoughts.py` records architectures
and workflows.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from treadle import (
    Agent,
    Blackboard,
    FunctionModel,
    Limits,
    Memory,
    Message,
    ModelReply,
    System,
    ToolCall,
    ToolSpec,
    Usage,
    Workspace,
    delegate,
    tool,
)


@tool(read_only=True)
def measure(host: str) -> dict[str, float]:
    """Measure a host."""
    return {"load": 0.5, "disk": 0.91}


@tool(idempotent=True)
async def page(message: str) -> str:
    """Page the person on call."""
    return f"paged: {message}"


@tool(destructive=True)
def restart(host: str) -> str:
    """Restart a host."""
    raise OSError(f"{host} does not answer")


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
    """Measure first, then act on everything, then answer."""
    done = {message.name for message in messages if message.role == "tool"}
    usage = Usage(10, 5, cost_usd=0.001)
    if "measure" not in done:
        return ModelReply("Let me look.", (ToolCall("1", "measure", {"host": "db-1"}),), usage)
    if "page" not in done:
        calls = (
            ToolCall("2", "page", {"message": "disk 91 %"}),
            ToolCall("3", "restart", {"host": "db-1"}),
            ToolCall("4", "delegate_to_prober", {"prompt": "probe db-1"}),
            ToolCall("5", "post_to_ops", {"content": "db-1 is full"}),
            ToolCall("6", "remember_fact", {"subject": "db-1", "predicate": "disk", "object": "91 %"}),
            ToolCall("7", "no_such_tool", {}),
            ToolCall("8", "page", {"wrong": 1}),
        )
        return ModelReply("", calls, usage)
    return ModelReply(f"Done: {len(messages)} messages.", usage=usage)


async def record() -> dict[str, list[bytes]]:
    """The stored events of a desk that did a bit of everything, by stream."""
    async with System() as system:
        tools = [measure, page, restart, delegate("prober"), *Blackboard("ops").tools(), *Memory.tools()]
        desk = Agent(
            "You keep watch.", model=FunctionModel(rules), tools=tools, memory=True,
            approval_handler=lambda question: question.args["host"] == "db-1", budget=Limits(max_tokens=10_000),
        )  # fmt: skip
        system.host(Agent("You probe.", model="echo"), name="prober")
        system.host(desk, name="desk")
        await desk.run("What about db-1?", user_id="alice", session_id="night")
        await desk.signal("Disk 91 % full", user_id="alice", session_id="night", wait=True)
        notes = Workspace("ops", system).of("alice").member("desk")
        await notes.note("db-1 is full", "91 % of [[nothing]]", kind="question", tags=["disk"], plan="p-1", step="look")
        await notes.update("db-1-is-full", body="91 %, of old logs")
        await notes.answer("db-1-is-full", "Delete them.")
        await notes.note("Delete old logs", "As [[db-1-is-full]] says.", kind="decision")
        await notes.archive("db-1-is-full", reason="They are gone.")
        streams: dict[str, list[bytes]] = {}
        for recorded in await system.journal.read_all():
            streams.setdefault(recorded.stream, []).append(recorded.stored)
    return streams


def write(directory: Path, streams: dict[str, list[bytes]]) -> None:
    directory.mkdir(exist_ok=True)
    for number, (stream, stored) in enumerate(sorted(streams.items()), 1):
        path = directory / f"{stream.partition('-')[0]}-{number}.jsonl"
        if path.exists():
            sys.exit(f"{path} exists; histories are added, never edited: choose another version")
        path.write_bytes(b"\n".join(stored) + b"\n")


if __name__ == "__main__":
    write(Path(__file__).parent / sys.argv[1], asyncio.run(record()))
