"""An agent whose disk is full says so, loses nothing that it said was done, and goes on when there is room."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from faults.sqlite_faults import Faults

from treadle import Agent, System
from treadle.events.errors import Unavailable
from treadle.events.tool_step import ToolRequested
from treadle.events.verify import verify
from treadle.gateways.journals.sqlite import SqliteJournal

PROGRAM = Path(__file__).with_name("full_disk.py")


async def test_a_session_goes_on_where_it_was_when_the_file_can_grow_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    child = await asyncio.create_subprocess_exec(sys.executable, PROGRAM, path, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60):
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    found = json.loads(out)
    told = found["told"]
    assert told["before"] == ["completed", "measured for one"]
    for call in ("in a session", "again", "alone"):
        kind, message = told[call]
        assert kind == "Unavailable", told
        assert f"journal 'sqlite:{path}' is unavailable: the disk" in message
    assert told["resumed"] == ["completed", "measured for two"]
    assert told["after"] == ["completed", "measured for four"]
    assert found["history"] == ["one", "measured for one", "two", "measured for two", "four", "measured for four"]

    journal = await SqliteJournal.open(path)
    assert await verify(journal) == []
    events = [recorded.event for recorded in await journal.read_all(limit=1000)]
    intents = {(event.call_id, event.attempt) for event in events if isinstance(event, ToolRequested)}
    # No tool was called whose intent is not on disk, also while nothing else could be written there.
    assert intents == {(call_id, attempt) for call_id, attempt in found["called"]}
    assert found["full"] > 4
    assert len(found["called"]) == len(intents)
    await journal.close()


async def test_a_database_that_is_full_is_named_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    faults = Faults()
    journal = await SqliteJournal.open(tmp_path / "runs.db", connect=faults.connect)
    async with System(journal=journal) as system:
        desk = system.host(Agent("You echo.", model="echo"), name="desk")
        await desk.run("one", session_id="s")
        faults.disk_full = True
        faults.refuses_to_begin = 1  # the connection is opened anew
        with pytest.raises(Unavailable):
            await desk.run("x" * 100_000, session_id="s")
        with pytest.raises(Unavailable, match=r"runs\.db' is unavailable: the disk is full"):
            await desk.run("x" * 100_000, session_id="s")
        faults.disk_full = False
        faults.refuses_to_begin = 1
        with pytest.raises(Unavailable):
            await desk.run("x" * 100_000, session_id="s")
        assert (await desk.run("two", session_id="s")).output == "Echo: two"
        history = [message.content for message in await desk.session("s").history()]
        assert history == ["one", "Echo: one", "two", "Echo: two"]
    assert await verify(journal) == []
    await journal.close()
