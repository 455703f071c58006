"""One thing for each event loop: a client's connections belong to the loop that opened them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes one `T` for each event loop when it is first asked for there. Loops may run in several threads at once."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._changing = threading.Lock()
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        """This loop's."""
        loop = asyncio.get_running_loop()
        with self._changing:
            made = self._made.get(loop)
            if made is None:
                # A loop that was closed cannot close its connections any more: the sockets go with the objects.
                for ended in [other for other in self._made if other.is_closed()]:
                    del self._made[ended]
                made = self._made[loop] = self._make()
            return made

    def pop(self) -> T | None:
        """This loop's, which is forgotten; None when it has none."""
        with self._changing:
            return self._made.pop(asyncio.get_running_loop(), None)
