"""Calls that a worker does: caller and worker are killed at every place, and nothing is done twice that must not be."""

import os
import signal
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crash.afterwards import afterwards
from crash.children import Children, Life, Report
from crash.elsewhere import CALLER, KEEPING, WORKER, ready
from crash.ledger import Ledger
from crash.programs import LEDGER

from treadle.gateways.broker.server import EmbeddedServer

DEADLINE_S = 20.0


class Desk:
    """One directory with its caller and its workers."""

    def __init__(self, children: Children, nats: EmbeddedServer, directory: Path) -> None:
        directory.mkdir()
        self.children = children
        self.nats = nats.url
        self.directory = directory

    def life(self, program: str, name: str = "1", **options: str | bool) -> Life:
        return Life(program=program, directory=str(self.directory), name=name, nats=self.nats, **options)  # type: ignore[arg-type]  # pyright: ignore

    def start_worker(self, life: Life) -> int:
        """A worker that takes calls."""
        pid = self.children.start(life)
        deadline = time.monotonic() + DEADLINE_S
        while not ready(self.directory, pid).exists():
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
        return pid

    @contextmanager
    def worker(self, program: str = WORKER) -> Generator[list[Report]]:
        """A worker while the context is open; its report afterwards."""
        life = self.life(program, "worker")
        pid, reports = self.start_worker(life), list[Report]()
        try:
            yield reports
        finally:
            os.kill(pid, signal.SIGTERM)
            reports.append(self.children.report(life, self.children.wait(pid)))

    def effects(self) -> Counter[str]:
        """How often each tool had its effect."""
        return Counter(effect.tool for effect in Ledger(self.directory / LEDGER).effects())


async def test_a_caller_that_dies_anywhere_finds_what_its_worker_has_done(
    children: Children, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    whole = Desk(children, nats_server, tmp_path / "whole")
    with whole.worker():
        report = children.live(whole.life(CALLER))
    story = await afterwards(whole.directory)
    assert len(report.places) > 20

    # Every second one: `test_matrix.py` has them all, and here it is the worker that is in question.
    for number, place in enumerate(report.places[::2]):
        desk = Desk(children, nats_server, tmp_path / f"c{number}")
        with desk.worker():
            assert children.die(desk.life(CALLER, kill=place)), place
            resumed = children.live(desk.life(CALLER, "2", resume=True))
        await afterwards(desk.directory, story)
        assert resumed.answers == report.answers, place
        assert desk.effects() == {"post": 1, "charge": 1, "wipe": 1}, place


@pytest.mark.parametrize("program", [WORKER, KEEPING])
async def test_a_worker_that_dies_anywhere_is_followed_by_the_next(
    program: str, children: Children, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    whole = Desk(children, nats_server, tmp_path / "whole")
    with whole.worker(program) as reports:
        answers = children.live(whole.life(CALLER)).answers
    story = await afterwards(whole.directory)
    [report] = reports
    assert len(report.places) == {WORKER: 6, KEEPING: 18}[program]

    places = [place for place in report.places if program == WORKER or "event" in place]
    for number, place in enumerate(places):
        desk = Desk(children, nats_server, tmp_path / f"w{number}")
        first = desk.start_worker(desk.life(program, "dies", kill=place))
        caller = desk.life(CALLER)
        calling = children.start(caller)
        assert os.WTERMSIG(children.wait(first)) == signal.SIGKILL, place
        with desk.worker(program):
            assert children.report(caller, children.wait(calling)).answers == answers, place
        await afterwards(desk.directory, story)
        # A plain tool is done again when nobody knows; a journal of the workers knows once the end is in it.
        unknown = place in ("after effect of post 1", "before event 2 of call 1")
        assert desk.effects() == {"post": 2 if unknown else 1, "charge": 1, "wipe": 1}, place


@pytest.mark.parametrize(("program", "place"), [(KEEPING, "before event 1 of call 1"), (WORKER, "")])
async def test_a_worker_that_was_given_up_while_it_slept_begins_nothing_when_it_wakes(
    program: str, place: str, children: Children, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    """It falls asleep with a call that it was told to begin, or before it takes any."""
    desk = Desk(children, nats_server, tmp_path / "sleeper")
    sleeper = desk.life(program, "sleeps", stop=place)
    slept = desk.start_worker(sleeper)
    caller = desk.life(CALLER)
    if not place:
        os.kill(slept, signal.SIGSTOP)
    calling = children.start(caller)
    if place:
        assert os.WIFSTOPPED(children.wait(slept))
    with desk.worker(program):
        assert children.report(caller, children.wait(calling)).answers
        os.kill(slept, signal.SIGCONT)
        os.kill(slept, signal.SIGTERM)
        children.report(sleeper, children.wait(slept))
    assert {effect.pid for effect in Ledger(desk.directory / LEDGER).effects()}.isdisjoint({slept})
    await afterwards(desk.directory)
