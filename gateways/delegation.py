"""Delegation: a tool that hands a prompt to a worker, in this process or another, and the port behind it.

The task's id is the call's: asked twice, after a crash or a lost reply, it is done once. A worker elsewhere is asked
again and again until it has an answer, so a long task needs no long request.
"""

import asyncio

import msgspec

from ..actors.children import DelegationFailed, Question, current_children
from ..actors.context import current_call
from ..actors.host import Host
from ..actors.tool import Tool
from ..actors.worker import Delegate
from ..events.bus import Bus, answer
from ..events.envelope import Meta
from ..events.errors import Unavailable
from ..events.logs import get_logger
from ..events.subjects import Subjects
from ..events.worker import TaskAccepted, TaskEnded
from .arguments import check_prompt
from .tools.function import tool

REQUEST_TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""How long a worker that nobody serves is looked for."""

LOOK_EVERY_S = 0.5

_log = get_logger("treadle.delegation")


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
