"""Delegation: a tool that hands a prompt to a worker, in this process or another, and the port behind it.

The task's id is the call's: asked twice, after a crash or a lost reply, it is done once. A worker is asked again and
again until it has an answer, so a long task needs no long request, and a journal that is away for a while no luck.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import structs

from ..actors.children import DelegationFailed, Question, current_children
from ..actors.context import current_call
from ..actors.host import Host
from ..actors.services import Unwanted
from ..actors.tool import Tool
from ..actors.worker import POLL_S, Delegate, LeftTasks
from ..events.bus import Bus, answer
from ..events.envelope import Meta
from ..events.errors import AppendUncertain, Unavailable
from ..events.logs import get_logger
from ..events.run import RunCancelled
from ..events.subjects import Subjects
from ..events.worker import TaskAccepted, TaskEnded
from .arguments import check_prompt
from .tools.function import tool

FIRST_WAIT_S = 1.0
ANSWER_S = 2.0
"""How long a worker may take to say that a task has not ended yet, beside the time that it was given for the end."""

PATIENCE_S = 60.0
"""How long a worker that nobody serves, or whose journal is away, is looked for, unless the system says otherwise."""

LOOK_EVERY_S = 0.5

_log = get_logger("treadle.delegation")

T = TypeVar("T")


def delegate(
    worker: str, *, name: str | None = None, description: str | None = None, timeout_s: float | None = 3600.0
) -> Tool:
    """A tool that delegates a prompt to the hosted agent `worker` and returns its answer.

    Args:
        name: The tool's name; default `delegate_to_<worker>`.
        timeout_s: Seconds until the answer is given up; the worker's run goes on and is not repeated. None: it waits.
    """

    async def run(prompt: str) -> str:
        check_prompt(prompt)
        call_id = current_call().call_id
        ended = await current_children().ask(call_id, call_id, worker, Question(prompt=prompt))
        if not ended.answered:
            raise DelegationFailed(f"worker {worker!r} ended {ended.state}: {ended.error or ended.output}")
        return ended.output

    return tool(
        name=name or f"delegate_to_{worker}",
        description=description or f"Hand a task to {worker!r} and get its answer. Say all it needs to know.",
        idempotent=True,
        timeout_s=timeout_s,
    )(run)


async def within(wait_s: float, asking: Awaitable[T]) -> T | None:
    """What is answered, or None when that takes longer; what was begun goes on."""
    waiting = asyncio.ensure_future(asking)
    try:
        await asyncio.wait((waiting,), timeout=wait_s)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()


class _Poll(msgspec.Struct):
    task_id: str
    state: str


def encoded(task_id: str, ended: TaskEnded | None) -> bytes:
    """What a worker says of a task: how it has ended, or that it has not."""
    return msgspec.json.encode(_Poll(task_id, "running") if ended is None else ended)


async def _asked(bus: Bus, subject: str, data: bytes, wait_s: float) -> TaskEnded | None:
    """What a worker says of a task; None while it has not ended."""
    reply = answer(await bus.request(subject, data, wait_s + ANSWER_S))
    if msgspec.json.decode(reply, type=_Poll).state == "running":
        return None
    return msgspec.json.decode(reply, type=TaskEnded)


class Delegations:
    """`WorkPort`: a worker of this process if its agent is hosted here, else whoever serves it on the bus."""

    def __init__(self, host: Host, bus: Bus | None = None, subjects: Subjects | None = None) -> None:
        self._host = host
        self._bus = bus
        self._subjects = subjects or Subjects()
        self._missing: set[str] = set()

    def is_here(self, worker: str) -> bool:
        return self._bus is None or worker in self._host

    async def delegate(self, worker: str, task: TaskAccepted, cause: Meta) -> TaskEnded:
        if self._bus is None or self.is_here(worker):
            self._host.agent(worker)  # refuses a worker that is nowhere
            return await self._until_ended(worker, partial(self._wait, worker, Delegate(task, cause)))
        return await self._until_ended(worker, partial(self._poll, self._bus, worker, Delegate(task, cause)))

    async def _until_ended(self, worker: str, ask: Callable[[float], Awaitable[TaskEnded | None]]) -> TaskEnded:
        """Ask until the task has ended.

        Each time the worker may take twice as long to say that it goes on. So when it dies, and our question with it,
        no more time is lost than the task has taken, and a long task is not asked for often.
        """
        clock, wait_s = self._host.services.clock, FIRST_WAIT_S
        seen, patience_s = clock.monotonic(), self._host.services.patience_s or PATIENCE_S
        while True:
            try:
                ended = await ask(wait_s)
            except (Unavailable, AppendUncertain) as exc:
                if clock.monotonic() - seen > patience_s:
                    why = exc.why if isinstance(exc, Unavailable) else str(exc)
                    raise Unavailable(
                        f"worker {worker!r}", f"{why}, for {patience_s:g} s now (patience_s of the system)"
                    ) from exc
                if worker not in self._missing:
                    self._missing.add(worker)
                    _log.warning("worker %r does not answer and is looked for: %s", worker, exc)
                wait_s = FIRST_WAIT_S
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            seen, wait_s = clock.monotonic(), min(2 * wait_s, POLL_S)
            if worker in self._missing:
                self._missing.discard(worker)
                # As loud as its absence: whoever saw that one wants to see this.
                _log.warning("worker %r answers again", worker)
            if ended is not None:
                return ended

    async def _wait(self, worker: str, message: Delegate, wait_s: float) -> TaskEnded | None:
        ended: TaskEnded | None = await within(wait_s, self._host.worker(worker).ask(message))
        return ended

    async def _poll(self, bus: Bus, worker: str, message: Delegate, wait_s: float) -> TaskEnded | None:
        data = msgspec.json.encode(structs.replace(message, wait_s=wait_s))
        return await _asked(bus, self._subjects.work(message.task.user_id, worker), data, wait_s)

    async def cancel(self, worker: str, unwanted: Unwanted) -> TaskEnded:
        if self._bus is not None and worker not in self._host:
            subject, data = self._subjects.work_cancel(unwanted.cause.user_id, worker), msgspec.json.encode(unwanted)
            try:
                while (there := await _asked(self._bus, subject, data, FIRST_WAIT_S)) is None:
                    _log.debug("worker %r is still at the end of task %s", worker, unwanted.task_id)
                return there
            except Unavailable as exc:
                # Its node is away. In a journal that we share its run is ended from here, whoever was at it.
                _log.info("worker %r is not there to cancel task %s: %s", worker, unwanted.task_id, exc)
        ended: TaskEnded = await self._host.worker(worker).ask(unwanted)
        return ended

    async def take_up(self) -> list[tuple[str, Delegate]]:
        """The tasks that a former process of this node had begun, and their workers, to be gone on with.

        Those whose asker has ended since are cancelled when this returns.
        """
        asker, found = self._host.services.asker, list[tuple[str, Delegate]]()
        for worker in self._host.names():
            left: list[Delegate] = await self._host.worker(worker).ask(LeftTasks())
            for each in left:
                task = each.task
                if asker is not None and (end := await asker.end_of(task.user_id, task.parent_run_id)):
                    closing = RunCancelled(reason=f"the run that asked for it ended ({end})")
                    await self._host.worker(worker).ask(Unwanted(task.task_id, task.run_id, closing, each.cause))
                else:
                    found.append((worker, each))
        return found

    async def go_on(self, worker: str, left: Delegate) -> None:
        """Bring a task that was left to its end, for whoever asks for it again."""
        await self.delegate(worker, left.task, left.cause)
