"""`make tree SEED=7 MINUTES=10`: a lead and fifty workers over three nodes that are killed at random, again and again.

Each round is one run of the lead. A node dies when the journal has come as far as the seed says, and is started again a
moment later. Exit code 0 only if each round ended as the run that nobody killed, and nothing was done twice, paid
twice or left open.
"""

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from hosting import namespace, outsider
from msgspec import Struct
from postgres import PostgresServer

from treadle import System
from treadle.events.journal import Journal
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.journals import open_journal

from .agents import LEDGER, PARENT
from .crew import LEAD, PLACE, WORKERS, crew
from .disturbances import NODES
from .examination import read
from .family import complaints, has_ended
from .ledger import Ledger
from .parts import Node
from .site import until_up

ENDS_WITHIN_S = 120.0
MOST_KILLS = 12
LAST_KILL = 900
"""How many events the journal has, at most, when the last node is killed: a run that nobody kills leaves about 1050."""

AWAY_S = 1.5
"""How long a node that was killed stays away, at most."""

_PROMPT = "Charge them all."
_log = logging.getLogger("chaos")


class Outcome(Struct, frozen=True):
    """What came of one round.

    Attributes:
        kills: Which node was killed when the journal had how many events.
        broken: What should not be.
    """

    kills: list[tuple[str, int]]
    seconds: float
    broken: list[str]


def node_of(name: str, directory: Path, options: Mapping[str, str], environment: Mapping[str, str]) -> Node:
    """One that hosts the lead and some of the workers."""
    outside = {LEDGER: str(directory / "ledger"), PARENT: str(os.getpid())}
    return Node(name, directory, options, {**outside, **environment}, "cluster.crew:agents")


async def answer_of_whole(directory: Path, *, persistent: bool) -> str:
    """The answer of the run that nobody kills: in one process."""
    async with System() as system:
        lead, *workers = crew(Ledger(directory / "whole"), WORKERS, persistent=persistent)
        for worker in workers:
            system.host(worker)
        return (await system.host(lead).run(_PROMPT, user_id="alice")).output


async def fell(directory: Path, journal_url: str, nats_url: str, *, seed: int, kills: int, persistent: bool) -> Outcome:
    """One run of the lead, with so many kills on its way."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    expected, space = await answer_of_whole(directory, persistent=persistent), namespace()
    options = {"--nats": nats_url, "--journal": journal_url, "--namespace": space}
    done: list[tuple[str, int]] = []
    async with AsyncExitStack() as stack:
        nodes: dict[str, Node] = {}
        for number, name in enumerate(NODES):
            place = f"{number}/{len(NODES)}/{'kept' if persistent else 'anew'}"
            nodes[name] = node_of(name, directory, options, {PLACE: place})
            await nodes[name].start()
            stack.push_async_callback(nodes[name].kill)
        await until_up(nodes)
        journal = await open_journal(journal_url)
        stack.push_async_callback(journal.close)
        begun = time.monotonic()
        async with outsider(nats_url, space) as client:
            await client.signal(f"alice.{LEAD}.conv", {"summary": _PROMPT}, {"Nats-Msg-Id": "go"})
        felling = asyncio.create_task(_fell(nodes, journal, Random(seed), kills, done))
        left: list[str] = []
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await _until_ended(journal)
        except TimeoutError:
            left.append(f"after {ENDS_WITHIN_S:g} s the lead has not come to its end")
            for node in nodes.values():
                node.tell()
        seconds = time.monotonic() - begun
        felling.cancel()
        await asyncio.wait((felling,))
        if not felling.cancelled():
            felling.result()
        history = await read(journal)
        if broken := [*left, *complaints(history, Ledger(directory / "ledger").effects(), expected)]:
            lines = [f"{at.at.isoformat()} {at.position} {at.stream} {at.version} {at.event}" for at in history.events]
            (directory / "journal").write_text("\n".join(lines))
        return Outcome(done, seconds, broken)


async def _fell(
    nodes: Mapping[str, Node], journal: Journal, random: Random, kills: int, done: list[tuple[str, int]]
) -> None:
    locks = {name: asyncio.Lock() for name in nodes}
    async with asyncio.TaskGroup() as felling:
        for position in sorted(random.sample(range(1, LAST_KILL), kills)):
            name, away_s = random.choice(NODES), random.uniform(0, AWAY_S)
            while (reached := await journal.last_position()) < position:
                await journal.wait(reached)
            done.append((name, reached))
            felling.create_task(_kill(nodes[name], locks[name], away_s))


async def _kill(node: Node, alone: asyncio.Lock, away_s: float) -> None:
    async with alone:
        await node.kill()
        await asyncio.sleep(away_s)
        await node.start()


async def _until_ended(journal: Journal) -> None:
    while True:
        position = await journal.last_position()
        if has_ended(await read(journal)):
            return
        await journal.wait(position)


async def _rounds(directory: Path, seed: int, minutes: float) -> int:
    """Rounds for so long; how many of them broke something."""
    server, postgres = EmbeddedServer(directory / "nats"), PostgresServer()
    until, broken = time.monotonic() + 60 * minutes, 0
    try:
        await server.start()
        await asyncio.to_thread(postgres.start)
        number = 0
        while time.monotonic() < until:
            random = Random(f"{seed}/{number}")
            postgres.execute(f"CREATE DATABASE tree_{number}")
            home, kills, persistent = directory / f"round-{number}", random.randint(3, MOST_KILLS), number % 2 == 0
            outcome = await fell(
                home, postgres.url(f"tree_{number}"), server.url, seed=random.randrange(2**32), kills=kills,
                persistent=persistent,
            )  # fmt: skip
            killed = ", ".join(f"{name} at {position}" for name, position in outcome.kills)
            _log.info("round %d: %.1f s; killed %s; %s", number, outcome.seconds, killed, outcome.broken or "all well")
            broken += bool(outcome.broken)
            number += 1
    finally:
        await server.kill()
        await asyncio.to_thread(postgres.stop)
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cluster.tree", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed kills the same nodes at the same places")
    parser.add_argument("--minutes", type=float, default=10.0)
    asked = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    _log.setLevel(logging.INFO)
    directory = Path(tempfile.mkdtemp(prefix="treadle-tree-"))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes; everything is in {directory}", flush=True)
    if broken := asyncio.run(_rounds(directory, asked.seed, asked.minutes)):
        print(f"{broken} rounds broke something")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
