"""Waiting in tests: for a condition, with a deadline, and never for a while."""

import asyncio
from collections.abc import Callable

DEADLINE_S = 5.0


async def until(condition: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    """Let the others run until `condition` holds.

    Raises:
        TimeoutError: It does not hold within `within_s` seconds.
    """
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event, or is the event's own test
            await asyncio.sleep(0.002)
