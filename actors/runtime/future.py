"""The answer to an ask, which may come later.

One `Reply` serves both worlds. On an event loop it is awaited and blocks nothing; in a thread `get()` blocks, as with
every pykka future. Each waiter waits on its own: one that is cancelled or times out disturbs neither the others nor
the actor, and the answer can still be fetched afterwards.
"""

import asyncio
import functools
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar, cast

import pykka

from ...events.errors import TreadleError

__all__ = ["AskTimeout", "Reply", "WouldDeadlock"]

T = TypeVar("T")
M = TypeVar("M")
J = TypeVar("J")
R = TypeVar("R")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
Waiter: TypeAlias = "asyncio.Future[None] | Callable[[], object]"

# Guards the change from waiting to done, for all replies: it is held for a few instructions, and one lock costs no
# memory per ask. Re-entrant, since the garbage collector may close a coroutine anywhere, and its `finally` may answer.
_settling = threading.RLock()


class AskTimeout(TreadleError, pykka.Timeout, TimeoutError):
    """No answer within the time given. The actor was not disturbed: the message is still waiting, or being handled."""

    def __init__(self, asked: str, timeout_s: float) -> None:
        super().__init__(f"no answer from {asked or 'an actor'} within {timeout_s:g} s; it may still come")
        self.asked = asked
        self.timeout_s = timeout_s


class WouldDeadlock(TreadleError, RuntimeError):
    """A blocking `get()` in the thread of an event loop: the loop would wait for itself."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"waiting for {asked or 'an actor'} with get() would block the event loop that runs this code; "
            "`await` the reply, or call get() in another thread"
        )
        self.asked = asked


class Reply(pykka.Future[T]):
    """A pykka future that can be awaited.

    Args:
        asked: Address that was asked, for messages.
        timeout_s: How long an `await` waits, from the moment it starts to wait; `None` is for ever.
    """

    __slots__ = ("_done", "_error", "_value", "_waiters", "asked", "timeout_s")

    # A class attribute, so that the usual reply, which has no hook, pays nothing for it.
    _get_hook: Callable[[float | None], T] | None = None

    def __init__(self, asked: str = "", timeout_s: float | None = None) -> None:
        self.asked = asked
        self.timeout_s = timeout_s
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiters: list[Waiter] | None = None

    def done(self) -> bool:
        """Whether the answer, or an error, is there."""
        return self._done

    def error(self) -> BaseException | None:
        """The error, if the answer is one."""
        return self._error

    def set(self, value: T | None = None) -> None:
        """Answer. Thread-safe.

        Raises:
            asyncio.InvalidStateError: It has been answered already, or has a hook.
        """
        if not self.settle(value, None):
            raise asyncio.InvalidStateError(f"{self!r} has an answer already")

    def set_exception(self, exc_info: ExcInfo | BaseException | None = None) -> None:
        """Answer with an error: an exception, pykka's triple, or by default the exception being handled."""
        match exc_info:
            case BaseException():
                error: BaseException | None = exc_info
            case None:
                error = sys.exc_info()[1]
            case (kind, error, _):
                error = error if error is not None or kind is None else kind()
        if error is None:
            raise ValueError("set_exception() was called without an exception, and none is being handled")
        if not self.settle(None, error):
            raise asyncio.InvalidStateError(f"{self!r} has an answer already") from error

    def settle(self, value: Any, error: BaseException | None) -> bool:
        """Answer if nobody has; tells whether this was the answer. Thread-safe."""
        with _settling:
            if self._done or self._get_hook is not None:
                return False
            self._value = value
            self._error = error
            self._done = True
            waiters = self._waiters
            self._waiters = None
        if waiters is not None:
            for waiter in waiters:
                if callable(waiter):
                    waiter()
                else:
                    _wake(waiter)
        return True

    def when_done(self, waiter: Waiter) -> None:
        """Call or wake `waiter` once, now if the answer is there, else in the thread that answers."""
        with _settling:
            if not self._done:
                if self._waiters is None:
                    self._waiters = []
                self._waiters.append(waiter)
                return
        if callable(waiter):
            waiter()
        else:
            _wake(waiter)

    def pass_on(self, target: pykka.Future[Any]) -> None:
        """Give the answer to `target` as well, when it comes."""

        def pass_it() -> None:
            if isinstance(target, Reply):
                target.settle(self._value, self._error)
            elif self._error is not None:
                target.set_exception((type(self._error), self._error, self._error.__traceback__))
            else:
                target.set(self._value)

        self.when_done(pass_it)

    def get(self, *, timeout: float | None = None) -> Any:
        """Block this thread until the answer is there.

        Raises:
            WouldDeadlock: This thread runs an event loop and the answer is not there yet.
            AskTimeout: No answer within `timeout` seconds (by default, the reply's own).
        """
        if not self._done:
            refuse_on_a_loop(self.asked)
            timeout_s = self.timeout_s if timeout is None else timeout
            if self._get_hook is not None:
                self._keep(self._get_hook(timeout_s))
            else:
                answered = threading.Event()
                self.when_done(answered.set)
                if not answered.wait(timeout_s):
                    raise AskTimeout(self.asked, timeout_s or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            loop = asyncio.get_running_loop()
            if self._get_hook is not None:  # blocking code of somebody else: a thread may wait for it
                yield from loop.run_in_executor(None, self.get).__await__()
                return self._outcome()
            waiter = loop.create_future()
            self.when_done(waiter)
            if self.timeout_s is None:
                yield from waiter
            else:
                timer = loop.call_later(self.timeout_s, _expire, waiter, AskTimeout(self.asked, self.timeout_s))
                try:
                    yield from waiter
                finally:
                    timer.cancel()
        return self._outcome()

    def __iter__(self) -> Generator[Any, None, T]:
        return self.__await__()

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def _keep(self, value: T) -> None:
        """Keep what a hook or a combination has come to, so that it runs once."""
        self._value = value
        self._done = True

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let `func(timeout)` produce the value when somebody wants it. It may block: an `await` runs it in a thread.

        Raises:
            asyncio.InvalidStateError: There is an answer already.
        """
        with _settling:
            if self._done:
                raise asyncio.InvalidStateError(f"{self!r} has an answer already")
            self._get_hook = func

    def map(self, func: Callable[[T], M]) -> "Reply[M]":
        """A reply of `func(answer)`; `func` runs once, where it is first awaited or fetched."""
        return _Derived((self,), lambda values: func(values[0]))

    def filter(self: pykka.Future[Iterable[J]], func: Callable[[J], bool]) -> "Reply[Iterable[J]]":
        """A reply of the items of the answer that pass `func`."""
        return _Derived((self,), lambda values: list(filter(func, values[0])))

    def join(self: pykka.Future[Any], *futures: pykka.Future[Any]) -> "Reply[Iterable[Any]]":
        """A reply of the list of all answers, this one first."""
        return _Derived((self, *futures), lambda values: values)

    def reduce(self: pykka.Future[Iterable[J]], func: Callable[[R, J], R], *args: R) -> "Reply[R]":
        """A reply of `functools.reduce(func, answer, *args)`."""
        return _Derived((self,), lambda values: functools.reduce(func, values[0], *args))

    def __repr__(self) -> str:
        state = "waiting" if not self._done else "answered" if self._error is None else f"failed: {self._error!r}"
        return f"<Reply from {self.asked or 'an actor'} {state}>"


class _Derived(Reply[T], Generic[T]):
    """A reply computed from others. Lazy, as pykka's are: nothing runs until somebody wants the value."""

    __slots__ = ("_combine", "_sources")

    def __init__(self, sources: tuple[pykka.Future[Any], ...], combine: Callable[[list[Any]], T]) -> None:
        super().__init__()
        self._sources = sources
        self._combine = combine

    def get(self, *, timeout: float | None = None) -> Any:
        if not self._done:
            values = [source.get(timeout=timeout) for source in self._sources]
            self._keep(self._combine(values))
        return self._outcome()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            values: list[Any] = []
            for source in self._sources:
                if isinstance(source, Reply):
                    values.append((yield from source.__await__()))
                else:  # pykka's own `await` blocks the loop until the value is there
                    loop = asyncio.get_running_loop()
                    values.append((yield from loop.run_in_executor(None, source.get).__await__()))
            self._keep(self._combine(values))
        return self._outcome()

    def settle(self, value: Any, error: BaseException | None) -> bool:
        return False  # its answer comes from its sources only


def _wake(waiter: "asyncio.Future[None]") -> None:
    loop = waiter.get_loop()
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        _release(waiter)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(_release, waiter)


def _release(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():  # the asker may have been cancelled
        waiter.set_result(None)


def _expire(waiter: "asyncio.Future[None]", error: AskTimeout) -> None:
    if not waiter.done():
        waiter.set_exception(error)


def refuse_on_a_loop(asked: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldDeadlock(asked)
