"""The worker actor: serves delegated prompts by running its agent, each task once."""

import asyncio
from functools import partial
from typing import Any

from msgspec import Struct

from ..events.envelope import Meta
from ..events.errors import Fenced, NotFound, TreadleError
from ..events.logs import get_logger
from ..events.run import RunCancelled, RunState
from ..events.worker import SNAPSHOT, TaskAccepted, TaskEnded, Worker, accept, call_off, end, evolve
from .absent import absent
from .children import ChildPort
from .context import RunContext
from .entity import Fold
from .host import Host
from .manner import PLAIN, Manner
from .output import output_of
from .partition import PartitionActor
from .result import RunResult
from .run_actor import EndUnbegun
from .run_history import RunRequest, history_of
from .runtime import Reply
from .services import AskerPort, Unwanted
from .spec import AgentSpec

POLL_S = 20.0
"""How long a worker lets its asker wait before it says that the task still goes on."""

BEGINS_WITHIN_S = 1.0
"""How long a task that nobody wants may take to begin, before it is kept from it."""

WATCH_EVERY_S = 5.0
"""How often it is looked whether a run that asked for a task, and is in another journal, has ended."""

_LOOK_S = 0.05
_log = get_logger("treadle.actors")
FOLD: Fold[Worker] = Fold(Worker, evolve, SNAPSHOT)


class Delegate(Struct, frozen=True):
    """A task. Answers with its `TaskEnded`; a task that was done before is answered from the journal.

    Attributes:
        cause: The call that delegates it: recorded with the worker's events, and its conversation is the task's.
        wait_s: How long one who asks from elsewhere waits, at most, before it is told that the task goes on.
    """

    task: TaskAccepted
    cause: Meta
    wait_s: float = POLL_S


class LeftTasks(Struct, frozen=True):
    """Answers with the tasks that had begun, and that no living process is at, as they would be asked for again."""


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

    def on_receive(self, message: Delegate | Unwanted | LeftTasks) -> Any:
        match message:
            case Delegate(task, cause):
                return self._serving.get(task.task_id) or self._begin(task, cause)
            case Unwanted():
                return self.later(self._call_off(message))
            case LeftTasks():
                return self.later(self._left())

    @property
    def _children(self) -> ChildPort:
        children = self._services.children
        assert children is not None  # of whatever node has workers
        return children

    # --- a task ---

    def _begin(self, task: TaskAccepted, cause: Meta) -> Reply[TaskEnded]:
        serving: Reply[TaskEnded] = self.later(self._serve(task, cause), name=f"task {task.task_id}")
        self._serving[task.task_id] = serving
        return serving

    async def _serve(self, task: TaskAccepted, cause: Meta) -> TaskEnded:
        watching: asyncio.Task[None] | None = None
        try:
            known = self._state.ended.get(task.task_id)
            if known is not None:
                return known
            spec = self._host.agent(self._name)
            await self._commit(lambda state: accept(task, state), cause)
            if (called_off := self._state.ended.get(task.task_id)) is not None:
                return called_off
            asker = self._services.asker
            if asker is not None and task.parent_run_id:
                watching = asyncio.create_task(self._watch(task, asker), name=f"who asked for {task.task_id}")
            request = _request(task, cause, self._manner(task, spec))
            ended = _ended(task.task_id, await self._children.run(spec, request))
            await self._commit(lambda state: end(ended, state), cause)
            return self._state.ended.get(task.task_id, ended)
        finally:
            if watching is not None:
                watching.cancel()
            del self._serving[task.task_id]

    async def _watch(self, task: TaskAccepted, asker: AskerPort) -> None:
        """Cancel the task when the run that asked for it has ended, which is in another journal."""
        while not (end := await asker.end_of(task.user_id, task.parent_run_id)):  # noqa: ASYNC110 - of another journal
            await asyncio.sleep(WATCH_EVERY_S)
        reason = f"the run that asked for it ended ({end})"
        _log.info("task %s is cancelled: %s", task.task_id, reason)
        try:
            await self._children.cancel(task.run_id, RunCancelled(reason=reason))
        except TreadleError as exc:
            _log.warning("task %s, which nobody wants, goes on: %s", task.task_id, exc)

    async def _left(self) -> list[Delegate]:
        journal, left = self._services.journal, list[Delegate]()
        for task in list(self._state.open.values()):
            try:
                history = await history_of(journal, task.run_id)
            except NotFound:
                continue  # whoever asked for it asks again
            owner, request = history.state.owner, history.request
            if owner == journal.owner or await journal.is_alive(owner):
                continue
            cause = Meta(
                user_id=task.user_id,
                run_id=task.parent_run_id,
                causation_id=task.task_id,
                correlation_id=request.correlation_id,
                traceparent=request.traceparent,
            )
            left.append(Delegate(task, cause))
        return left

    # --- its asker has ended ---

    async def _call_off(self, unwanted: Unwanted) -> TaskEnded:
        task_id, cause = unwanted.task_id, unwanted.cause
        await self._entity.refresh()  # another node may have accepted it
        while (known := self._state.ended.get(task_id)) is None:
            result = await self._cancelled(unwanted)
            if result is not None:
                ended = _ended(task_id, result)
                await self._commit(partial(end, ended), cause)
                return self._state.ended.get(task_id, ended)
            error = f"cancelled: {unwanted.closing.reason}"
            unbegun = TaskEnded(task_id=task_id, state=RunState.CANCELLED, error=error)
            await self._commit(partial(call_off, unbegun), cause)
        return known

    async def _cancelled(self, unwanted: Unwanted) -> RunResult | None:
        """What came of the task's run; None when it has not begun, and now will not."""
        task_id, run_id, closing = unwanted.task_id, unwanted.run_id, unwanted.closing
        until = self._services.clock.monotonic() + BEGINS_WITHIN_S
        while True:
            result = await self._children.cancel(run_id, closing)
            task = self._state.open.get(task_id)
            if result is not None or (task is None and task_id not in self._serving):
                return result
            if task is not None and self._services.clock.monotonic() > until:
                # It waits for its turn in its session, or its worker sleeps: it meets this end when it begins.
                spec = self._host.agent(self._name) if self._name in self._host else absent(self._name)
                unbegun = EndUnbegun(spec, _request(task, unwanted.cause), closing)
                try:
                    return await self._host.result(self._host.run(run_id), unbegun)
                except Fenced:
                    continue  # it has begun just now
            await asyncio.sleep(_LOOK_S)

    def _manner(self, task: TaskAccepted, spec: AgentSpec) -> Manner:
        asked = task.output
        if asked is None:
            return Manner(tone=task.tone).where_free(spec.manner)
        output = output_of(asked, (spec.manner.output,), self._services.output_of)
        return Manner(output, asked.retries, task.tone).where_free(spec.manner)


def _request(task: TaskAccepted, cause: Meta, manner: Manner = PLAIN) -> RunRequest:
    """The task's run: continued if an earlier attempt left it open, read if it has ended."""
    return RunRequest(
        run_id=task.run_id,
        prompt=task.prompt,
        images=task.images,
        manner=manner,
        history=task.conversation,
        user_id=task.user_id,
        session_id=task.session_id,
        context=RunContext(metadata=task.metadata) if task.metadata else None,
        parent_run_id=task.parent_run_id,
        parent_call_id=task.task_id,
        depth=task.depth,
        budgets=task.budgets,
        terms=task.fork,
        causation_id=task.task_id,
        correlation_id=cause.correlation_id,
        traceparent=cause.traceparent,
    )


def _ended(task_id: str, result: RunResult) -> TaskEnded:
    return TaskEnded(
        task_id=task_id,
        state=result.state,
        output=result.output,
        error=result.why,
        turns=result.turns,
        usage=result.usage,
    )
