"""One call at a worker: taken, perhaps begun, perhaps ended."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from ...actors.clock import Clock
from ...actors.context import RunContext, set_run_context
from ...actors.services import Services, enter_services
from ...actors.threads import ToolThreads
from ...actors.tool import Tool
from ...actors.tool_execution import OutcomeLost, execute
from ...events.call import CallEnded, Superseded
from ...events.errors import TreadleError
from ...events.logs import get_logger
from ...events.tool_step import Outcome, ToolCompleted, ToolFailed, ToolOutcomeUnknown
from . import wire
from .record import CallRecord
from .wire import Asked, Standing

_log = get_logger("treadle.workers")


class TakenCall:
    """A call that this worker has taken.

    taken    it waits for the word to begin, for `LEASE_S`
    running  in a task of its own; who asks is told so after a while
    ended    who asks gets the outcome

    Attributes:
        told: Set when somebody was given the outcome.
    """

    def __init__(self, tool: Tool, asked: Asked, bound: Mapping[str, Any], clock: Clock) -> None:
        self.asked = asked
        self.tool = tool
        self.told = asyncio.Event()
        self._bound = bound
        self._clock = clock
        self._lease_until = clock.monotonic() + wire.LEASE_S
        self._task: asyncio.Task[Standing] | None = None
        self._begun = asyncio.Event()

    def __repr__(self) -> str:
        state = "taken" if self._task is None else "ended" if self._task.done() else "running"
        return f"<TakenCall {self.asked.call.call_id} attempt {self.asked.call.attempt} {state}>"

    @property
    def task(self) -> "asyncio.Task[Standing] | None":
        """The call, once it has begun."""
        return self._task

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def stale(self) -> bool:
        """Its lease is over and it has not begun: it must not any more."""
        return self._task is None and self._clock.monotonic() > self._lease_until

    def begin(
        self,
        findable: asyncio.Event,
        limit_s: float | None,
        threads: ToolThreads,
        record: CallRecord | None,
        services: Services | None,
    ) -> "asyncio.Task[Standing]":
        """Start it, once; the tool itself when it is `findable`, so that nobody takes what has begun for lost."""
        if self._task is None:
            self._task = asyncio.create_task(self._do(findable, limit_s, threads, record, services))
            self._begun.set()
        return self._task

    def cancel(self) -> None:
        """Stop it. A function in a thread cannot be stopped; nobody waits for it then."""
        if self._task is not None:
            self._task.cancel()

    async def standing(self, wait_s: float) -> Standing:
        """How it stands, as soon as it has ended or after `wait_s`; or that it will not begin, when that is certain."""
        if self._task is None:
            # Whoever looks has told us to begin, and that may still come.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_until - self._clock.monotonic()):
                    await self._begun.wait()
        if self._task is None:
            return Standing("not_begun", why="the word to begin did not come")
        await asyncio.wait((self._task,), timeout=wait_s)
        if not self._task.done():
            return Standing("running")
        if self._task.cancelled():
            return Standing("gone")
        return self._task.result()

    async def _do(
        self,
        findable: asyncio.Event,
        limit_s: float | None,
        threads: ToolThreads,
        record: CallRecord | None,
        services: Services | None,
    ) -> Standing:
        await findable.wait()
        if record is not None:
            try:
                known = await record.begin()
            except Superseded as exc:
                return Standing("gone", why=str(exc))
            except TreadleError as exc:
                return Standing("not_begun", why=f"the worker's journal did not record that it begins: {exc}")
            if known is not None:
                return Standing("ended", structs.replace(known, attempt=self.asked.call.attempt))
        ended = _ended(self.asked.call.attempt, await self._execute(limit_s, threads, services))
        if record is not None:
            try:
                await record.end(ended)
            except TreadleError as exc:
                # It is done, and its caller records what came of it; only the workers could not tell any more.
                _log.error("call %s has ended and is not in the worker's journal: %s", self.asked.call.call_id, exc)
        return Standing("ended", ended)

    async def _execute(self, limit_s: float | None, threads: ToolThreads, services: Services | None) -> Outcome:
        asked, own = self.asked, self.tool.spec.timeout_s
        limits = [limit for limit in (own, limit_s) if limit is not None]
        cause = asked.cause
        set_run_context(
            RunContext(
                user_id=cause.user_id,
                session_id=cause.session_id,
                run_id=cause.run_id,
                correlation_id=cause.correlation_id,
                traceparent=cause.traceparent,
                metadata=asked.metadata,
            )
        )
        if services is not None:
            enter_services(services)
        try:
            return await execute(
                self.tool, self._bound, asked.call, threads, self._clock, limit_s=min(limits) if limits else None
            )
        except OutcomeLost as exc:  # the tool is remote here, too
            return ToolOutcomeUnknown(call_id=asked.call.call_id, reason=str(exc))


def _ended(attempt: int, outcome: Outcome) -> CallEnded:
    match outcome:
        case ToolCompleted():
            return CallEnded(attempt=attempt, state="completed", output=outcome.output, duration_ms=outcome.duration_ms)
        case ToolFailed():
            return CallEnded(
                attempt=attempt, state="failed", error=outcome.error, kind=outcome.kind,
                duration_ms=outcome.duration_ms,
            )  # fmt: skip
        case ToolOutcomeUnknown():
            return CallEnded(attempt=attempt, state="unknown", error=outcome.reason)
