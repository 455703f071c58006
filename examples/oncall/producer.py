"""The producer: looks at the machine and tells the desk, over NATS alone. It knows nothing of Treadle.

    treadle.signal.oncall.desk.<topic>      {"id": …, "summary": …, "payload": {…}}

A signal is kept until JetStream has acknowledged it, and sent again under the same id until then: what was seen while
the server was down arrives when it is back. `published.jsonl` has one line when a signal is `observed` and one when it
is `accepted`. Ends on SIGTERM, when everything it saw was accepted.
"""

import asyncio
import json
import signal
import socket
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any, cast

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from . import readings
from .connection import connect, jetstream
from .place import AGENT, USER, Place, here

PACE_S = 0.4
"""Seconds between two looks."""

DEADLINE_S = 120.0
"""Nobody told it to end: whoever started it is gone."""

Look = Callable[[Place], Awaitable[readings.Reading]]


async def _load(place: Place) -> readings.Reading:
    return readings.load()


async def _disk(place: Place) -> readings.Reading:
    return readings.disk(place.directory)


async def _memory(place: Place) -> readings.Reading:
    return readings.memory()


async def _journal(place: Place) -> readings.Reading:
    """The journal, and how far NATS is behind it: every published event carries its position."""
    return await asyncio.to_thread(readings.journal, place.journal)


async def _log(place: Place) -> readings.Reading:
    return readings.log(place.server_log())


LOOKS: dict[str, tuple[Look, str]] = {
    "load": (_load, "Load is {load_1m} on {cpus} processors."),
    "server": (readings.server, "nats-server {version}, up {uptime}, has {connections} connections."),
    "disk": (_disk, "The disk is {used_percent} % full."),
    "streams": (readings.streams, "JetStream stores {stored_kb} kB."),
    "memory": (_memory, "{available_percent} % of the memory is available."),
    "journal": (_journal, "The journal is at position {position}; NATS is {lag} behind."),
    "log": (_log, "The server's log has {errors} errors and {warnings} warnings in its last {lines} lines."),
}


class Producer:
    """Observes one topic after the other, and delivers what it saw."""

    def __init__(self, place: Place, js: JetStreamContext) -> None:
        self._place = place
        self._js = js
        self._out = place.published.open("a", encoding="utf-8")
        self._delivering: set[asyncio.Task[None]] = set()

    async def run(self, ended: asyncio.Event) -> None:
        async with asyncio.timeout(DEADLINE_S):
            for topic in cycle(LOOKS):
                await self._observe(topic)
                try:
                    await asyncio.wait_for(ended.wait(), PACE_S)
                    break
                except TimeoutError:
                    continue
            await asyncio.gather(*self._delivering)

    async def _observe(self, topic: str) -> None:
        look, summary = LOOKS[topic]
        payload: dict[str, Any] = {"topic": topic, "host": socket.gethostname()}
        try:
            reading = await look(self._place)
            if topic == "journal":
                reading["lag"] = max(0, reading["position"] - await self._told())  # told is looked up later
            text = summary.format(**reading)
        except (OSError, sqlite3.Error, nats.errors.Error, TimeoutError) as exc:
            # Not being able to look is what there is to see, and worth a signal.
            reading = {"error": f"{type(exc).__name__}: {exc}"}
            text = f"{topic.capitalize()}: no figures ({reading['error']})."
        observed = {"id": str(uuid.uuid4()), "summary": text, "source": "producer", "type": f"host.{topic}"}
        self._note("observed", id=observed["id"], topic=topic, summary=text)
        task = asyncio.create_task(self._deliver(topic, {**observed, "payload": payload | reading}))
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)

    async def _told(self) -> int:
        """The journal's position of the newest event on NATS."""
        newest = (await self._js.stream_info("EVENTS")).state.last_seq
        message = await self._js.get_msg("EVENTS", seq=newest)
        headers = cast("dict[str, str]", message.headers or {})  # pyright: ignore[reportUnknownMemberType]
        return int(headers.get("Treadle-Position", "0"))

    async def _deliver(self, topic: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        for attempt in range(1, 10_000):
            try:
                await self._js.publish(
                    f"treadle.signal.{USER}.{AGENT}.{topic}", data, timeout=1.0, headers={"Nats-Msg-Id": body["id"]}
                )
            except (nats.errors.Error, JetStreamError, TimeoutError):
                await asyncio.sleep(0.1)
            else:
                self._note("accepted", id=body["id"], attempts=attempt)
                return

    def _note(self, what: str, **more: Any) -> None:
        self._out.write(json.dumps({"what": what, **more, "at": time.time()}) + "\n")
        self._out.flush()


async def main() -> None:
    place, ended = here(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    client = await connect(place)
    try:
        await Producer(place, jetstream(client)).run(ended)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
