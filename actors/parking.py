"""Calls that wait for somebody's approval, and the moment when a run can do nothing but wait."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

_member_of: "ContextVar[Parking | None]" = ContextVar("treadle_parking", default=None)


class Parking:
    """Who waits in one run, and how many model and tool calls are going on beside.

    Attributes:
        parked: Set while calls wait and nothing goes on.
    """

    def __init__(self) -> None:
        self.parked = asyncio.Event()
        self._working = 0
        self._answers: dict[str, asyncio.Future[bool]] = {}

    @contextmanager
    def work(self) -> Generator[None]:
        """A call goes on in the block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        self._working += 1

    def end(self) -> None:
        self._working -= 1
        self._look()

    async def wait(self, call_id: str) -> bool:
        """The answer to a call, when somebody gives it."""
        answer = self._answers.setdefault(call_id, asyncio.get_running_loop().create_future())
        if _member_of.get() is not self:
            self._look()
            return await answer
        self.end()
        try:
            return await answer
        finally:
            self.begin()

    def answer(self, call_id: str, allowed: bool) -> None:
        """Let the call go on, if it waits."""
        answer = self._answers.pop(call_id, None)
        if answer is not None and not answer.done():
            self.parked.clear()
            answer.set_result(allowed)

    def _look(self) -> None:
        if self._answers and not self._working:
            self.parked.set()


class Crew:
    """Branches of one run beside one another: each is at work, between its calls too, unless it waits for an answer.

    So a run is not taken for parked while one branch waits and another is between two of its calls. Whoever leads the
    crew counts for itself while it has no members, and through them while it has some; a crew may be within another.
    """

    def __init__(self, parking: Parking) -> None:
        self._parking = parking
        self._members = 0
        self._within = _member_of.get() is parking

    def __enter__(self) -> Self:
        if not self._within:
            self._parking.begin()
            self._token = _member_of.set(self._parking)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        while self._members:
            self.leave()
        if not self._within:
            _member_of.reset(self._token)
            self._parking.end()

    def join(self) -> None:
        """One more. Its task is made after this, or before anything else may happen."""
        self._members += 1
        if self._members > 1:
            self._parking.begin()

    def leave(self) -> None:
        """One less; what comes of it has joined by now."""
        self._members -= 1
        if self._members:
            self._parking.end()
