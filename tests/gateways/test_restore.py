"""Backup and restore as `docs/operations.md` has it, on real servers: what was restored verifies, and goes on.

The page's own commands for SQLite are run with the page; those for PostgreSQL are read from it and run here.
"""

import os
import re
import sqlite3
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from hosting import WITHIN_S, namespace
from postgres import PostgresServer
from waiting import until

from treadle import Agent, System
from treadle.events.verify import verify
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.broker.streams import stream_name
from treadle.gateways.buses.nats import NatsBus

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@asynccontextmanager
async def node(journal: str, nats: str | None = None, ns: str = "treadle") -> AsyncGenerator[tuple[System, Agent]]:
    async with System(journal=journal, nats=nats, namespace=ns) as system:
        yield system, system.host(Agent(model="echo"), name="desk")


async def run(agent: Agent, prompt: str, session_id: str = "night") -> str:
    return (await agent.run(prompt, user_id="alice", session_id=session_id)).run_id


async def told(system: System) -> list[tuple[str, int]]:
    """Stream and version of what EVENTS has, when all of the journal is there."""
    relay, bus = system.relay, system.bus
    assert relay is not None
    assert isinstance(bus, NatsBus)
    last = await system.journal.last_position()
    await until(lambda: relay.position >= last, WITHIN_S)
    stream, found, sequence = stream_name("events", system.subjects), list[tuple[str, int]](), 1
    while page := await bus.jetstream.headers_page(stream, system.subjects.events(), sequence, 500):
        for headers in page:
            sequence = int(headers["Nats-Sequence"]) + 1
            found.append((headers["Nats-Subject"], int(headers["Treadle-Position"])))
    return found


def backed_up(source: Path, target: Path) -> None:
    """As the page does it, beside a node that writes."""
    with closing(sqlite3.connect(source)) as journal, closing(sqlite3.connect(target)) as backup:
        journal.backup(backup)


def restored(backup: Path, journal: Path) -> None:
    """In place of the journal and of all that was folded from it."""
    for path in journal.parent.glob(f"{journal.stem}.*"):
        if path.is_file():
            path.unlink()
    backup.rename(journal)


async def test_a_journal_that_was_restored_verifies_and_goes_on_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with node(f"sqlite:{path}") as (system, desk):
        await run(desk, "One")
        end = await system.journal.last_position()
        backed_up(path, tmp_path / "backup")
        await run(desk, "Lost")
    restored(tmp_path / "backup", path)
    async with node(f"sqlite:{path}") as (system, desk):
        assert await system.journal.last_position() == end
        assert await verify(system.journal) == []
        await run(desk, "Two")
        prompts = [message.content for message in await desk.session("night", user_id="alice").history()]
        assert prompts == ["One", "Echo: One", "Two", "Echo: Two"]
        events = await system.journal.read_all(0, 1000)
        assert [event.position for event in events] == list(range(1, len(events) + 1))
        assert await verify(system.journal) == []


async def test_views_that_are_ahead_of_a_restored_journal_are_folded_anew_but_for_the_audit(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with node(f"sqlite:{path}") as (system, desk):
        await run(desk, "One")
        backed_up(path, tmp_path / "backup")
        await run(desk, "Lost")
        await system.projections.catch_up(WITHIN_S)
    for part in ("events.db", "events.db-wal", "events.db-shm"):
        (tmp_path / part).unlink(missing_ok=True)
    (tmp_path / "backup").rename(path)
    async with node(f"sqlite:{path}") as (system, _):
        await system.projections.wait_for(await system.journal.last_position(), WITHIN_S, projection="runs")
        assert len(await system.projections.runs.list()) == 1
        assert (await system.projections.lag())["audit"].stopped


async def test_events_that_the_restored_journal_has_not_are_warned_of_and_go_with_the_stream(
    nats_server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ns = tmp_path / "events.db", namespace()
    async with node(f"sqlite:{path}", nats_server.url, ns) as (system, desk):
        await run(desk, "One")
        backed_up(path, tmp_path / "backup")
        await run(desk, "Lost")
        ahead = await told(system)
    restored(tmp_path / "backup", path)
    async with node(f"sqlite:{path}", nats_server.url, ns) as (system, desk):
        end = await system.journal.last_position()
        warned = f"EVENTS tells of position {len(ahead)}, and the journal ends at {end}"
        assert warned in caplog.text
        await run(desk, "Two")
        # Two events have one position now, and one of them never happened.
        positions = [position for _, position in await told(system)]
        assert len(positions) > len(set(positions))
    async with await NatsBus.connect(nats_server.url) as operator:
        await operator.jetstream.call(f"STREAM.DELETE.EVENTS-{ns}")
    caplog.clear()
    async with node(f"sqlite:{path}", nats_server.url, ns) as (system, desk):
        await run(desk, "Three")
        events = await system.journal.read_all(0, 1000)
        subjects = [(system.subjects.event(e.user_id, e.stream, e.type), e.position) for e in events]
        assert await told(system) == subjects
        assert "EVENTS tells of" not in caplog.text


async def test_the_pages_commands_bring_a_journal_in_postgresql_back(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = f"restored_{uuid4().hex}"
    async with node(postgres_url) as (system, desk):
        await run(desk, "One")
        end = await system.journal.last_position()
        await system.projections.catch_up(WITHIN_S)
        hashes = {name: await system.projections.state_hash(name) for name in system.projections.names}
        programs = Path(psutil.Process(postgres_server.pid).exe()).parent
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        commands("pg_dump", {**environment, "TREADLE_JOURNAL": postgres_url}, tmp_path)
        await run(desk, "Lost")
    places = {"ADMIN": postgres_server.url(), "NAME": name, "RESTORED": postgres_server.url(name)}
    commands("pg_restore", environment | places, tmp_path)
    async with node(places["RESTORED"]) as (system, desk):
        assert await system.journal.last_position() == end
        assert await verify(system.journal) == []
        await system.projections.wait_for(end, WITHIN_S)
        assert {name: await system.projections.state_hash(name) for name in system.projections.names} == hashes
        await run(desk, "Two")
        assert [event.position for event in await system.journal.read_all(end, 1)] == [end + 1]
        assert await verify(system.journal) == []
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def commands(program: str, environment: dict[str, str], directory: Path) -> None:
    """Run the page's block that uses `program`."""
    blocks: list[str] = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if re.search(rf"^\$ {program}\b", block, re.MULTILINE)]
    script = "\n".join(line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=directory, env=environment, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
