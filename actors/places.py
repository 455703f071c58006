"""Places for branches beside one another: how many are at work at once, those that wait for a person not counted."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar


class Places:
    """So many places. Who comes when all are taken has one after those who came before."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Take one when there is one; who is cancelled meanwhile has one at once, and gives it back like others."""
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.take_now()
            raise

    def take_now(self) -> None:
        """Take one, whether there is one or not."""
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1
        while self._free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


class Seat:
    """Holds places for a branch while that is at work: not while all that it does is to wait for a person.

    A branch within another has its seat within that one's, which holds its places while any of its branches is at work.
    Places are taken from the outermost seat to the innermost, so nobody waits in a circle.

    Args:
        of: The run whose branch it is, by what says how it waits.
        places: What it has taken, or takes with `take`.
        within: The seat of the branch that this one is in, or begins in; it is at work.
    """

    def __init__(self, of: object, places: Sequence[Places], within: "Seat | None") -> None:
        self.of = of
        self._places = places
        self._within = within
        self._at_work = 1  # branches in it, or itself while there are none
        self._waits = 0  # calls of its own that wait
        self._held = True
        self._entering = asyncio.Lock()

    async def take(self) -> None:
        """Take its places; who is cancelled meanwhile has them."""
        left = iter(self._places)
        try:
            for places in left:
                await places.take()
        except asyncio.CancelledError:
            for places in left:
                places.take_now()
            raise

    def give_back(self) -> None:
        for places in self._places:
            places.give_back()

    # --- one of its branches, or itself ---

    def join(self) -> None:
        """One more is at work, beside one that is."""
        self._at_work += 1

    def leave(self) -> None:
        """One less is at work."""
        self._at_work -= 1
        if not self._at_work:
            self._held = False
            self.give_back()
            if self._within is not None:
                self._within.leave()

    async def enter(self) -> None:
        """One that has left is at work again, when there are places; who is cancelled meanwhile is so at once."""
        self._at_work += 1
        async with self._entering:
            if self._held:
                return
            try:
                if self._within is not None:
                    await self._within.enter()
            except asyncio.CancelledError:
                for places in self._places:
                    places.take_now()
                raise
            else:
                await self.take()
            finally:
                self._held = True

    def enter_now(self) -> None:
        """One that has left is at work again, whether there are places or not."""
        self._at_work += 1
        if self._at_work == 1:
            for places in self._places:
                places.take_now()
            self._held = True
            if self._within is not None:
                self._within.enter_now()

    # --- a call of its own ---

    def wait(self) -> None:
        """One waits for a person."""
        self._waits += 1
        if self._waits == 1:
            self.leave()

    async def go_on(self) -> None:
        """It has its answer, and goes on when there is a place."""
        self._waits -= 1
        if not self._waits:
            await self.enter()

    def go_on_now(self) -> None:
        """It goes on already."""
        self._waits -= 1
        if not self._waits:
            self.enter_now()


_current: "ContextVar[Seat | None]" = ContextVar("treadle_seat", default=None)


def seat_here(of: object) -> Seat | None:
    """The seat of the branch of that run in which this code runs."""
    seat = _current.get()
    return seat if seat is not None and seat.of is of else None


def sit_down(seat: Seat) -> None:
    """This task is the branch that has the seat."""
    _current.set(seat)


@asynccontextmanager
async def seated(of: object, places: Sequence[Places]) -> AsyncGenerator[None]:
    """What is done in the block has places, whether it has begun within a branch or not."""
    seat = Seat(of, places, seat_here(of))
    try:
        await seat.take()
        before = _current.set(seat)
        try:
            yield
        finally:
            _current.reset(before)
    finally:
        seat.give_back()
