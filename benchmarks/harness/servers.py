"""The servers beside the cases: each is started for the first case that needs it, and runs until the last has ended.

A database stays, so that what is filled for one case, a hundred thousand sessions, is there for the next one.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.broker import broker
from harness.case import Case
from harness.database import database


class Servers:
    """Servers, until the context is closed."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._stack = AsyncExitStack()
        self._environment: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def environment(self, case: Case) -> dict[str, str]:
        """What the programs of this case find its servers by.

        Raises:
            BrokerUnavailable, DatabaseUnavailable: One is not to be had.
        """
        if case.needs_broker and "BENCH_NATS_URL" not in self._environment:
            self._environment["BENCH_NATS_URL"] = await self._stack.enter_async_context(broker(self._scratch))
        if case.needs_database and "BENCH_POSTGRES_URL" not in self._environment:
            self._environment |= await self._stack.enter_async_context(database())
        return self._environment
