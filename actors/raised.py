"""What code that is not ours has raised: kept as long as its run is in this process, for the log and for `__cause__`.

The journal has its class and its text (`tool.say`). A traceback says where it was, and leads through our own frames to
get there; those are left out.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging import Logger
from types import TracebackType
from typing import Any

from ..events.errors import (
    AppendUncertain,
    Fenced,
    ReadOnly,
    ReplayDivergence,
    RunError,
    TreadleError,
    Unavailable,
    VersionConflict,
)
from .foreign import called, contained
from .tool import say

_PACKAGE = __name__.partition(".")[0]


class CodeFailed(TreadleError):
    """Code that an architecture was given raised: `decider of Router raised KeyError: 'b'`."""


@contextmanager
def naming(code: str) -> Generator[None]:
    """What is raised here says that it was this code. What leaves a run open is not the code's own, and passes.

    Raises:
        CodeFailed: From what was raised.
    """
    try:
        yield
    except (Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly, VersionConflict):
        raise
    except Exception as exc:
        raise CodeFailed(f"{code} raised {say(exc)}") from exc


async def ask_code(code: str, function: Callable[..., Any], *args: Any) -> Any:
    """What `function` returns, sync or async. Raises as of `naming`."""
    with naming(code):
        return await contained(called(function, *args))


# --- where it comes from ---------------------------------------------------------------------------------------------


def origin_of(error: BaseException) -> BaseException | None:
    """What code that is not ours raised, which led to `error`; its traceback begins in that code.

    None when `error` is a refusal of ours that nobody else's error led to.
    """
    for each in _led_to(error):
        if isinstance(each, TreadleError):
            continue
        begins = _outside(each.__traceback__)
        if begins is not None:
            return each.with_traceback(begins)
        return each if each is error else None  # one of ours that nobody has foreseen is shown as it is
    return None


def log_failure(logger: Logger, run_id: str, error: BaseException) -> BaseException | None:
    """Say that a run has failed: in one line, or with the traceback of code that is not ours. `origin_of` it."""
    origin = origin_of(error)
    told = any(isinstance(each, RunError) for each in _led_to(error))  # by the run that it happened in
    logger.error("run %s failed: %s", run_id, say(error), exc_info=None if told else origin)
    return origin


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it was raised from, what that was raised from …"""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__


def _outside(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame on that is not ours."""
    while traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE:
        traceback = traceback.tb_next
    return traceback


# --- what became an outcome ------------------------------------------------------------------------------------------


class Caught:
    """What calls have raised whose outcomes only say so, by their ids."""

    def __init__(self) -> None:
        self._by_call: dict[str, BaseException] = {}

    def note(self, call_id: str, error: BaseException) -> None:
        self._by_call[call_id] = error

    def of(self, call_id: str) -> BaseException | None:
        return self._by_call.get(call_id)


_caught: ContextVar[Caught | None] = ContextVar("treadle_caught", default=None)


@contextmanager
def catching() -> Generator[Caught]:
    """Keep what the calls raise that are made here. Nobody keeps it for calls of models: they are told, and go on."""
    caught = Caught()
    token = _caught.set(caught)
    try:
        yield caught
    finally:
        _caught.reset(token)


def note_raised(call_id: str, error: BaseException) -> None:
    """For those who keep what calls raise."""
    caught = _caught.get()
    if caught is not None:
        caught.note(call_id, error)
