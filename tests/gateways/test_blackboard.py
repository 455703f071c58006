"""Blackboards: entries are kept, in order, each once, for agents and programs alike."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hosting import WITHIN_S, calling

from treadle import Agent, Blackboard, ConfigError, System
from treadle.events.blackboard import Posted


async def test_what_agents_post_programs_read_and_the_other_way_round() -> None:
    async with System() as system:
        board = Blackboard("ops", system)
        await board.post("db-1 is slow", author="bob", kind="finding", data={"ms": 900})
        desk = Agent(model=calling("post_to_ops", content="looking"), tools=Blackboard("ops").tools(), name="desk")
        assert (await system.host(desk).run("Go")).output == "posted"
        reader = Agent(model=calling("read_ops", limit=5), tools=Blackboard("ops").tools(), name="reader")
        assert "db-1 is slow" in (await system.host(reader).run("Go")).output
        assert [(entry.author, entry.content) for entry in await board.read()] == [
            ("bob", "db-1 is slow"),
            ("desk", "looking"),
        ]
        assert [entry.data for entry in await board.read(kind="finding")] == [{"ms": 900}]
        assert [entry.author for entry in await board.read(author="desk")] == ["desk"]
        assert [entry.content for entry in await board.read(limit=1)] == ["looking"]


async def test_an_entry_that_is_posted_twice_stands_there_once() -> None:
    async with System() as system:
        board = Blackboard("ops", system)
        for _ in range(2):
            assert await board.post("once", author="bob", entry_id="e-1") == "e-1"
        assert len(await board.read()) == 1


async def test_a_watcher_sees_all_there_is_and_all_that_comes() -> None:
    async with System() as system:
        board = Blackboard("ops", system)
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(board.post(str(number), author="bob") for number in range(1100)))
            seen: list[Posted] = []
            more = None
            async for entry in board.watch():
                seen.append(entry)
                if len(seen) == 1100:
                    more = asyncio.create_task(board.post("later", author="bob"))
                if len(seen) == 1101:
                    break
            assert more is not None
            await more
        assert len({entry.entry_id for entry in seen}) == 1101
        assert seen[-1].content == "later"
        assert (await anext(aiter(board.watch(after=1100)))).content == "later"


async def test_two_systems_that_write_one_board_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    journal = f"sqlite:{tmp_path}/events.db"
    async with System(journal=journal) as one, System(journal=journal) as two:
        boards = [Blackboard("ops", one), Blackboard("ops", two)]
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(
                *(
                    boards[number % 2].post(str(number), author="bob", entry_id=f"e-{number // 2}")
                    for number in range(80)
                )
            )
        stored = await one.journal.read("blackboard-ops")
        assert [event.version for event in stored] == list(range(1, 41))
        assert len({event.event.entry_id for event in stored}) == 40  # type: ignore[attr-defined]  # pyright: ignore


async def test_a_board_without_its_system_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"Blackboard\('ops', system\) needs its system"):
        await Blackboard("ops").post("x", author="bob")


async def test_an_entry_whose_data_has_no_json_form_is_refused() -> None:
    async with System() as system:
        odd: Any = object()
        with pytest.raises(Exception, match="has no JSON form"):
            await Blackboard("ops", system).post("x", author="bob", data=odd)
        assert await Blackboard("ops", system).read() == []
