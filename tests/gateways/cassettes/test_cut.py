"""A cassette that is cut out of a journal plays as one that was recorded."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from treadle import Agent, Cassette, FunctionModel, Message, ModelReply, System, ToolCall, ToolSpec, delegate, tool
from treadle.gateways.cassettes.cut import cut
from treadle.gateways.cassettes.file import read, write


@tool
def broken() -> str:
    """A tool that fails."""
    raise OSError("no disk")


@tool(destructive=True)
def wipe() -> str:
    """A tool that nobody allows."""
    return "wiped"


@tool(read_only=True)
def look(place: str) -> dict[str, str]:
    """A tool that finds something."""
    return {"place": place}


def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
    since = max(index for index, message in enumerate(messages) if message.role == "user")
    turn = sum(message.role == "assistant" for message in messages[since:])
    calls = [
        (ToolCall("1", "broken"), ToolCall("2", "wipe"), ToolCall("3", "look", {"place": "tray"})),
        (ToolCall("4", "delegate_to_helper", {"prompt": "Help."}), ToolCall("5", "nonsense")),
    ]
    return "All done." if turn == len(calls) else ModelReply("", calls[turn])


@pytest.fixture
async def hosted() -> AsyncIterator[tuple[System, Agent]]:
    async with System() as system:
        system.host(Agent("You help.", model="echo"), name="helper")
        desk = Agent("You keep a desk.", model=FunctionModel(rules), tools=[broken, wipe, look, delegate("helper")])
        system.host(desk, name="desk")
        yield system, desk


async def test_what_is_cut_is_what_is_recorded(hosted: tuple[System, Agent], tmp_path: Path) -> None:
    system, desk = hosted
    await desk.run("First.", session_id="s", user_id="alice")
    with Cassette(tmp_path / "recorded.json"):
        result = await desk.run("Second.", session_id="s", user_id="alice")
    await system.projections.catch_up()
    [child] = await system.projections.runs.list(parent_run_id=result.run_id)
    write(tmp_path / "cut.json", await cut(system.journal, [result.run_id, child.run_id]))
    assert read(tmp_path / "cut.json") == read(tmp_path / "recorded.json")


async def test_of_a_fork_the_answers_it_shares_are_cut_too(hosted: tuple[System, Agent]) -> None:
    system, desk = hosted
    await desk.run("First.", session_id="s", user_id="alice")
    result = await desk.run("Second.", session_id="s", user_id="alice")
    fork = await desk.fork(result.run_id, "2")
    await fork.wait()
    cut_out = [entry.digest for entry in await cut(system.journal, [fork.id])]
    assert cut_out == [entry.digest for entry in await cut(system.journal, [result.run_id])]
    assert all(entry.messages for entry in await cut(system.journal, [fork.id]))
