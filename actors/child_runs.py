"""`ChildPort` over the actors of a system: runs that other runs lead to."""

import asyncio

from ..events.child_step import ChildWaits
from ..events.errors import AppendUncertain, Fenced, NotFound, Owned, Unavailable
from ..events.logs import get_logger
from ..events.run import RunCancelled, RunState
from .context import RunContext
from .host import Host
from .result import RunResult
from .run_actor import Abandon, AwaitEnd, ContinueRun, EndRun, NoteWaiting, StartRun
from .run_history import RunRequest, history_of
from .runtime import Ref
from .session import NothingToResume
from .session_messages import Prompt, ResumeSession
from .spec import AgentSpec

PATIENCE_S = 60.0
"""How long a journal that does not serve is waited for. The run that asks is not touched by it, and may go on."""

LOOK_EVERY_S = 0.25
"""How often it is looked how a run stands that another process is at, or that could not go on here."""

_ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.DEGRADED)
_log = get_logger("treadle.actors")


class ChildRuns:
    """Begins them here, goes on with those that the journal has, and waits for those that another process is at."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        self._host.meet(spec)
        failing = _Failing(self._host)
        while True:
            failing.tries()
            try:
                return await self._ended(spec, request)
            except (Fenced, NothingToResume) as exc:
                # Another process is at it: its end is in the journal when it comes. If that one dies, we go on with it.
                # Or somebody here was quicker, and it ended between our look and our question.
                if isinstance(exc, NothingToResume) and failing.for_too_long:
                    raise
                _log.debug("run %s is somebody else's: %s", request.run_id, exc)
            except (Unavailable, AppendUncertain) as exc:
                if failing.for_too_long:
                    raise
                _log.warning("run %s could not go on, and is tried again: %s", request.run_id, exc)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ended(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        try:
            history = await history_of(self._host.services.journal, request.run_id)
        except NotFound:
            result = await self._begun(spec, request)
        else:
            if history.state.closed is not None:
                return history.result
            result = await self._continued(spec, request)
            if result.run_id != request.run_id:  # it has ended, and its session is at another one
                raise NothingToResume(request.session_id, request.run_id)
        if result.state in _ENDED:
            return result
        # It waits for somebody's approval, however long that takes, or was left, and is gone on with.
        return await self._host.result(self._host.run(result.run_id), AwaitEnd(spec))

    async def _continued(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        if request.session_id:
            resume = ResumeSession(spec, only=request.run_id)
            return await self._host.result(self._session_of(spec, request), resume)
        run = self._host.run(request.run_id)
        try:
            return await self._host.result(run, ContinueRun(spec, request))
        except Owned:
            return await self._host.result(run, AwaitEnd(spec))

    async def _begun(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        if not request.session_id:
            return await self._host.result(self._host.run(request.run_id), StartRun(spec, request))
        prompt = Prompt(
            spec=spec,
            prompt=request.prompt,
            images=request.images,
            run_id=request.run_id,
            context=request.context or RunContext(),
            manner=request.manner,
            parent_run_id=request.parent_run_id,
            parent_call_id=request.parent_call_id,
            depth=request.depth,
            budgets=request.budgets,
            correlation_id=request.correlation_id,
            terms=request.terms,
            causation_id=request.causation_id,
            traceparent=request.traceparent,
        )
        return await self._host.result(self._session_of(spec, request), prompt)

    def _session_of(self, spec: AgentSpec, request: RunRequest) -> Ref:
        return self._host.session(request.user_id, spec.name, request.session_id)

    async def cancel(self, run_id: str, closing: RunCancelled) -> RunResult | None:
        failing = _Failing(self._host)
        while True:
            failing.tries()
            try:
                return await self._host.result(self._host.run(run_id), EndRun(closing))
            except NotFound:
                return None
            except (Fenced, Unavailable, AppendUncertain) as exc:
                # Whoever was at it has died just now, or somebody else took it over: it is looked who has it then.
                if failing.for_too_long:
                    raise
                _log.info("run %s is cancelled again: %s", run_id, exc)
            await asyncio.sleep(LOOK_EVERY_S)

    async def abandon(self, run_id: str) -> None:
        await self._host.run(run_id).ask(Abandon())

    def tell_waiting(self, parent_run_id: str, waits: ChildWaits, parked: bool) -> None:
        self._host.run(parent_run_id).tell(NoteWaiting(waits, parked))


class _Failing:
    """Since when nothing came of what is tried again and again. An attempt that went on for a while was no failure."""

    def __init__(self, host: Host) -> None:
        self._monotonic = host.services.clock.monotonic
        self._since = self._tried_at = self._monotonic()

    def tries(self) -> None:
        """An attempt begins."""
        self._tried_at = self._monotonic()

    @property
    def for_too_long(self) -> bool:
        """Whether an attempt that has failed now was the last."""
        now = self._monotonic()
        if now - self._tried_at > PATIENCE_S:
            self._since = now
        return now - self._since > PATIENCE_S
