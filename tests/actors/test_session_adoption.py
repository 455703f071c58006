"""A run that was started without a session can be gone on with under its own id."""

import asyncio

import pytest

from treadle import Agent, FunctionModel, NothingToResume


async def test_a_conversation_goes_on_from_a_run_without_a_session() -> None:
    agent = Agent("You echo.", model="echo", name="adopting")
    first = await agent.run("My name is Ada.", user_id="alice")
    second = await agent.run("What is my name?", user_id="alice", session_id=first.session_id)
    assert second.run_id != first.run_id
    contents = [message.content for message in await agent.session(first.session_id, user_id="alice").history()]
    assert contents == ["My name is Ada.", "Echo: My name is Ada.", "What is my name?", "Echo: What is my name?"]
    await agent.aclose()


async def test_another_user_does_not_get_the_conversation_of_a_run() -> None:
    agent = Agent("You echo.", model="echo", name="adopting")
    first = await agent.run("My name is Ada.", user_id="alice")
    assert await agent.session(first.session_id, user_id="mallory").history() == []
    with pytest.raises(NothingToResume):
        await agent.resume(first.session_id, user_id="mallory")
    await agent.aclose()


async def test_a_run_whose_caller_left_is_resumed_by_its_id() -> None:
    asked = asyncio.Event()
    answers = asyncio.Event()

    async def slow(messages: object, tools: object) -> str:
        asked.set()
        await answers.wait()
        return "done"

    agent = Agent("You think.", model=FunctionModel(slow), name="leaving")
    before = await (await agent.node()).journal.last_position()  # agents of one process share a journal in memory
    running = asyncio.create_task(agent.run("Take your time."))
    await asked.wait()
    [run_id] = [address.removeprefix("run-") for address in await addresses(agent, before)]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    answers.set()
    result = await agent.resume(run_id)
    assert (result.run_id, result.output) == (run_id, "done")
    await agent.aclose()


async def addresses(agent: Agent, after: int) -> list[str]:
    """Where runs of this agent's system live now that began after this position."""
    node = await agent.node()
    found = [recorded.stream for recorded in await node.journal.read_all(after) if recorded.type == "run.started"]
    return [stream for stream in found if node.system.ref(stream).is_live]
