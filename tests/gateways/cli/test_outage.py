"""`treadle watch --user` while the server it listens to goes away and comes back."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from hosting import WITHIN_S, namespace

from treadle import Agent, System
from treadle.gateways.broker.server import EmbeddedServer


class Watching:
    """What a `treadle watch --json` has told of recorded events, run by run."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.told: dict[str, list[int]] = {}
        self.ended: set[str] = set()
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["version"]:
                self.told.setdefault(event["run_id"], []).append(event["version"])
            async with self._news:
                if event["type"] == "run.completed":
                    self.ended.add(event["run_id"])
                self._news.notify_all()

    async def hears_of(self, *run_ids: str, within_s: float = WITHIN_S) -> bool:
        """Whether the ends of these runs are told in time."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: self.ended.issuperset(run_ids))
        except TimeoutError:
            return False
        return True

    async def notes(self) -> str:
        """What it says of itself; ends it."""
        self._process.terminate()
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()


@asynccontextmanager
async def watching(server: EmbeddedServer, ns: str, directory: Path) -> AsyncGenerator[Watching]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "treadle", "watch", "--user", "alice", "--json", "--nats", server.url, "--namespace", ns,
        cwd=directory, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    made = Watching(process)
    following = asyncio.create_task(made.follow())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following


@pytest.mark.parametrize("store", ["kept", "lost"])
async def test_runs_that_began_during_an_outage_are_told_whole_and_none_is_told_twice(
    tmp_path: Path, store: str
) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with (
        EmbeddedServer(tmp_path / "nats") as server,
        System(nats=server.url, namespace=ns, journal=journal) as system,
    ):
        desk = system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        async with watching(server, ns, tmp_path) as watch:

            async def run(prompt: str) -> str:
                return (await desk.run(prompt, user_id="alice", session_id="s")).run_id

            heard, unheard = await run("It may not listen yet"), 0
            while not await watch.hears_of(heard, within_s=0.2):
                heard, unheard = await run("Do you hear me?"), unheard + 1
            before = set(watch.told)
            await server.kill()
            if store == "lost":
                rmtree(server.store_dir)
            missed = [await run("Nobody can tell"), await run("And nobody hears")]
            assert not watch.ended.intersection(missed)
            await server.start()
            assert await watch.hears_of(*missed), (watch.told, missed)
            after = await run("Are you back?")
            assert await watch.hears_of(after)
            # A stream that is filled again tells of all runs there are, also those from before anybody watched.
            more = set(watch.told) - before - {*missed, after}
            assert more == set() if store == "kept" else len(more) <= unheard
            for run_id, versions in watch.told.items():
                assert versions == list(range(1, (await system.journal.head(f"run-{run_id}")).version + 1))
            notes = await watch.notes()
            assert notes.count("the system does not answer") == 1
            assert "Traceback" not in notes
