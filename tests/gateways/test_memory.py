"""Memory: what is remembered of a user, shown to the model, and written once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from contracts.memory_damage import damage_memory
from hosting import WITHIN_S, Gate, calling
from recording import NOON
from waiting import until

from treadle import Agent, FunctionModel, Memory, Message, System, ToolSpec
from treadle.events.errors import CorruptEvent
from treadle.events.run import MemoryUnreadable
from treadle.gateways.journals.memory import MemoryJournal


def telling() -> FunctionModel:
    """A model that answers with its system prompt."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        return messages[0].content if messages[0].role == "system" else "nothing"

    return FunctionModel(answer)


async def test_blocks_and_facts_stand_in_the_prompt_of_their_user_and_of_nobody_else() -> None:
    async with System() as system:
        desk = system.host(Agent("You watch.", model=telling(), memory=True), name="desk")
        memory = Memory(system)
        await memory.update_block("persona", "terse", user_id="alice")
        await memory.add_fact("db-1", "runs", "PostgreSQL 17", user_id="alice")
        shown = (await desk.run("Go", user_id="alice")).output
        assert shown.startswith("You watch.")
        assert "<persona>\nterse\n</persona>" in shown
        assert "- db-1 runs PostgreSQL 17" in shown
        assert (await desk.run("Go", user_id="bob")).output == "You watch."
        await memory.update_block("persona", "terse", user_id="carol")
        await memory.update_block("persona", "", user_id="carol")
        assert await memory.working(user_id="carol") == {}
        assert (await desk.run("Go", user_id="carol")).output == "You watch."


async def test_a_run_is_remembered_once_and_recalled_in_other_sessions() -> None:
    async with System() as system:
        desk = system.host(Agent("You watch.", model=telling(), memory=True), name="desk")
        await desk.run("Is db-1 slow?", user_id="alice", session_id="s")
        [episode] = await Memory(system).episodes(user_id="alice")
        assert (episode.agent, episode.session_id, episode.input) == ("desk", "s", "Is db-1 slow?")
        assert "Is db-1 slow?" not in (await desk.run("And now?", user_id="alice", session_id="s")).output
        assert "Is db-1 slow? -> You watch." in (await desk.run("Hello?", user_id="alice", session_id="t")).output
        assert await Memory(system).episodes(user_id="bob") == []


async def test_a_fact_that_contradicts_another_takes_its_place_and_a_retracted_one_is_gone() -> None:
    async with System() as system:
        memory = Memory(system)
        await memory.add_fact("db-1", "runs", "PostgreSQL 16", valid_from=NOON)
        newer = await memory.add_fact("db-1", "runs", "PostgreSQL 17", valid_from=NOON + timedelta(days=1))
        await memory.add_fact("db-1", "runs", "PostgreSQL 15", valid_from=NOON - timedelta(days=9))
        assert [fact.object for fact in await memory.facts()] == ["PostgreSQL 17"]
        await memory.retract_fact(newer, reason="a mistake")
        await memory.retract_fact("unknown")
        assert [fact.object for fact in await memory.facts()] == ["PostgreSQL 16"]


async def test_a_model_remembers_facts_of_the_runs_user_with_their_source() -> None:
    async with System() as system:
        model = calling("remember_fact", subject="db-1", predicate="is", object="slow")
        desk = system.host(Agent(model=model, tools=Memory.tools()), name="desk")
        result = await desk.run("Go", user_id="alice")
        [fact] = await Memory(system).facts(user_id="alice")
        assert (fact.object, fact.sources) == ("slow", (result.run_id,))
        assert fact.fact_id.startswith(result.run_id)


async def test_an_agent_on_its_own_has_a_memory_too() -> None:
    async with Agent(model=telling(), memory=True, name="own-memory") as agent:
        await Memory(agent).update_block("persona", "terse", user_id="carol")
        assert "terse" in (await agent.run("Go", user_id="carol")).output


async def test_what_callers_are_given_is_theirs() -> None:
    async with System() as system:
        memory = Memory(system)
        await memory.update_block("persona", "terse")
        (await memory.working()).clear()
        (await memory.episodes()).append(None)  # type: ignore[arg-type]  # pyright: ignore
        (await memory.facts()).append(None)  # type: ignore[arg-type]  # pyright: ignore
        assert (await memory.working(), await memory.episodes(), await memory.facts()) == ({"persona": "terse"}, [], [])


async def test_two_systems_that_write_one_partition_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    journal = f"sqlite:{tmp_path}/events.db"
    async with System(journal=journal) as one, System(journal=journal) as two:
        memories = [Memory(one), Memory(two)]
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(
                *(memories[number % 2].add_fact(f"db-{number}", "is", "up", user_id="alice") for number in range(60)),
                *(memories[number % 2].update_block("shared", "same", user_id="alice") for number in range(10)),
            )
        stored = await one.journal.read("memory-alice")
        assert [event.type for event in stored].count("memory.fact_asserted") == 60
        assert [event.type for event in stored].count("memory.block_updated") == 1
    async with System(journal=journal) as again:
        assert len(await Memory(again).facts(user_id="alice")) == 60


# A row of a user's memory that is corrupt


def flip(stored: bytes) -> bytes:
    return stored.replace(b"PostgreSQL", b"Postgrease")


async def damaged_journal() -> MemoryJournal:
    """Two facts of alice, the first corrupt."""
    journal = MemoryJournal()
    async with System(journal=journal) as system:
        await Memory(system).add_fact("db-1", "runs", "PostgreSQL 17", user_id="alice")
        await Memory(system).add_fact("db-2", "runs", "PostgreSQL 16", user_id="alice")
    damage_memory(journal, "memory-alice", 1, flip)
    return journal


async def test_a_run_goes_on_without_a_memory_that_is_corrupt_and_says_which_row_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = await damaged_journal()
    head = await journal.head("memory-alice")
    async with System(journal=journal) as system:
        desk = system.host(Agent("You watch.", model=telling(), memory=True), name="desk")
        result = await desk.run("Go", user_id="alice")
        assert (result.state, result.output) == ("completed", "You watch.")
        told = [event.event for event in await journal.read(f"run-{result.run_id}")]
        unreadable = [event for event in told if isinstance(event, MemoryUnreadable)]
        assert [(event.step, event.stream, event.version, event.position) for event in unreadable] == [
            ("memory", "memory-alice", 1, 1),
            ("remember", "memory-alice", 1, 1),
        ]
        assert "event 1 of stream 'memory-alice' at position 1 is corrupt" in unreadable[0].reason
        assert f"run {result.run_id} goes on without the memory of user 'alice': event 1 of stream" in caplog.text
        with pytest.raises(CorruptEvent, match="event 1 of stream 'memory-alice' at position 1"):
            await Memory(system).add_fact("db-3", "is", "up", user_id="alice")
        assert await journal.head("memory-alice") == head
        assert (await desk.run("Go", user_id="bob")).state == "completed"
        assert len(await Memory(system).episodes(user_id="bob")) == 1


async def test_a_memory_that_was_repaired_is_there_again_with_all_that_it_held() -> None:
    journal = await damaged_journal()
    async with System(journal=journal) as system:
        desk = system.host(Agent("You watch.", model=telling(), memory=True), name="desk")
        assert "db-1" not in (await desk.run("Go", user_id="alice")).output
        damage_memory(journal, "memory-alice", 1, lambda stored: stored.replace(b"Postgrease", b"PostgreSQL"))
        assert "- db-1 runs PostgreSQL 17\n- db-2 runs PostgreSQL 16" in (await desk.run("Go", user_id="alice")).output
        assert [episode.output for episode in await Memory(system).episodes(user_id="alice")] != []


async def test_a_run_that_began_without_memory_goes_on_without_it_when_it_is_resumed() -> None:
    journal = await damaged_journal()
    gate = Gate()
    async with System(journal=journal) as system:
        desk = system.host(Agent("You watch.", model=gate.model, memory=True), name="desk")
        running = asyncio.create_task(desk.run("Go", user_id="alice", session_id="s"))
        await until(lambda: gate.waiting == 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        damage_memory(journal, "memory-alice", 1, lambda stored: stored.replace(b"Postgrease", b"PostgreSQL"))
        gate.open()
        result = await desk.resume("s", user_id="alice")
        # What the model was sent before the stop it is sent again, or the run would have diverged from its history.
        assert result.state == "completed"
        assert [episode.episode_id for episode in await Memory(system).episodes(user_id="alice")] == [result.run_id]
