"""What a child does with its life."""

import os
import time
from functools import partial
from pathlib import Path

import msgspec

from treadle import Fenced

from .architectures import architectures
from .billed import billed
from .children import DIED_AT, Life, Report
from .elsewhere import CALLER, KEEPING, WORKER, caller, work
from .ledger import Ledger
from .points import Points, watch_appends
from .programs import LEDGER, World, live, programs

BARRIER_S = 30


async def begin(life: Life) -> None:
    """Live one life of a program, and leave a report if it was not cut short."""
    directory = Path(life.directory)
    points = Points(life.kill, life.stop, directory / DIED_AT)
    watch_appends(points)
    world = World(directory, Ledger(directory / LEDGER, points), points, life.user, life.nats)
    if life.program in (WORKER, KEEPING):
        await work(world, life.program == KEEPING)
        (directory / f"report-{life.name}").write_bytes(msgspec.json.encode(Report(places=points.seen)))
        return
    program = {**programs(), **architectures(), **billed(), CALLER: caller()}[life.program]
    report = Report()
    try:
        report.answers = await live(program, world, resume=life.resume, opened=partial(meet, directory, life))
    except Fenced as exc:
        report.refused = f"{type(exc).__name__}: {exc}"
    report.places, report.kinds = points.seen, points.kinds
    (directory / f"report-{life.name}").write_bytes(msgspec.json.encode(report))


def meet(directory: Path, life: Life) -> None:
    """Wait until all who were started with this barrier are here; the last to come opens it."""
    if not life.barrier:
        return
    (directory / f"{life.barrier}-{os.getpid()}").touch()
    deadline = time.monotonic() + BARRIER_S
    # Without a pause: they shall go on within microseconds of each other.
    while len(list(directory.glob(f"{life.barrier}-*"))) < life.together:
        if time.monotonic() > deadline:
            raise TimeoutError(f"fewer than {life.together} processes came to barrier {life.barrier!r}")
