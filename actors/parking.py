"""Calls that wait for somebody's approval, and the moment when a run can do nothing but wait.

A child is at work for the run that asks it, until it waits itself; whoever asks it only waits for it meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from .places import Seat, seat_here

_member_of: "ContextVar[Parking | None]" = ContextVar("treadle_parking", default=None)


class Parking:
    """Who waits in one run, and how many model and tool calls are going on beside.

    Args:
        changed: Called when `parked` was set or cleared.

    Attributes:
        parked: Set while calls wait and nothing goes on.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.parked = asyncio.Event()
        self.changed = changed
        self._working = 0
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._children: dict[str, bool] = {}  # those that are asked now, and whether they wait
        self._seats: dict[str, Seat | None] = {}  # of the branches that ask them
        self._asking: Counter[str] = Counter()  # how many of them a tool's call asks

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
        """The answer to a call, when somebody gives it. A branch gives its place back, and has one when it goes on."""
        answer = self._answers.setdefault(call_id, asyncio.get_running_loop().create_future())
        seat = seat_here(self)
        if seat is None:
            return await self._answered(answer)
        seat.wait()
        try:
            allowed = await self._answered(answer)
        except BaseException:
            seat.go_on_now()
            raise
        await seat.go_on()
        return allowed

    async def _answered(self, answer: "asyncio.Future[bool]") -> bool:
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
            self._go_on()
            answer.set_result(allowed)

    @contextmanager
    def child(self, call_id: str, asked_by: str) -> Generator[None]:
        """A child is asked in the block.

        Args:
            asked_by: The tool's call in which it is; empty when the strategy asks it.
        """
        asker, asks = asked_by or call_id, int(_member_of.get() is self) + bool(asked_by)
        self._working += 1 if self._asking[asker] else 1 - asks
        self._asking[asker] += 1
        self._children[call_id] = False
        self._seats[call_id] = seat_here(self)
        try:
            yield
        finally:
            self.child_waits(call_id, waits=False)
            del self._children[call_id], self._seats[call_id]
            self._asking[asker] -= 1
            if not self._asking[asker]:
                del self._asking[asker]
                self._working += asks
            self.end()

    def child_waits(self, call_id: str, *, waits: bool) -> None:
        """A child that is asked can do nothing but wait, or can again; then it goes on already, place or not."""
        if self._children.get(call_id, waits) == waits:
            return
        self._children[call_id] = waits
        seat = self._seats.get(call_id)
        if waits:
            if seat is not None:
                seat.wait()
            self.end()
        else:
            self.begin()
            if seat is not None:
                seat.go_on_now()
            self._go_on()

    def _look(self) -> None:
        if (self._answers or any(self._children.values())) and self._working <= 0 and not self.parked.is_set():
            self.parked.set()
            self.changed()

    def _go_on(self) -> None:
        if self.parked.is_set():
            self.parked.clear()
            self.changed()


class Crew:
    """Branches of one run beside one another: each is at work, between its calls too, unless it waits for an answer.

    So a run is not taken for parked while one branch waits and another is between two of its calls. Whoever leads the
    crew counts for itself while it has no members, and through them while it has some; a crew may be within another.
    """

    def __init__(self, parking: Parking) -> None:
        self._parking = parking
        self._members = 0
        self._seat: Seat | None = None
        self._within = _member_of.get() is parking

    def __enter__(self) -> Self:
        self._seat = seat_here(self._parking)
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
            if self._seat is not None:
                self._seat.join()

    def leave(self) -> None:
        """One less; what comes of it has joined by now."""
        self._members -= 1
        if self._members:
            if self._seat is not None:
                self._seat.leave()
            self._parking.end()
