"""Nodes, slices and runs as processes of a discrete-event simulation.

A signal comes to the node that has its partition. Each step of its run takes the node's only core, then waits for a
commit: the node's writer takes all that waits, gets the lock of the slice's database, holds it for as long as so many
events take, and lets them go on. Models take their time without holding anything. What has committed is folded and
published by the node that leads the slice, which takes its core, too.

A slice is a journal with a database of its own. With one slice this is Treadle as it is; with several it is what
docs/scaling.md says would have to be built.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from random import Random
from statistics import quantiles
from typing import Any

import simpy

from simulation.figures import Figures

Process = Generator[simpy.Event, Any, None]

MODEL_S = 2.0
"""Mean time of a model call; what it is matters little here, but for how many runs are under way."""

NETWORK_MS = 0.3
"""A round trip between a node and its database, in one zone."""


@dataclass(frozen=True)
class Deployment:
    """What is simulated.

    Attributes:
        runs_s: Signals a second, at random moments.
        partitions: Of the signals; a node has a whole number of them.
    """

    runs_s: float
    nodes: int
    slices: int = 1
    partitions: int = 32


@dataclass
class Outcome:
    """What came of it, after the system had filled.

    Attributes:
        started_s: From a signal to `run.started` on disk, for each run.
        batches: Events of each commit.
        locked, folding, node: How busy the busiest lock, folder and node were. A lock may always be: commits grow.
        arrived, ended: Signals, and runs that ended meanwhile.
    """

    started_s: list[float] = field(default_factory=list[float])
    batches: list[int] = field(default_factory=list[int])
    locked: float = 0.0
    folding: float = 0.0
    node: float = 0.0
    arrived: int = 0
    ended: int = 0

    def percentile(self, percent: int) -> float:
        return quantiles(self.started_s, n=100)[percent - 1]

    @property
    def keeps_up(self) -> bool:
        return max(self.folding, self.node) < 0.97 and self.ended > 0.9 * self.arrived


class Station:
    """Something that does one thing at a time, and how long it was at it."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._resource = simpy.Resource(env, capacity=1)
        self.busy_s = 0.0

    def work(self, seconds: float) -> Process:
        with self._resource.request() as turn:
            yield turn
            yield self._env.timeout(seconds)
            self.busy_s += seconds


class Writer:
    """A node's writer to one slice: what waits shares a commit."""

    def __init__(self, cluster: Cluster, lock: Station) -> None:
        self._cluster = cluster
        self._lock = lock
        self._waiting: list[tuple[int, simpy.Event]] = []
        self._wanted = cluster.env.event()
        cluster.env.process(self._write())

    def append(self, events: int) -> simpy.Event:
        """Succeeds when they are on disk."""
        stored = self._cluster.env.event()
        self._waiting.append((events, stored))
        if not self._wanted.triggered:
            self._wanted.succeed()
        return stored

    def _write(self) -> Process:
        cluster = self._cluster
        while True:
            yield self._wanted
            self._wanted = cluster.env.event()
            batch, self._waiting = self._waiting, []
            events = sum(count for count, _ in batch)
            yield from self._lock.work(cluster.figures.commit.seconds(events, NETWORK_MS))
            cluster.outcome.batches.append(events)
            for _, stored in batch:
                stored.succeed()


class Cluster:
    """A deployment under load."""

    def __init__(self, deployment: Deployment, figures: Figures, seed: int = 1) -> None:
        self.env = simpy.Environment()
        self.figures = figures
        self.outcome = Outcome()
        self._deployment = deployment
        self._chance = Random(seed)
        self._nodes = [Station(self.env) for _ in range(deployment.nodes)]
        self._locks = [Station(self.env) for _ in range(deployment.slices)]
        self._folders = [Station(self.env) for _ in range(deployment.slices)]
        self._writers = {
            (node, part): Writer(self, self._locks[part])
            for node in range(deployment.nodes)
            for part in range(deployment.slices)
        }

    def run(self, seconds: float, warm_up_s: float) -> Outcome:
        """Simulate so many seconds after a warm-up that does not count."""
        self.env.process(self._signals())
        self.env.run(until=warm_up_s)
        stations = [*self._nodes, *self._locks, *self._folders]
        before = [station.busy_s for station in stations]
        self.outcome = Outcome()
        self.env.run(until=warm_up_s + seconds)
        busy = [(station.busy_s - was) / seconds for station, was in zip(stations, before, strict=True)]
        nodes, slices = self._deployment.nodes, self._deployment.slices
        self.outcome.node = max(busy[:nodes])
        self.outcome.locked = max(busy[nodes : nodes + slices])
        self.outcome.folding = max(busy[nodes + slices :])
        return self.outcome

    def _signals(self) -> Process:
        while True:
            yield self.env.timeout(self._chance.expovariate(self._deployment.runs_s))
            self.outcome.arrived += 1
            partition = self._chance.randrange(self._deployment.partitions)
            self.env.process(self._run(partition % self._deployment.nodes, partition % self._deployment.slices))

    def _run(self, node: int, part: int) -> Process:
        run, began = self.figures.run, self.env.now
        step_s = run.cpu_ms / 1e3 / run.commits
        for number in range(run.commits):
            yield from self._nodes[node].work(step_s)
            yield self._writers[node, part].append(run.events // run.commits + (number < run.events % run.commits))
            if number == 0:
                self.outcome.started_s.append(self.env.now - began)
            if number % 2 == 0:
                yield self.env.timeout(self._chance.expovariate(1 / MODEL_S))
        self.outcome.ended += 1
        self.env.process(self._folders[part].work(run.events / self.figures.leading.fold_events_s))
        leader = self._nodes[part % len(self._nodes)]
        self.env.process(leader.work(run.events * self.figures.leading.cpu_event_us / 1e6))
