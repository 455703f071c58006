"""A storm: load, disturbances, a calm in which everything must come to its end, and the examination."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from treadle.events.envelope import Recorded
from treadle.events.run import RunStarted, RunTakenOver
from treadle.events.tool_step import ToolFailed, ToolOutcomeUnknown

from .disturbances import Disturbance, perform
from .examination import examine, until_settled
from .history import Charges
from .load import Load
from .site import NAMESPACE, Site


class Outcome(Struct, frozen=True):
    """What came of a storm.

    Attributes:
        sent_again: Signals that nobody had confirmed.
        disturbances: How many there were, by what was done to what.
        fell: How often a node ended by itself and was started again.
        repeated: Calls of models and tools that were begun again, since nobody knew of the first.
        miscounted: Model calls that a former owner had charged twice, or not at all.
        failed: Tool calls whose end is a failure, or not known: a delegation in an outage, which its model was told of.
        slowest_s: From sending a signal to the end of its run.
        settled_s: From the end of the storm until everything had come to its end.
        broken: What should not be.
    """

    signals: int
    sent_again: int
    runs: int
    events: int
    effects: int
    disturbances: dict[str, int]
    fell: int
    takeovers: int
    repeated: int
    miscounted: int
    failed: int
    slowest_s: float
    median_s: float
    settled_s: float
    broken: list[str]

    def lines(self) -> list[str]:
        """For people."""
        done = ", ".join(f"{count} × {what}" for what, count in sorted(self.disturbances.items()))
        return [
            f"{self.signals} signals, {self.sent_again} sent again; {self.runs} runs, {self.events} events, "
            f"{self.effects} effects",
            f"{done or 'no disturbances'}; nodes fell {self.fell} times",
            f"{self.takeovers} take-overs, {self.repeated} calls begun again, {self.miscounted} charged wrongly, "
            f"{self.failed} failed",
            f"signal to the end of its run: median {self.median_s:.1f} s, slowest {self.slowest_s:.1f} s; "
            f"all settled {self.settled_s:.1f} s after the storm",
            *(self.broken or ["nothing is broken"]),
        ]


async def storm(
    directory: Path,
    disturbances: Sequence[Disturbance],
    *,
    seconds: float,
    per_second: float,
    calm_s: float,
    seed: int = 1,
) -> Outcome:
    """Send signals for `seconds` while all this is done, then give the site `calm_s` to come to its end."""
    async with Site(directory) as site:
        load = Load(site.nats.url, NAMESPACE, seed=seed, per_second=per_second)
        await site.until_up()
        async with asyncio.TaskGroup() as raging:
            raging.create_task(load.run(seconds))
            raging.create_task(perform(disturbances, site.parts))
        over = time.monotonic()
        left = await until_settled(site, load.sent_at, calm_s)
        settled_s = time.monotonic() - over
        if left:
            for node in site.nodes.values():
                node.tell()
        await site.stop_nodes()
        history, broken = await examine(site, load.sent_at)
        if broken := [*left, *broken]:
            (directory / "journal").write_text("\n".join(map(_said, history.events)))
        ended = history.ended_at()
        took = sorted(ended[signal] - at for signal, at in load.sent_at.items() if signal in ended) or [0.0]
        return Outcome(
            signals=len(load.sent_at),
            sent_again=load.retries,
            runs=history.count(RunStarted),
            events=len(history.events),
            effects=len(site.ledger.effects()),
            disturbances=dict(Counter(f"{d.what} {_kinds(d.whom)}" for d in disturbances)),
            fell=sum(node.fell for node in site.nodes.values()),
            takeovers=history.count(RunTakenOver),
            repeated=history.repeated,
            miscounted=Charges(history).after_take_over,
            failed=history.count(ToolFailed, ToolOutcomeUnknown),
            slowest_s=took[-1],
            median_s=took[len(took) // 2],
            settled_s=settled_s,
            broken=broken,
        )


def _said(recorded: Recorded) -> str:
    """A line, for whoever looks for the cause."""
    return f"{recorded.at.isoformat()} {recorded.position} {recorded.stream} {recorded.version} {recorded.event}"


def _kinds(whom: Sequence[str]) -> str:
    return " and ".join(name.partition("-")[0] for name in whom)
