"""The worker actor: serves delegated prompts by running its agent, each task once."""

import asyncio
from typing import Any

from msgspec import Struct

from ..events.envelope import Meta
from ..events.errors import Fenced, NotFound
from ..events.logs import get_logger
from ..events.run import RunState
from ..events.worker import SNAPSHOT, TaskAccepted, TaskEnded, Worker, accept, end, evolve
from .context import RunContext
from .entity import Fold
from .host import Host
from .manner import Manner
from .output import output_of
from .partition import PartitionActor
from .result import RunResult
from .run_actor import AwaitEnd, ContinueRun, StartRun
from .run_history import RunRequest, history_of
from .runtime import Reply
from .spec import AgentSpec

LOOK_EVERY_S = 0.25
"""How often it is looked how a task stands that another worker of this name does."""

_log = get_logger("treadle.actors")
FOLD: Fold[Worker] = Fold(Worker, evolve, SNAPSHOT)


class Delegate(Struct, frozen=True):
    """A task. Answers with its `TaskEnded`; a task that was done before is answered from the journal.

    Attributes:
        cause: The call that delegates it: recorded with the worker's events, and its conversation is the task's.
    """

    task: TaskAccepted
    cause: Meta


class OpenTasks(Struct, frozen=True):
    """Answers with the tasks that were accepted and have not ended."""


class WorkerActor(PartitionActor[Worker]):
    """One worker; its agent is the hosted agent of the same name. See `PartitionActor` for its phases.

    Tasks run beside the messages, each as a run of its own. A task that is asked for again while it goes on is
    answered by the same run.
    """

    def __init__(self, host: Host, stream: str) -> None:
        super().__init__(host.services, stream, FOLD)
        self._host = host
        self._name = stream.removeprefix("worker-")
        self._serving: dict[str, Reply[TaskEnded]] = {}

    def on_receive(self, message: Delegate | OpenTasks) -> Any:
        match message:
            case Delegate(task, cause):
                return self._serving.get(task.task_id) or self._begin(task, cause)
            case OpenTasks():
                return list(self._state.open.values())

    def _begin(self, task: TaskAccepted, cause: Meta) -> Reply[TaskEnded]:
        serving: Reply[TaskEnded] = self.later(self._serve(task, cause), name=f"task {task.task_id}")
        self._serving[task.task_id] = serving
        return serving

    async def _serve(self, task: TaskAccepted, cause: Meta) -> TaskEnded:
        try:
            known = self._state.ended.get(task.task_id)
            if known is not None:
                return known
            spec = self._host.agent(self._name)
            await self._commit(lambda state: accept(task, state), cause)
            result = await self._end_of_run(task, cause, spec)
            ended = TaskEnded(
                task_id=task.task_id,
                state=result.state,
                output=result.output,
                error=result.why,
                turns=result.turns,
                usage=result.usage,
            )
            await self._commit(lambda state: end(ended, state), cause)
            return ended
        finally:
            del self._serving[task.task_id]

    async def _end_of_run(self, task: TaskAccepted, cause: Meta, spec: AgentSpec) -> RunResult:
        """The result of the task's run, here or at another worker of this name that shares the journal."""
        while True:
            try:
                return await self._run(task, cause, spec)
            except Fenced as exc:
                # It has begun there, and lives: its end is in the journal when it comes. If it dies, we go on with it.
                _log.info("task %s is done elsewhere: %s", task.task_id, exc)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _run(self, task: TaskAccepted, cause: Meta, spec: AgentSpec) -> RunResult:
        """The task's run: continued if an earlier attempt left it open, read if it has ended."""
        run = self._host.run(task.run_id)
        request = RunRequest(
            run_id=task.run_id,
            prompt=task.prompt,
            images=task.images,
            manner=self._manner(task, spec),
            history=task.conversation,
            user_id=task.user_id,
            session_id=task.session_id,
            context=RunContext(metadata=task.metadata) if task.metadata else None,
            parent_run_id=task.parent_run_id,
            parent_call_id=task.task_id,
            depth=task.depth,
            budgets=task.budgets,
            causation_id=task.task_id,
            correlation_id=cause.correlation_id,
            traceparent=cause.traceparent,
        )
        if task.session_id and self._services.children is not None:
            return await self._services.children.run(spec, request)
        try:
            result = (await history_of(self._services.journal, task.run_id)).result
        except NotFound:
            result = await run.ask(StartRun(spec, request))
        else:
            if result.state not in _ENDED:
                result = await run.ask(ContinueRun(spec))
        return result if result.state in _ENDED else await run.ask(AwaitEnd())

    def _manner(self, task: TaskAccepted, spec: AgentSpec) -> Manner:
        asked = task.output
        if asked is None:
            return Manner(tone=task.tone).where_free(spec.manner)
        output = output_of(asked, (spec.manner.output,), self._services.output_of)
        return Manner(output, asked.retries, task.tone).where_free(spec.manner)


_ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.DEGRADED)
