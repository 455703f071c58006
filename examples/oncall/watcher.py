"""The watcher: follows the desk's events over NATS alone, and finds out whether they are complete. It knows nothing of
Treadle.

    treadle.event.oncall.>      every recorded event, from JetStream, and on from where it was after an outage
    treadle.ask.history         when a run has ended: the same run as the journal has it

Versions of a stream are 1, 2, 3 …: a number left out is a gap, a number that comes twice a double. `watched.jsonl` gets
the events byte by byte. Ends on SIGTERM, when the history of every ended run was compared, and leaves `watched.json`.
"""

import asyncio
import json
import signal
from dataclasses import asdict, dataclass, field
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError

from .connection import connect, jetstream, say
from .place import EVENTS, Place, here

DEADLINE_S = 120.0
PATIENCE_S = 8.0
"""How long the last histories are asked for when it is to end."""

CLOSED = {"run.completed", "run.failed", "run.cancelled", "run.interrupted"}


@dataclass
class Verdict:
    """What the watcher has to say.

    Attributes:
        compared: Runs whose history was asked for and is the same, event by event.
        differing: Runs whose history is not what was watched.
        unfinished: Runs that began and did not end, or whose history nobody answered.
    """

    events: int = 0
    streams: int = 0
    reconnects: int = 0
    gaps: list[str] = field(default_factory=list[str])
    doubles: list[str] = field(default_factory=list[str])
    compared: list[str] = field(default_factory=list[str])
    differing: list[str] = field(default_factory=list[str])
    unfinished: list[str] = field(default_factory=list[str])


class Watcher:
    """Follows, counts, compares."""

    def __init__(self, place: Place, client: Client) -> None:
        self._place = place
        self._client = client
        self._out = place.watched.open("ab")
        self._seen: dict[str, list[str]] = {}
        self._ended: list[str] = []
        self._sequence = 0
        self.verdict = Verdict()

    async def run(self, ended: asyncio.Event) -> None:
        async with asyncio.timeout(DEADLINE_S):
            following = asyncio.create_task(self._follow())
            while not ended.is_set():
                await self._compare_next()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while self._ended:
                        await self._compare_next()
            except TimeoutError:
                pass  # what is left counts as unfinished
            following.cancel()
            await asyncio.wait((following,))
        verdict = self.verdict
        done = {*verdict.compared, *verdict.differing}
        runs = (stream.removeprefix("run-") for stream in self._seen if stream.startswith("run-"))
        verdict.unfinished = [run_id for run_id in runs if run_id not in done]
        verdict.streams, verdict.reconnects = len(self._seen), self._client.stats["reconnects"]
        self._place.verdict.write_text(json.dumps(asdict(verdict), indent=2), "utf-8")

    async def _follow(self) -> None:
        """Read the stream from where we are; after an outage with a new consumer, since the old one may be gone."""
        js = jetstream(self._client)
        while True:
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._sequence + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=30.0,
            )
            try:
                events = await js.pull_subscribe(EVENTS, stream="EVENTS", config=config)
                lived = self._client.stats["reconnects"]
                while self._client.is_connected and self._client.stats["reconnects"] == lived:
                    try:
                        page = await events.fetch(100, timeout=0.5)
                    except TimeoutError:
                        continue  # nothing new
                    for message in page:
                        self._sequence = message.metadata.sequence.stream
                        self._take(message.data)
                await events.unsubscribe()
            except (nats.errors.Error, JetStreamError, TimeoutError) as exc:
                await say(exc)
            await asyncio.sleep(0.05)

    def _take(self, data: bytes) -> None:
        event: dict[str, Any] = json.loads(data)
        stream, version = event["stream"], event["version"]
        ids = self._seen.setdefault(stream, [])
        if version <= len(ids):
            self.verdict.doubles.append(f"{stream} {version}")
            return
        if version > len(ids) + 1:
            self.verdict.gaps.append(f"{stream} {len(ids) + 1} to {version - 1}")
            ids.extend([""] * (version - 1 - len(ids)))
        ids.append(event["id"])
        self.verdict.events += 1
        self._out.write(data + b"\n")
        self._out.flush()
        if event["type"] in CLOSED:
            self._ended.append(stream.removeprefix("run-"))

    async def _compare_next(self) -> None:
        """Ask for the history of a run that has ended, and lay it beside what we saw of it."""
        if not self._ended:
            await asyncio.sleep(0.05)
            return
        run_id = self._ended[0]
        try:
            told = await self._history(run_id)
        except (nats.errors.Error, TimeoutError, ValueError) as exc:
            await say(exc)
            await asyncio.sleep(0.1)
            return
        self._ended.pop(0)
        same = told == self._seen[f"run-{run_id}"]
        (self.verdict.compared if same else self.verdict.differing).append(run_id)

    async def _history(self, run_id: str) -> list[str]:
        """The ids of a run's events, in order.

        Raises:
            ValueError: The service answered with an error.
        """
        ids: list[str] = []
        while True:
            ask = {"run_id": run_id, "after": len(ids)}
            reply = await self._client.request("treadle.ask.history", json.dumps(ask).encode(), timeout=2.0)
            if reply.headers and "Nats-Service-Error" in reply.headers:
                raise ValueError(reply.headers["Nats-Service-Error"])
            page = json.loads(reply.data)
            ids += [event["id"] for event in page["events"]]
            if not page["more"]:
                return ids


async def main() -> None:
    place, ended = here(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    client = await connect(place)
    try:
        await Watcher(place, client).run(ended)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
