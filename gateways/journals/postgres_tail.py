"""The tail of a journal on PostgreSQL, and its owner's sign of life: one connection that listens.

Commits of this journal object wake its waiters at once (`reached`). Those of others are notified by the server. While
the connection is away nobody is woken by others; when it is back, everybody looks.

A server that says nothing may be one that vanished, and somebody else have taken over: it is asked whether it is there
every `HEARTBEAT_S`.

The same connection holds an advisory lock in the owner's name. The server lets go of it when the connection ends, by
`kill -9` as well, so "nobody holds it" means "the owner is gone, or cut off". Who is cut off cannot append either, and
when it is back it finds out at its next append whether somebody took its runs over.
"""

import asyncio
import hashlib
import math
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence

import psycopg

from ...events.envelope import Position
from ...events.errors import Unavailable
from ...events.logs import get_logger
from ..postgres import conninfo
from ..postgres_calls import AsyncConnection
from .postgres_store import CHANNEL
from .submission import wake

LOOK_S = 1.0
"""How often who waits looks while the connection is away."""

HEARTBEAT_S = 3.0
"""How often the server is asked whether it is there, and hears that we are."""

LIFE_S = 10.0
"""How long the server believes that an owner lives from which it hears nothing: then it ends the connection."""

COMING_BACK_S = 3.0
"""How long nobody is called dead after the server came back: each owner has to take its lock anew."""

MARGIN_S = 1.0
"""For what two clocks, and the way between them, may differ in `LIFE_S`."""

_IDLE_SESSIONS = 140_000  # the first version of PostgreSQL that ends connections from which it hears nothing

_RETRY_S = 0.2
_log = get_logger("treadle.journal")


class PostgresTail:
    """Waits for positions, on the event loop it was started on.

    Args:
        look: Reads the newest position.
    """

    def __init__(
        self, url: str, name: str, owner: str, look: Callable[[], Awaitable[Position]], monotonic: Callable[[], float]
    ) -> None:
        self._conninfo = conninfo(url)
        self._name = name
        self._key = lock_key(owner)
        self._look = look
        self._monotonic = monotonic
        self._alive_since = self._alive_until = 0.0
        self._came_back_at = -math.inf
        self._waiting: list[tuple[int, Future[None]]] = []
        self._newest = 0
        self._listening = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def is_just_back(self) -> bool:
        """Whether our own connection was lost a moment ago: others may not be back yet, and hold no lock."""
        return not self._listening.is_set() or self._monotonic() < self._came_back_at + COMING_BACK_S

    def holds(self, since: float) -> bool:
        """As `Journal.holds`."""
        return since >= self._alive_since and self._monotonic() < self._alive_until

    async def start(self) -> None:
        """Listen, and show that the owner lives."""
        self._task = asyncio.create_task(self._listen(), name=f"tail of {self._name}")
        await self._listening.wait()

    async def close(self) -> None:
        """Let everybody go; they raise `Unavailable`. The owner is no longer alive."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        wake([waiter for _, waiter in self._waiting])

    def reached(self, position: int) -> Sequence[Future[None]]:
        """Who waited for this. May be called from the thread that commits, after the commit."""
        self._newest = position
        if not self._waiting:
            return ()
        return [waiter for after, waiter in list(self._waiting) if after < position]

    async def wait(self, after: int, timeout_s: float | None) -> Position:
        """As `Journal.wait`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            if self._closed:
                raise Unavailable(self._name, "it was closed while somebody waited for events")
            entry = (after, loop.create_future())
            self._waiting.append(entry)
            try:
                # Looked at after registering: a commit in between finds the waiter, or is found here.
                newest = await self._look()
                if newest > after or (deadline is not None and loop.time() >= deadline):
                    return newest
                look_at = None if self._listening.is_set() else loop.time() + LOOK_S
                async with asyncio.timeout_at(min((at for at in (deadline, look_at) if at is not None), default=None)):
                    await entry[1]
                if self._newest > after:
                    return Position(self._newest)
            except TimeoutError:
                if deadline is not None and loop.time() >= deadline:
                    return await self._look()
            finally:
                self._waiting.remove(entry)

    async def _listen(self) -> None:
        while True:
            try:
                async with await AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    life_s = await _limit_silence(connection)
                    if self._alive_since:
                        self._came_back_at = self._monotonic()
                    begun = self._monotonic()
                    await connection.execute("SELECT pg_advisory_lock(%s)", (self._key,))
                    self._alive_until, self._alive_since = begun + life_s, self._monotonic()
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    self._listening.set()
                    self._wake_all()
                    while True:
                        async for _ in connection.notifies(timeout=HEARTBEAT_S):
                            self._wake_all()
                        begun = self._monotonic()
                        await connection.execute(b"SELECT 1")
                        self._alive_until = begun + life_s
            except (psycopg.Error, OSError) as exc:
                self._listening.clear()
                self._wake_all()  # whoever waits looks for itself from now on
                _log.warning("%s: nobody tells of the events of others until it is back: %s", self._name, exc)
                await asyncio.sleep(_RETRY_S)

    def _wake_all(self) -> None:
        wake([waiter for _, waiter in self._waiting])


async def _limit_silence(connection: AsyncConnection) -> float:
    """Have the server end the connection when it hears nothing; for how long it is certain not to."""
    if connection.info.server_version < _IDLE_SESSIONS:
        return math.inf
    await connection.execute(f"SET idle_session_timeout = {LIFE_S * 1000:.0f}".encode())
    return LIFE_S - MARGIN_S


def lock_key(owner: str) -> int:
    """The advisory lock in an owner's name."""
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], "big", signed=True)
