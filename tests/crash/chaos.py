"""Chaos: programs are killed at random, over and over, and every one must end as if nothing had happened.

A victim is one program on one journal. It is killed one to five times in a row, at a random place or after a random
time, then left to live to its end, and once more to see that there is nothing left to do. The same seed kills the same
programs at the same places; where a random time falls is the machine's affair.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from treadle.gateways.broker.server import EmbeddedServer

from .afterwards import Story, afterwards
from .bill import Bill
from .children import DIED_AT, Children, Life, Report
from .ledger import Ledger
from .programs import LEDGER, OVER_NATS, programs
from .systems import send_signal
from .tally import Tally, fell

MOST_DEATHS = 5
LIFE_S = 0.06
"""About what a life takes: random times are drawn up to here."""


def storm(
    seed: int,
    kills: int,
    directory: Path,
    told: Callable[[int], None] = lambda deaths: None,
    among: Collection[str] = (),
) -> dict[str, Tally]:
    """Kill until `kills` have died; what came of it, by program.

    Args:
        directory: Where victims live; those that broke something are left there.
        told: Hears after each victim how many have died.
        among: Which programs; none for all but those of architectures.
    """
    random = Random(seed)
    chosen = list(among or programs())
    tallies = {name: Tally() for name in chosen}
    with Children() as children, _server(directory / "nats") as nats:
        whole = {name: _whole(children, name, directory / f"whole-{index}", nats) for index, name in enumerate(chosen)}
        died = number = 0
        while died < kills:
            name = random.choice(chosen)
            dice = Random(random.random())
            tally = _victim(children, name, directory / f"victim-{number}", nats, dice, *whole[name])
            tallies[name].add(tally)
            died += tally.deaths.total()
            number += 1
            told(died)
    return tallies


@contextmanager
def _server(directory: Path) -> Generator[str]:
    """The URL of a NATS server that nobody kills."""
    server = EmbeddedServer(directory)
    asyncio.run(server.start())
    try:
        yield server.url
    finally:
        asyncio.run(server.stop())


def _prepare(program: str, directory: Path, nats: str) -> None:
    directory.mkdir(parents=True)
    if program == OVER_NATS:
        asyncio.run(send_signal(nats, directory.name, "Settle the account."))


def _whole(children: Children, program: str, directory: Path, nats: str) -> tuple[Report, Story]:
    _prepare(program, directory, nats)
    report = children.live(Life(program=program, directory=str(directory), nats=nats))
    return report, asyncio.run(afterwards(directory))


def _victim(
    children: Children, program: str, directory: Path, nats: str, random: Random, whole: Report, story: Story
) -> Tally:
    _prepare(program, directory, nats)
    tally, bill = Tally(victims=1), Bill(directory)
    where = str(directory)
    try:
        for life in range(random.randint(1, MOST_DEATHS)):
            here, after_s = _place(whole.places, life, random), random.uniform(0, LIFE_S)
            at_a_place = random.random() < 0.7
            killed = children.die(
                Life(program=program, directory=where, nats=nats, resume=life > 0, kill=here if at_a_place else ""),
                None if at_a_place else after_s,
            )
            if not killed:
                break  # it came to its end before
            tally.deaths[fell((directory / DIED_AT).read_text()) if at_a_place else "any moment"] += 1
            asyncio.run(bill.settle())
        for name in ("resumed", "once more"):
            report = children.live(Life(program=program, directory=where, nats=nats, name=name, resume=True))
            asyncio.run(afterwards(directory, story))
            asyncio.run(bill.settle())
            if report.answers != whole.answers:
                raise AssertionError(f"answers {report.answers}, not {whole.answers}, in {directory}")
    except AssertionError as exc:
        tally.broken.append(f"{program}: {exc}")
        return tally
    effects = Ledger(directory / LEDGER).effects()
    tally.effects = len(effects)
    tally.attempts = sum(effect.attempt > 1 for effect in effects)
    shutil.rmtree(directory)
    return tally


def _place(places: Sequence[str], life: int, random: Random) -> str:
    if life > 0:
        # It has less to do than the whole: its places are among the first, whatever their names.
        return f"#{random.randint(1, len(places) // 2)}"
    # Every kind of place as often as any other, though there are more appends than effects.
    kind = random.choice(sorted({fell(place) for place in places}))
    return random.choice([place for place in places if fell(place) == kind])
