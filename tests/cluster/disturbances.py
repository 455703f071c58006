"""Disturbances: what is done to which part, when, and for how long. A seed and a length make a script of them.

Whatever is killed or stopped is started again, and whatever is paused goes on: nothing is lost but time. Among what is
drawn is the loss of the NATS quorum (two servers of three) and of two nodes of three at once.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Literal, NamedTuple, Protocol

from nats_cluster import NAMES

What = Literal["kill", "pause", "stop"]

NODES = ("node-1", "node-2", "node-3")
SERVERS = tuple(f"nats-{name}" for name in NAMES)
POSTGRESQL = "postgresql"

_LONGEST_GAP_S = 8.0
_CALM_S = 3.0
"""How long a kind of part is left alone after it is back, unless it is a node."""

_log = logging.getLogger("chaos")


class Disturbance(NamedTuple):
    """At `at_s` seconds after the begin, `what` is done to all of `whom`, and is made good `for_s` seconds later."""

    at_s: float
    what: What
    whom: tuple[str, ...]
    for_s: float

    def __str__(self) -> str:
        return f"{self.what} {' and '.join(self.whom)} for {self.for_s:.1f} s"


class Part(Protocol):
    """What can be disturbed: a process, or several that live and die together."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None:
        """Bring it back after `kill` or `stop`."""
        ...

    async def kill(self) -> None:
        """SIGKILL."""
        ...

    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        ...

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody answers."""
        ...

    def resume(self) -> None:
        """SIGCONT."""
        ...


class Act(NamedTuple):
    """A kind of disturbance: to `how_many` parts whose names begin with `kind`, for a time between two bounds."""

    what: What
    kind: str
    how_many: int
    shortest_s: float
    longest_s: float


ACTS = (
    Act("kill", "node", 1, 0.1, 10),
    Act("pause", "node", 1, 0.5, 60),
    Act("stop", "node", 1, 0.1, 5),
    Act("kill", "node", 2, 0.1, 10),
    Act("pause", "node", 2, 0.5, 20),
    Act("kill", "nats", 1, 0.1, 20),
    Act("pause", "nats", 1, 0.5, 20),
    Act("stop", "nats", 1, 0.1, 10),
    Act("kill", "nats", 2, 0.1, 15),
    Act("pause", "nats", 2, 0.5, 15),
    Act("kill", "postgresql", 1, 0.1, 10),
    Act("stop", "postgresql", 1, 0.1, 10),
    Act("pause", "postgresql", 1, 0.5, 20),
)
"""What the long storm draws from: each comes before any comes twice."""


def script(seed: int, seconds: float) -> list[Disturbance]:
    """The disturbances of a storm that begins its last one before `seconds`. The same seed gives the same."""
    random = Random(seed)
    back_at = dict.fromkeys((*NODES, *SERVERS, POSTGRESQL), 0.0)
    found: list[Disturbance] = []
    at_s = random.uniform(1, 3)
    for act in _dealt(random):
        those = [part for part in back_at if part.startswith(act.kind)]
        # Nodes may be away together; of the others one disturbance at a time, so that each is what it says it is.
        calm_at = sorted(back_at[part] for part in those)[act.how_many - 1]
        at_s = max(at_s, calm_at if act.kind == "node" else max(back_at[part] for part in those) + _CALM_S)
        if at_s > seconds:
            return found
        free = [part for part in those if back_at[part] <= at_s]
        whom = tuple(sorted(random.sample(free, act.how_many)))
        for_s = math.exp(random.uniform(math.log(act.shortest_s), math.log(act.longest_s)))
        found.append(Disturbance(at_s, act.what, whom, for_s))
        back_at.update(dict.fromkeys(whom, at_s + for_s))
        at_s += random.uniform(1, _LONGEST_GAP_S)
    return found


def brief(seed: int) -> list[Disturbance]:
    """A storm of fourteen seconds: a node that sleeps for longer than its leases last, and one of each that matters."""
    random = Random(seed)
    sleeper, killed, stopped = random.sample(NODES, 3)
    server = random.choice(SERVERS)
    return [
        Disturbance(2.0, "pause", (sleeper,), 11.5),
        Disturbance(random.uniform(3, 4), "kill", (killed,), 1.0),
        Disturbance(random.uniform(5, 6), "kill", (server,), 2.0),
        Disturbance(random.uniform(8.5, 9.5), "kill", (POSTGRESQL,), 0.5),
        Disturbance(random.uniform(12, 13), "stop", (stopped,), 0.5),
    ]


def _dealt(random: Random) -> Iterator[Act]:
    while True:
        yield from random.sample(ACTS, len(ACTS))


async def perform(disturbances: Sequence[Disturbance], parts: Mapping[str, Part]) -> None:
    """Do them, each at its time; everything is made good when this returns."""
    begun = time.monotonic()
    # A node that drains may be longer on its way than planned, and is not killed twice.
    locks = {name: asyncio.Lock() for name in parts}
    async with asyncio.TaskGroup() as doing:
        for disturbance in disturbances:
            await asyncio.sleep(begun + disturbance.at_s - time.monotonic())
            doing.create_task(_disturb(disturbance, parts, locks, begun))


async def _disturb(
    disturbance: Disturbance, parts: Mapping[str, Part], locks: Mapping[str, asyncio.Lock], begun: float
) -> None:
    async with AsyncExitStack() as alone:
        for name in disturbance.whom:
            await alone.enter_async_context(locks[name])
        _log.info("%6.1f s  %s", time.monotonic() - begun, disturbance)
        whom = [parts[name] for name in disturbance.whom]
        match disturbance.what:
            case "pause":
                for part in whom:
                    part.pause()
            case "kill":
                await asyncio.gather(*(part.kill() for part in whom))
            case "stop":
                await asyncio.gather(*(part.stop() for part in whom))
        await asyncio.sleep(disturbance.for_s)
        if disturbance.what == "pause":
            for part in whom:
                part.resume()
        else:
            await asyncio.gather(*(part.start() for part in whom))
        _log.info("%6.1f s  %s back", time.monotonic() - begun, " and ".join(disturbance.whom))
