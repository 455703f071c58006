"""Memory: what is remembered of a user, shown to the model, and written once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hosting import WITHIN_S, calling
from recording import NOON

from treadle import Agent, FunctionModel, Memory, Message, System, ToolSpec


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
