"""Calls that wait for somebody's approval, and the moment when a run can do nothing but wait."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


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
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._look()

    async def wait(self, call_id: str) -> bool:
        """The answer to a call, when somebody gives it."""
        answer = self._answers.setdefault(call_id, asyncio.get_running_loop().create_future())
        self._look()
        return await answer

    def answer(self, call_id: str, allowed: bool) -> None:
        """Let the call go on, if it waits."""
        answer = self._answers.pop(call_id, None)
        if answer is not None and not answer.done():
            self.parked.clear()
            answer.set_result(allowed)

    def _look(self) -> None:
        if self._answers and not self._working:
            self.parked.set()
