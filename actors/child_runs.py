"""`ChildPort` over the actors of a system: runs that other runs lead to."""

from ..events.errors import NotFound, Owned
from ..events.run import RunCancelled, RunState
from .context import RunContext
from .host import Host
from .result import RunResult
from .run_actor import Abandon, AwaitEnd, ContinueRun, EndRun, StartRun
from .run_history import RunRequest, history_of
from .session_messages import Prompt, ResumeSession
from .spec import AgentSpec


class ChildRuns:
    """Begins them here, goes on with those that the journal has, and waits for those that another process is at."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        self._host.meet(spec)
        if request.session_id:
            return await self._in_session(spec, request)
        run = self._host.run(request.run_id)
        try:
            history = await history_of(self._host.services.journal, request.run_id)
        except NotFound:
            result = await self._host.result(run, StartRun(spec, request))
        else:
            if history.state.closed is not None:
                return history.result
            try:
                result = await self._host.result(run, ContinueRun(spec, request))
            except Owned:
                result = await self._host.result(run, AwaitEnd(spec))
        return await self._ended(result, spec)

    async def _in_session(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        session = self._host.session(request.user_id, spec.name, request.session_id)
        try:
            history = await history_of(self._host.services.journal, request.run_id)
        except NotFound:
            pass
        else:
            if history.state.closed is not None:
                return history.result
            return await self._ended(await self._host.result(session, ResumeSession(spec)), spec)
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
            causation_id=request.causation_id,
            traceparent=request.traceparent,
        )
        return await self._ended(await self._host.result(session, prompt), spec)

    async def _ended(self, result: RunResult, spec: AgentSpec) -> RunResult:
        """One that waits for an approval is waited for, however long that takes."""
        while result.state == RunState.WAITING:
            result = await self._host.result(self._host.run(result.run_id), AwaitEnd(spec))
        return result

    async def cancel(self, run_id: str, reason: str) -> RunResult:
        closing = RunCancelled(reason=reason)
        try:
            return await self._host.result(self._host.run(run_id), EndRun(closing))
        except NotFound:  # it was asked for, and never began
            return RunResult(run_id=run_id, session_id=run_id, state=RunState.CANCELLED, error=f"cancelled: {reason}")

    async def abandon(self, run_id: str) -> None:
        await self._host.run(run_id).ask(Abandon())
