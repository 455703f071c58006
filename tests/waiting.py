"""Waiting in tests: for a condition, with a deadline, and never for a while."""

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE_S = 20.0
"""Nobody who passes waits so long, and a machine that has much else to do shall not fail a test."""


async def until(condition: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    """Let the others run until `condition` holds.

    Raises:
        TimeoutError: It does not hold within `within_s` seconds.
    """
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event, or is the event's own test
            await asyncio.sleep(0.002)


async def until_asked(question: Callable[[], Awaitable[bool]], within_s: float = DEADLINE_S) -> None:
    """Ask somebody, again and again, until the answer is yes.

    Raises:
        TimeoutError: It is not within `within_s` seconds.
    """
    async with asyncio.timeout(within_s):
        while not await question():  # noqa: ASYNC110 - who is asked has no event to wait for
            await asyncio.sleep(0.02)
