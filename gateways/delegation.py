"""Delegation: a tool that hands a prompt to a worker, in this process or another, and the port behind it.

The task's id is the call's: asked twice, after a crash or a lost reply, it is done once. A worker elsewhere is asked
again and again until it has an answer, so a long task needs no long request.
"""

import asyncio

import msgspec

from ..actors.context import current_call, current_cause
from ..actors.host import Host
from ..actors.services import current_services
from ..actors.tool import Tool
from ..actors.worker import Delegate
from ..events.bus import Bus, answer
from ..events.envelope import Meta
from ..events.errors import ConfigError, TreadleError, Unavailable
from ..events.logs import get_logger
from ..events.run import RunState
from ..events.subjects import Subjects
from ..events.worker import TaskAccepted, TaskEnded
from .arguments import check_prompt
from .tools.function import tool

MAX_DEPTH = 8
"""How many delegations deep a run may be: more is a circle."""

REQUEST_TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""How long a worker that nobody serves is looked for."""

LOOK_EVERY_S = 0.5

_log = get_logger("treadle.delegation")


class DelegationFailed(TreadleError):
    """The worker's run ended without an answer; the model is told why."""


def delegate(
    worker: str, *, name: str | None = None, description: str | None = None, timeout_s: float = 3600.0
) -> Tool:
    """A tool that delegates a prompt to the hosted agent `worker` and returns its answer.

    Args:
        name: The tool's name; default `delegate_to_<worker>`.
        timeout_s: Seconds until the answer is given up; the worker's run goes on and is not repeated.
    """

    async def run(prompt: str) -> str:
        check_prompt(prompt)
        call = current_call()
        services = current_services()
        if services.work is None:
            raise ConfigError("this system has no workers")
        if call.depth >= MAX_DEPTH:
            raise ConfigError(f"a run {call.depth} delegations deep may not delegate further; is this a circle?")
        task = TaskAccepted(
            task_id=call.call_id,
            run_id=f"{call.call_id}_{worker}",
            prompt=prompt,
            user_id=call.user_id,
            parent_run_id=call.run_id,
            depth=call.depth + 1,
        )
        ended = await services.work.delegate(worker, task, current_cause())
        if ended.state not in (RunState.COMPLETED, RunState.DEGRADED):
            raise DelegationFailed(f"worker {worker!r} ended {ended.state}: {ended.error or ended.output}")
        return ended.output

    return tool(
        name=name or f"delegate_to_{worker}",
        description=description or f"Hand a task to {worker!r} and get its answer. Say all it needs to know.",
        idempotent=True,
        timeout_s=timeout_s,
    )(run)


class _Poll(msgspec.Struct):
    task_id: str
    state: str


class Delegations:
    """`WorkPort`: a worker of this process if its agent is hosted here, else whoever serves it on the bus."""

    def __init__(self, host: Host, bus: Bus | None = None, subjects: Subjects | None = None) -> None:
        self._host = host
        self._bus = bus
        self._subjects = subjects or Subjects()
        self._missing: set[str] = set()

    async def delegate(self, worker: str, task: TaskAccepted, cause: Meta) -> TaskEnded:
        message = Delegate(task, cause)
        if self._bus is None or worker in self._host:
            self._host.agent(worker)  # refuses a worker that is nowhere
            ended: TaskEnded = await self._host.worker(worker).ask(message)
            return ended
        return await self._ask(self._bus, worker, msgspec.json.encode(message), task.user_id)

    async def _ask(self, bus: Bus, worker: str, message: bytes, user_id: str) -> TaskEnded:
        subject = self._subjects.work(user_id, worker)
        clock = self._host.services.clock
        seen = clock.monotonic()
        while True:
            try:
                reply = answer(await bus.request(subject, message, REQUEST_TIMEOUT_S))
            except Unavailable as exc:
                if clock.monotonic() - seen > PATIENCE_S:
                    raise Unavailable(f"worker {worker!r}", f"{exc.why}, for {PATIENCE_S:g} s now") from exc
                if worker not in self._missing:
                    self._missing.add(worker)
                    _log.warning("worker %r does not answer and is looked for: %s", worker, exc)
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            seen = clock.monotonic()
            if worker in self._missing:
                self._missing.discard(worker)
                # As loud as its absence: whoever saw that one wants to see this.
                _log.warning("worker %r answers again", worker)
            if msgspec.json.decode(reply, type=_Poll).state != "running":
                return msgspec.json.decode(reply, type=TaskEnded)
