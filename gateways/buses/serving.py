"""Requests being answered: concurrently, bounded, and each with an answer, whatever its handler does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ...events.bus import BusMessage, Handler, error_answer
from ...events.errors import TreadleError, Unavailable
from ...events.logs import get_logger

logger = get_logger("treadle.bus")

Respond = Callable[[bytes, Mapping[str, str]], Awaitable[None]]


class Serving:
    """One handler at work.

    Args:
        subject: Names the service in errors.
        limit: How many requests may be handled at once; one more is answered with `Unavailable`.
    """

    def __init__(self, subject: str, handler: Handler, limit: int) -> None:
        self._subject = subject
        self._handler = handler
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, message: BusMessage, respond: Respond) -> None:
        """Handle `message` in a task of its own, which `close` waits for."""
        busy = len(self._tasks) >= self._limit
        task = asyncio.create_task(self._refuse(respond) if busy else self._handle(message, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is still being handled, and wait until it was answered so."""
        await asyncio.sleep(0)  # a task that is cancelled before it has begun would not answer
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refuse(self, respond: Respond) -> None:
        busy = Unavailable(f"service {self._subject!r}", f"{self._limit} requests are being handled")
        await self._respond(respond, *error_answer(busy))

    async def _handle(self, message: BusMessage, respond: Respond) -> None:
        answered: tuple[bytes, Mapping[str, str]]
        try:
            answered = await self._handler(message), {}
        except asyncio.CancelledError:
            stopping = Unavailable(f"service {self._subject!r}", "it was stopped while it handled the request")
            await self._respond(respond, *error_answer(stopping))
            raise
        except TreadleError as error:
            answered = error_answer(error)
        except Exception as error:
            logger.exception("the handler of %s failed", self._subject)
            answered = error_answer(error)
        await self._respond(respond, *answered)

    async def _respond(self, respond: Respond, data: bytes, headers: Mapping[str, str]) -> None:
        try:
            await respond(data, headers)
        except Unavailable as error:
            # Whoever asked has lost the connection as well, and was told so.
            logger.warning("an answer of %s was not sent: %s", self._subject, error)
        except TreadleError as error:
            await respond(*error_answer(error))
