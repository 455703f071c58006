"""Kills a program at places of its life, and says whether it came to what it comes to when it is not killed.

`make crash` does so at every place of every architecture, `make test` at one of each kind.
"""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from msgspec import Struct

from .afterwards import Broken, Story, afterwards
from .bill import Bill
from .children import DIED_AT, Children, Life, Report
from .ledger import Ledger
from .programs import LEDGER
from .tally import Tally, fell

SECOND_KILL_IN = 4
"""Each fourth program is killed again while its first death is made good."""

_EVERYWHERE = ("session.", "budget.", "run.started", "before the answer")
"""Kinds of places that every program has."""


class Whole(Struct, frozen=True):
    """The life of a program that was not killed.

    Attributes:
        paid: How many model calls it took.
    """

    program: str
    report: Report
    story: Story
    paid: int


async def whole(children: Children, program: str, directory: Path) -> Whole:
    """Let it live."""
    report = children.live(Life(program=program, directory=_new(directory)))
    story = await afterwards(directory)
    if len(report.places) > len(set(report.places)):
        raise Broken("two places have one name", directory)
    return Whole(program, report, story, await Bill(directory).settle())


async def survives(children: Children, directory: Path, never_killed: Whole, *places: str) -> Tally:
    """Kill it at these places, each in a life of its own, and let it live then.

    The last of several need not be come to: who has died before has less to do.

    Raises:
        Broken: It came to something else, had an effect twice, or paid for an answer that it had.
    """
    where, program = _new(directory), never_killed.program
    bill, tally = Bill(directory), Tally(victims=1)
    for number, place in enumerate(places, 1):
        life = Life(program=program, directory=where, name=str(number), kill=place, resume=number > 1)
        if children.die(life):
            tally.deaths[fell((directory / DIED_AT).read_text())] += 1
        elif number == 1:
            raise Broken(f"it did not come to {place!r}", directory)
        await bill.settle()
    missing = never_killed.paid - len(bill.answered)
    last = children.live(Life(program=program, directory=where, name="last", resume=True))
    await afterwards(directory, never_killed.story)
    if last.answers != never_killed.report.answers:
        raise Broken(f"answers {last.answers}, and not {never_killed.report.answers}", directory)
    if (paid := await bill.settle()) != missing:
        raise Broken(f"{paid} model calls were paid for {missing} answers that were missing", directory)
    effects = Ledger(directory / LEDGER).effects()
    tally.effects, tally.attempts = len(effects), sum(effect.attempt > 1 for effect in effects)
    return tally


def _new(directory: Path) -> str:
    directory.mkdir(parents=True)
    return str(directory)


def deaths_at(places: Sequence[str], random: Random) -> list[tuple[str, ...]]:
    """A program's deaths for each of these places; every few programs die once more, early in their second life."""
    return [
        (place,) if number % SECOND_KILL_IN else (place, f"#{random.randint(1, 12)}")
        for number, place in enumerate(places)
    ]


def one_of_each_kind(report: Report, random: Random) -> list[str]:
    """A place for each kind of step: an event of a type, an effect of a tool, a call of a model; whoever's it is."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for place in report.places:
        kind = report.kinds[place]
        if kind.startswith("effect of") and kind != "effect of model":
            kind = "effect of a tool"
        if not kind.startswith(_EVERYWHERE):
            by_kind[kind].append(place)
    return [random.choice(places) for places in by_kind.values()]


def matrix(programs: Sequence[str], seed: int, directory: Path, told: Callable[[float], None]) -> dict[str, Tally]:
    """Kill each of these programs at every place; what came of it, by program.

    Args:
        directory: Where victims live; those that broke something are left there.
        told: Hears after each victim which part of all there has been.
    """
    tallies = {name: Tally() for name in programs}
    with Children() as children:
        lives = {name: asyncio.run(whole(children, name, directory / name / "whole")) for name in programs}
        done, total = 0, sum(len(life.report.places) for life in lives.values())
        for name, never_killed in lives.items():
            for places in deaths_at(never_killed.report.places, Random(seed)):
                where = directory / name / str(done)
                try:
                    tallies[name].add(asyncio.run(survives(children, where, never_killed, *places)))
                except AssertionError as exc:
                    tallies[name].broken.append(f"{name}, killed at {', '.join(places)}: {exc}")
                else:
                    shutil.rmtree(where)
                done += 1
                told(done / total)
    return tallies
