"""Patience at the start: a cluster that starts has no leaders yet, and its streams are laid by whoever is first."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...events.errors import Unavailable
from ...events.logs import get_logger

START_S = 20.0
"""How long a node that starts waits for its server to serve: longer than an election takes."""

_PAUSE_S = 0.25
_log = get_logger("treadle.nats")

T = TypeVar("T")


async def patiently(attempt: Callable[[], Awaitable[T]], within_s: float = START_S) -> T:
    """What `attempt` returns, tried again while it is `Unavailable`.

    Raises:
        Unavailable: Still, after `within_s` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        try:
            return await attempt()
        except Unavailable as exc:
            if loop.time() > deadline:
                raise
            _log.info("tried again until it serves: %s", exc)
            await asyncio.sleep(_PAUSE_S)
