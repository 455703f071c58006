"""`ChildPort` over the actors of a system: runs that other runs lead to."""

from ..events.errors import NotFound, Owned
from ..events.run import RunCancelled, RunState
from .context import RunContext
from .host import Host
from .result import RunResult
from .run_actor import Abandon, AwaitEnd, ContinueRun, EndRun, StartRun
from .run_history import RunRequest, history_of
from .runtime import Ref
from .session_messages import Prompt, ResumeSession
from .spec import AgentSpec


class ChildRuns:
    """Begins them here, goes on with those that the journal has, and waits for those that another process is at."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        self._host.meet(spec)
        try:
            history = await history_of(self._host.services.journal, request.run_id)
        except NotFound:
            result = await self._begun(spec, request)
        else:
            if history.state.closed is not None:
                return history.result
            result = await self._continued(spec, request)
        while result.state == RunState.WAITING:  # for somebody's approval, however long that takes
            result = await self._host.result(self._host.run(result.run_id), AwaitEnd(spec))
        return result

    async def _continued(self, spec: AgentSpec, request: RunRequest) -> RunResult:
        if request.session_id:
            return await self._host.result(self._session_of(spec, request), ResumeSession(spec))
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
            causation_id=request.causation_id,
            traceparent=request.traceparent,
        )
        return await self._host.result(self._session_of(spec, request), prompt)

    def _session_of(self, spec: AgentSpec, request: RunRequest) -> Ref:
        return self._host.session(request.user_id, spec.name, request.session_id)

    async def cancel(self, run_id: str, reason: str) -> RunResult:
        closing = RunCancelled(reason=reason)
        try:
            return await self._host.result(self._host.run(run_id), EndRun(closing))
        except NotFound:  # it was asked for, and never began
            return RunResult(run_id=run_id, session_id=run_id, state=RunState.CANCELLED, error=f"cancelled: {reason}")

    async def abandon(self, run_id: str) -> None:
        await self._host.run(run_id).ask(Abandon())
