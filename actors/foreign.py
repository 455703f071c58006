"""Code that is not ours, called in a task of ours: tools, models, approval handlers.

What it raises must not be taken for what the event loop says to us: a `CancelledError` of its own for a wish to
cancel the run, a `SystemExit` for the end of the process.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def contained(foreign: Awaitable[T]) -> T:
    """What `foreign` returns or raises; what is no `Exception` becomes one, unless it is this task's cancellation."""
    try:
        return await foreign
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError(f"it raised {exc!r}, and nobody had cancelled it") from exc
    except (SystemExit, KeyboardInterrupt, BaseExceptionGroup) as exc:
        # Not `GeneratorExit`: whoever closes this coroutine wants it to end.
        if isinstance(exc, Exception):
            raise
        raise RuntimeError(f"it raised {exc!r}") from exc
