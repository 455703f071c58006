"""Code that is not ours, called in a task that is not ours either: tools, models, approval handlers.

What it raises must not be taken for what the event loop says to us: a `CancelledError` of its own for a wish to
cancel the run, a `SystemExit` for the end of the process. And cancelling us must end our wait for it, even when it
ignores that it is cancelled.

Most calls that are quick never wait, and a task for each would cost more than they do. So the first step is done at
once, in the name of a task that stands by; one that comes to wait takes that task for its own, and the next call gets
another. Python 3.12 has eager tasks for this, which are made for every call.
"""

import asyncio
import inspect
from asyncio import AbstractEventLoop, Future
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]  (documented for loops)
from collections.abc import Callable, Coroutine, Generator
from contextlib import nullcontext
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ..events.logs import get_logger
from .deadline import Deadline

T = TypeVar("T")
P = ParamSpec("P")

GRACE_S = 2.0
"""How long code that was cancelled may take to end. What does not end then is left to itself."""

_log = get_logger("treadle.actors")
_abandoned: set[asyncio.Task[Any]] = set()


async def called(function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
    """What `function` returns, awaited if it is something to await: `contained(called(handler, question))`."""
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def contained(foreign: Coroutine[Any, Any, T], deadline: Deadline | None = None) -> T:
    """What `foreign` returns or raises; what is no `Exception` becomes one.

    Args:
        deadline: Cuts it off, and raises `TimeoutError`. Its time begins when the code first waits: before that nothing
            could cut it off.
    """
    outcome = _begin(foreign, asyncio.get_running_loop())
    if isinstance(outcome, _Going):
        with deadline or nullcontext():
            outcome = await _end_of(outcome, foreign)
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


class _Going(NamedTuple):
    """It waits for something, in a task of its own."""

    task: asyncio.Task[None]
    told: "Future[_Outcome]"


def _begin(steps: Coroutine[Any, Any, Any], loop: AbstractEventLoop) -> _Outcome | _Going:
    """Do the first step now."""
    stand_by = _standing_by.pop(loop, None) or _StandBy(loop)
    task, context = stand_by.task, copy_context()
    caller = asyncio.current_task(loop)
    assert caller is not None
    _leave_task(loop, caller)
    _enter_task(loop, task)
    try:
        waiting = context.run(steps.send, None)
    except StopIteration as end:
        outcome = _Outcome(end.value)
    except BaseException as exc:
        outcome = _Outcome(None, exc)
    else:
        return stand_by.take(steps, waiting, context)
    finally:
        _leave_task(loop, task)
        _enter_task(loop, caller)
    if not task.cancelling():  # or the code did that to what it took for its task
        _standing_by[loop] = stand_by
    return outcome


async def _end_of(going: _Going, foreign: Coroutine[Any, Any, Any]) -> _Outcome:
    task, told = going
    try:
        return await told
    except asyncio.CancelledError:
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)
        task.cancel()
        await asyncio.wait((task,), timeout=GRACE_S)
        if not task.done():
            _log.warning("code that was cancelled did not end within %g s and is left to itself: %r", GRACE_S, foreign)
        raise


class _StandBy:
    """A task for the next code that comes to wait. One that nobody has taken by its first turn ends there."""

    __slots__ = ("_loop", "_taken", "task")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._taken: _Begun | None = None
        living = self._live()
        living.send(None)  # so that a task that is cancelled before its first turn has begun all the same
        # Not by the loop's factory, which may be an eager one: this task has its first turn when the loop comes round.
        self.task = asyncio.Task(living, loop=loop)

    def take(self, steps: Coroutine[Any, Any, Any], waiting: Any, context: Context) -> _Going:
        """Let the task go on with `steps`, which wait for `waiting`."""
        _mark(waiting, False)  # others may begin to wait for it before the task does
        told: Future[_Outcome] = self._loop.create_future()
        self._taken = _Begun(steps, waiting, context, told)
        return _Going(self.task, told)

    async def _live(self) -> None:
        cancelled: BaseException | None = None
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as exc:
            # Unless it was withdrawn. Before Python 3.13 that does not keep it from being raised.
            if self.task.cancelling():
                cancelled = exc
        if self._taken is None:
            if _standing_by.get(self._loop) is self:
                del _standing_by[self._loop]
            return
        steps, waiting, context, told = self._taken
        if cancelled is not None and _is_future(waiting) and waiting.cancel():
            cancelled = None  # as with any task, it comes by way of what the code waits for
        _mark(waiting, True)
        outcome = await _go_on(steps, waiting, context, cancelled)
        if not told.done():
            told.set_result(outcome)


class _Begun(NamedTuple):
    steps: Coroutine[Any, Any, Any]
    waiting: Any
    context: Context
    told: "Future[_Outcome]"


_standing_by: dict[AbstractEventLoop, _StandBy] = {}


@coroutine
def _go_on(
    steps: Coroutine[Any, Any, Any], waiting: Any, context: Context, thrown: BaseException | None
) -> Generator[Any, Any, _Outcome]:
    """Do the steps after the first, in this task."""
    while True:
        if thrown is None:
            try:
                yield waiting
            except GeneratorExit:
                context.run(steps.close)
                raise
            except BaseException as exc:
                thrown = exc
        try:
            waiting = context.run(steps.send, None) if thrown is None else context.run(steps.throw, thrown)
        except StopIteration as end:
            return _Outcome(end.value)
        except BaseException as exc:
            return _Outcome(None, exc)
        thrown = None


def _is_future(waiting: Any) -> bool:
    return getattr(waiting, "_asyncio_future_blocking", None) is not None


def _mark(waiting: Any, blocking: bool) -> None:
    """Note on a future that a task is about to wait for it, or is not: how `await` tells a task what it waits for."""
    if _is_future(waiting):
        waiting._asyncio_future_blocking = blocking
