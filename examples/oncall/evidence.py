"""All that the story left behind, read when it is over: the journal, the projections, and everybody's files."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle import System
from treadle.events.envelope import Recorded
from treadle.projections import Belief, BudgetRow, Entry, RunRow, UsageRow

from .children import ROOT
from .demo import Kill
from .place import USER, Place
from .watcher import Verdict

Line = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What there is to judge.

    Attributes:
        events: The journal from its first event to its last.
        board, facts, usage, budgets, runs: What the projections say.
        ledger, published: Lines of the tools' and the producer's files.
        watched: The events as the watcher got them, byte by byte, by stream.
        codes: What the processes ended with, by name.
        took_s: From the first process' start to the last one's end.
    """

    place: Place
    events: list[Recorded]
    runs: list[RunRow]
    facts: list[Belief]
    usage: list[UsageRow]
    budgets: list[BudgetRow]
    board: list[Entry]
    ledger: list[Line]
    published: list[Line]
    watched: dict[str, list[bytes]]
    verdict: Verdict
    kills: list[Kill]
    codes: dict[str, int]
    took_s: float


def verify_audit(place: Place) -> "subprocess.CompletedProcess[str]":
    """`treadle audit verify`, as a person would call it. Its exit code is 0 when nothing was tampered with."""
    command = [sys.executable, "-m", "treadle", "audit", "verify", "--directory", str(place.directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


async def gather(place: Place, kills: list[Kill], codes: dict[str, int], took_s: float) -> Evidence:
    """Open the journal without hosting anything, and read."""
    async with System(journal=f"sqlite:{place.journal}", resume=False) as system:
        shown = system.projections
        await shown.catch_up()
        return Evidence(
            place=place,
            events=[recorded async for recorded in _all(system)],
            runs=await shown.runs.list(limit=10_000),
            facts=await shown.facts.query(USER),
            usage=await shown.budget.usage(by=("agent", "model")),
            budgets=await shown.budget.scopes(),
            board=await shown.blackboards.entries("ops", limit=10_000),
            ledger=_lines(place.ledger),
            published=_lines(place.published),
            watched=_by_stream(place.watched.read_bytes().splitlines()),
            verdict=Verdict(**json.loads(place.verdict.read_text("utf-8"))),
            kills=kills,
            codes=codes,
            took_s=took_s,
        )


async def _all(system: System) -> AsyncIterator[Recorded]:
    position = 0
    while page := await system.journal.read_all(position, 1000):
        for recorded in page:
            yield recorded
        position = page[-1].position


def _lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _by_stream(lines: Iterable[bytes]) -> dict[str, list[bytes]]:
    streams: dict[str, list[bytes]] = defaultdict(list)
    for line in lines:
        streams[json.loads(line)["stream"]].append(line)
    return dict(streams)
