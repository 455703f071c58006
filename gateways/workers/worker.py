"""`Worker`: a process that offers tools over NATS and does nothing else: no agents, no streams, no read models."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...actors.clock import SYSTEM_CLOCK
from ...actors.threads import ToolThreads
from ...actors.tool import Tool
from ...events.errors import ConfigError
from ...events.subjects import DEFAULT_NAMESPACE, Subjects
from ..broker.tls import Tls
from ..buses.nats import NatsBus
from ..journals import open_journal
from ..tools.function import as_tool
from .offers import Offers


class Worker:
    """Offers tools while its context is open; several with the same tools share the calls.

        async with Worker([fetch, render], nats="nats://127.0.0.1:4222") as worker:
            await worker.serve()

    Closing it takes no more calls, and finishes those that have begun.

    Args:
        tools: Functions, or what `@tool` made of them.
        nats: The server's URL. JetStream is not needed.
        journal: `"sqlite:PATH"` or `"postgresql://…"`: records by call id what was done, so that it is not done again
            after a crash; share it with the other workers. Without one that is known while this process lives.
        namespace: The first token of all subjects.
        nats_credentials, nats_tls: As for `System`.
        limit: How many calls it does at once; more are left to the other workers.
    Raises:
        ConfigError: There is no tool, or one is none.
    """

    def __init__(
        self,
        tools: Sequence[Tool | Callable[..., Any]],
        *,
        nats: str,
        journal: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        nats_credentials: str | Path | None = None,
        nats_tls: Tls | None = None,
        limit: int = 256,
    ) -> None:
        self.subjects = Subjects(namespace)
        self._tools = [as_tool(tool) for tool in tools]
        if not self._tools:
            raise ConfigError("a worker needs a tool to offer")
        self._nats = nats
        self._journal = journal
        self._credentials = Path(nats_credentials) if nats_credentials is not None else None
        self._tls = nats_tls
        self._limit = limit
        self._stack = AsyncExitStack()
        self.offers: Offers | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.offers or 'closed'}>"

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        journal = None
        if self._journal is not None:
            journal = await open_journal(self._journal)
            self._stack.push_async_callback(journal.close)
            if journal.refusal is not None:
                raise journal.refusal
        threads = ToolThreads()
        self._stack.push_async_callback(threads.close)
        bus = await NatsBus.connect(
            self._nats,
            namespace=self.subjects.namespace,
            name="treadle-worker",
            credentials=self._credentials,
            tls=self._tls,
        )
        self._stack.push_async_callback(bus.close)
        offers = Offers(bus, self.subjects, SYSTEM_CLOCK, threads, journal=journal, limit=self._limit)
        self._stack.push_async_callback(offers.close)
        for tool in self._tools:
            await offers.add(tool)
        await offers.start()
        self.offers = offers

    async def serve(self) -> None:
        """Work until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Take no more, finish what has begun, and go. Closing twice does nothing."""
        try:
            await self._stack.aclose()
        finally:
            self.offers = None
