"""An archiver that is killed loses nothing and doubles nothing, wherever it is, and the next one ends its work."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import msgspec
from archiving import archive_all, everything
from archiving_killed import INSIDE, STEPS, Life
from contracts.journal import CallRequested, append, calls
from postgres import PostgresServer

from treadle.events.envelope import EMPTY
from treadle.events.errors import Unavailable
from treadle.events.journal import BLOB_LIMIT_BYTES, Journal
from treadle.events.verify import verify
from treadle.gateways.archives.read_through import ReadThrough
from treadle.gateways.journals import open_journal

PLACES = (*STEPS, *INSIDE)
IN_DATABASE = ("begun", "named", "the commit", "moved")
"""What becomes of files is the same for both."""

RUNS = 30


async def fill(spec: str) -> list[tuple[int, bytes]]:
    """A journal with runs, one of them with a large payload; returns what is in it."""
    journal = await open_journal(spec)
    text = {"text": "x" * BLOB_LIMIT_BYTES}
    await journal.append(append("run-large", EMPTY, *calls("a"), CallRequested("b", text)))
    for number in range(RUNS):
        await journal.append(append(f"run-{number}", EMPTY, *calls(*[f"{number}.{n}" * 200 for n in range(10)])))
    await journal.append(append("session-1", EMPTY, *calls("last")))
    found = await told_by(journal)
    await journal.close()
    return found


async def told_by(journal: Journal) -> list[tuple[int, bytes]]:
    return [(event.position, event.stored + event.data) for event in await everything(journal)]


def killed(lives: list[Life]) -> None:
    """Lead these lives; all end by SIGKILL."""
    command = [sys.executable, "-m", "archiving_killed"]
    done = subprocess.run(
        command, input=msgspec.json.encode(lives), capture_output=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert msgspec.json.decode(done.stdout) == [True] * len(lives), done.stderr.decode()


async def afterwards(life: Life, before: list[tuple[int, bytes]]) -> None:
    journal = await open_journal(life.spec)
    assert isinstance(journal, ReadThrough)
    assert await told_by(journal) == before, life.place
    assert await verify(journal) == [], life.place
    moved = len(await journal.archives())
    assert moved == (life.place in ("moved", "swept")) or life.place == "swept", life.place

    await end(life)
    assert await told_by(journal) == before, life.place
    assert await verify(journal) == [], life.place
    archives = await journal.archives()
    # All but the streams of the first and the last event.
    assert sum(archive.streams for archive in archives) == RUNS, life.place
    assert files(life) == sorted(archive.file for archive in archives)
    await journal.close()


def files(life: Life) -> list[str]:
    return sorted(path.name for path in Path(life.into).iterdir())


async def end(life: Life) -> None:
    """Archive what is left, as soon as the server has noticed that the killed one is gone."""
    async with asyncio.timeout(10):
        while True:
            try:
                await archive_all(life.spec, Path(life.into), file_bytes=200_000)
                return
            except Unavailable as exc:
                assert "another archiving is at work" in str(exc)


async def test_a_file_archived_by_a_process_that_is_killed_anywhere(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    before = await fill(f"sqlite:{whole}")
    lives: list[Life] = []
    for number, place in enumerate(PLACES):
        (directory := tmp_path / str(number)).mkdir()
        shutil.copy(whole, directory / "runs.db")
        lives.append(Life(f"sqlite:{directory / 'runs.db'}", str(directory / "archives"), place))
    await asyncio.to_thread(killed, lives)
    for life in lives:
        await afterwards(life, before)


async def test_postgresql_archived_by_a_process_that_is_killed_anywhere(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    names = [f"test_{uuid4().hex}" for _ in (None, *IN_DATABASE)]
    postgres_server.execute(f"CREATE DATABASE {names[0]}")
    before = await fill(postgres_server.url(names[0]))
    lives: list[Life] = []
    for name, place in zip(names[1:], IN_DATABASE, strict=True):
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {names[0]}")
        lives.append(Life(postgres_server.url(name), str(tmp_path / name), place))
    await asyncio.to_thread(killed, lives)
    for life in lives:
        await afterwards(life, before)
    for name in names:
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
