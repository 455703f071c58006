"""Code that is not ours, called in a task of ours: tools, models, approval handlers.

What it raises must not be taken for what the event loop says to us: a `CancelledError` of its own for a wish to
cancel the run, a `SystemExit` for the end of the process.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

GRACE_S = 2.0
"""How long code that was cancelled may take to end. What does not end then is left to itself."""

_log = logging.getLogger("treadle.actors")
_abandoned: set[asyncio.Task[Any]] = set()


async def contained(foreign: Awaitable[T]) -> T:
    """What `foreign` returns or raises; what is no `Exception` becomes one.

    It runs in a task of its own, so cancelling this one ends the wait even when the code ignores that it is cancelled.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[_Outcome] = loop.create_future()
    task = loop.create_task(_run(foreign, told))
    try:
        outcome = await told
    except asyncio.CancelledError:
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)
        task.cancel()
        await asyncio.wait((task,), timeout=GRACE_S)
        if not task.done():
            _log.warning("code that was cancelled did not end within %g s and is left to itself: %r", GRACE_S, foreign)
        raise
    error = outcome.error
    if error is None:
        result: T = outcome.result
        return result
    if isinstance(error, Exception):
        raise error
    why = "and nobody had cancelled it" if isinstance(error, asyncio.CancelledError) else "which is no Exception"
    raise RuntimeError(f"it raised {error!r}, {why}") from error


class _Outcome(NamedTuple):
    """The result or what was raised, as a value: a task may not carry every exception."""

    result: Any
    error: BaseException | None = None


async def _run(foreign: Awaitable[Any], told: "asyncio.Future[_Outcome]") -> None:
    try:
        outcome = _Outcome(await foreign)
    except BaseException as exc:
        outcome = _Outcome(None, exc)
    if not told.done():
        told.set_result(outcome)
