"""The load: a program with nats-py and nothing of Treadle, which sends signals and insists until each is confirmed."""

import asyncio
import json
import logging
import time
from random import Random
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from .agents import DESK

_CONFIRM_S = 2.0
_AGAIN_S = 0.2
_log = logging.getLogger("chaos")


class Load:
    """Signals at a steady rate, each for one of `sessions` conversations.

    Attributes:
        sent_at: When each signal was first sent, by id.
        confirmed_at: When the broker said that it has it.
        retries: How often one was sent again because nobody had confirmed it.
    """

    def __init__(self, url: str, namespace: str, *, seed: int, per_second: float, sessions: int = 24) -> None:
        self.sent_at: dict[str, float] = {}
        self.confirmed_at: dict[str, float] = {}
        self.retries = 0
        self._url = url
        self._namespace = namespace
        self._random = Random(seed)
        self._per_second = per_second
        self._sessions = sessions

    async def run(self, seconds: float) -> None:
        """Send for so long; every signal is confirmed when this returns."""
        # nats-py says that its waits are ints, and takes parts of a second.
        options: dict[str, Any] = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.1, "error_cb": _note}
        client = await nats.connect(self._url.split(","), **options)  # pyright: ignore[reportUnknownMemberType]
        try:
            begun = time.monotonic()
            async with asyncio.TaskGroup() as sending:
                for number in range(int(seconds * self._per_second)):
                    await asyncio.sleep(begun + number / self._per_second - time.monotonic())
                    session = self._random.randrange(self._sessions)
                    sending.create_task(self._send(client, f"signal-{number}", session))
        finally:
            await client.close()

    async def _send(self, client: Client, signal_id: str, session: int) -> None:
        subject = f"{self._namespace}.signal.user-{session % 3}.{DESK}.conv-{session}"
        body = json.dumps({"summary": f"Settle account {signal_id}."}).encode()
        jetstream = client.jetstream(timeout=_CONFIRM_S)  # pyright: ignore[reportUnknownMemberType]
        self.sent_at[signal_id] = time.time()
        while True:
            try:
                await jetstream.publish(subject, body, headers={"Nats-Msg-Id": signal_id})
            except (nats.errors.Error, nats.js.errors.Error, OSError):
                self.retries += 1
                await asyncio.sleep(_AGAIN_S)
            else:
                self.confirmed_at[signal_id] = time.time()
                return


async def _note(error: Exception) -> None:
    _log.debug("the load's connection: %s", error)
