"""How long the signals of a node wait that is no more, until another one goes on with them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from statistics import quantiles
from typing import NamedTuple, TypeAlias

import simpy

from simulation.cluster import Process
from simulation.figures import Failover

Wait: TypeAlias = Callable[[simpy.Environment, Random], Process]
TRIES = 2000


class Waits(NamedTuple):
    """Seconds: half of the signals wait less than `p50`, one in a hundred more than `p99`."""

    p50: float
    p99: float


def new_signals(settings: Failover, *, drained: bool = False) -> Waits:
    """Of signals for the node's partitions that come right after its end: until a node that lives takes them."""

    def wait(env: simpy.Environment, chance: Random) -> Process:
        if drained:
            yield env.timeout(chance.uniform(0, settings.drain_s))
            return
        beat_s = settings.lease_s / settings.beats
        yield env.timeout(settings.lease_s - chance.uniform(0, beat_s))  # it was renewed a while ago
        yield env.timeout(chance.uniform(0, beat_s))  # the others look at their next beat

    return _tried(wait)


def runs_under_way(settings: Failover, *, silent: bool) -> Waits:
    """Of runs that were going on: until another node goes on with them.

    Args:
        silent: The machine is gone, or paused: nobody closes its connections, and PostgreSQL has to give it up.
    """

    def wait(env: simpy.Environment, chance: Random) -> Process:
        beat_s = settings.lease_s / settings.beats
        taken = env.timeout(settings.lease_s - chance.uniform(0, beat_s) + chance.uniform(0, beat_s))
        # The broker was told that somebody is at it every third of this; then it delivers to whoever has the partition.
        delivered = env.timeout(settings.ack_wait_s - chance.uniform(0, settings.ack_wait_s / 3))
        dead = env.timeout(settings.life_s - chance.uniform(0, settings.life_s / 3) if silent else 0)
        yield simpy.AllOf(env, [taken, delivered, dead])
        if silent:
            yield env.timeout(chance.uniform(0, 1.0))  # who came before that was turned away, and comes again

    return _tried(wait)


def left_runs(settings: Failover, *, silent: bool) -> Waits:
    """Of runs that no signal brings back, those of services and prompts: until a node finds them."""

    def wait(env: simpy.Environment, chance: Random) -> Process:
        beat_s = settings.lease_s / settings.beats
        taken = env.timeout(settings.lease_s - chance.uniform(0, beat_s) + chance.uniform(0, beat_s))
        dead = env.timeout(settings.life_s - chance.uniform(0, settings.life_s / 3) if silent else 0)
        yield simpy.AllOf(env, [taken, dead])
        yield env.timeout(chance.uniform(0, settings.look_s))

    return _tried(wait)


def _tried(wait: Wait) -> Waits:
    chance, waits = Random(1), list[float]()
    env = simpy.Environment()

    def once() -> Process:
        began = env.now
        yield env.process(wait(env, chance))
        waits.append(env.now - began)

    for _ in range(TRIES):
        env.process(once())
    env.run()
    cuts = quantiles(waits, n=100)
    return Waits(cuts[49], cuts[98])
