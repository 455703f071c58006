"""The tools of a supervisor. They keep nothing: what was delegated, answered and spawned is in the run's events."""

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import structs

from ...events.child_step import ChildEnded, WorkerSpawned
from ...events.errors import ReplayDivergence
from ...events.message import Message, ToolSpec
from ..children import Asked, Children, DelegationFailed, Question, current_children, spec_of
from ..context import current_call
from ..manner import Manner
from ..spec import AgentSpec
from ..tool import BadArguments, Tool
from .architecture import Architecture
from .arguments import parameters, texts
from .react import ReAct
from .worker_ids import WorkerIds

_ROLE = re.compile(r"[\w-]{1,64}")
_SUMMARY_CHARS = 160


class ToolNames(NamedTuple):
    """What the tools are called."""

    delegate: str
    forward: str
    send: str = "send_message"
    spawn: str = "spawn_worker"


class Desk:
    """The tools of one run, over the workers that it began with.

    Args:
        ids: Of workers whose conversation is known by one.
        persistent: A worker's conversation is its user's; else each task begins anew.
        most_spawned: How many workers the model may make up; 0 for none.
    """

    def __init__(
        self,
        workers: Mapping[str, Asked],
        ids: WorkerIds,
        names: ToolNames,
        persistent: bool,
        most_spawned: int,
        spawn_template: "Asked | None",
    ) -> None:
        self._workers = workers
        self._ids = ids
        self._names = names
        self._persistent = persistent
        self._most_spawned = most_spawned
        self._spawn_template = spawn_template
        self._floor: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def tools(self) -> Sequence[Tool]:
        tools = (self._delegate_tool, self._forward_tool, self._send_tool)
        return (*tools, self._spawn_tool) if self._most_spawned else tools

    # --- what the model is shown ---

    @property
    def _delegate_tool(self) -> Tool:
        spec = ToolSpec(
            name=self._names.delegate,
            description="Have a worker do a task, and get its answer.",
            parameters=parameters(
                worker={**self._known, "description": roster(self._workers)},
                instructions="The task, with everything that the worker has to know.",
            ),
            idempotent=True,
            timeout_s=None,
        )
        return Tool(spec, self._delegate, True, texts("worker", "instructions"))

    @property
    def _forward_tool(self) -> Tool:
        spec = ToolSpec(
            name=self._names.forward,
            description="Answer the user with a worker's last answer, word for word. This ends your turn.",
            parameters=parameters(worker={**self._known, "description": "Whose answer."}),
            read_only=True,
            concurrency_safe=False,  # after the delegations of its turn
            ends_turn=True,
            timeout_s=None,
        )
        return Tool(spec, self._forward, True, texts("worker"))

    @property
    def _send_tool(self) -> Tool:
        spec = ToolSpec(
            name=self._names.send,
            description="Go on with a worker's conversation: ask back, or correct it. It knows what was said in it.",
            parameters=parameters(to={**self._known, "description": "The worker."}, content="What you tell it."),
            idempotent=True,
            concurrency_safe=False,  # after the delegations of its turn, which are a part of that conversation
            timeout_s=None,
        )
        return Tool(spec, self._send, True, texts("to", "content"))

    @property
    def _spawn_tool(self) -> Tool:
        spec = ToolSpec(
            name=self._names.spawn,
            description=f"Make up a worker for this task, for when none suits; {self._most_spawned} at most.",
            parameters=parameters(
                role="What it is called: letters, digits, '_' and '-'.", instructions="Who it is, and how it works."
            ),
            idempotent=True,
            timeout_s=None,
        )
        return Tool(spec, self._spawn, True, texts("role", "instructions"))

    @property
    def _known(self) -> dict[str, list[str]]:
        """Which workers there can be; nobody knows which will be spawned."""
        return {} if self._most_spawned else {"enum": list(self._workers)}

    # --- what they do ---

    async def _delegate(self, worker: str, instructions: str) -> str:
        return _told(worker, await self._ask(worker, instructions))

    async def _send(self, to: str, content: str) -> str:
        return _told(to, await self._ask(to, content, goes_on=True))

    async def _forward(self, worker: str) -> str:
        children = current_children()
        self._worker(worker, children)
        said = [child.ended for child in children.state.children.values() if child.requested.role == worker]
        answers = [ended.output for ended in said if ended is not None and ended.answered]
        if not answers:
            raise DelegationFailed(f"worker {worker!r} has not answered anything in this run; delegate to it first")
        return answers[-1]

    async def _spawn(self, role: str, instructions: str) -> str:
        if _ROLE.fullmatch(role) is None:
            raise BadArguments(f"the role {role!r} must be 1 to 64 letters, digits, '_' and '-'")
        spawned = WorkerSpawned(call_id=current_call().call_id, role=role, instructions=instructions)
        current_children().spawn(spawned, self._workers, self._most_spawned)
        return f"There is a worker {role!r} now; delegate to it."

    async def _ask(self, role: str, prompt: str, *, goes_on: bool = False) -> ChildEnded:
        call, children = current_call(), current_children()
        call_id = call.call_id
        try:
            worker = self._worker(role, children)
        except BadArguments as exc:
            known = children.state.children.get(call_id)
            if known is not None:
                recorded = f"a question to the worker {known.requested.role!r}"
                raise ReplayDivergence(call.run_id, call_id, recorded, f"nobody: {exc}") from exc
            raise
        manner = _manner(worker, children)
        session_id = self._conversation(role, worker, children)
        if not session_id:
            history = _said(role, children, call_id) if goes_on else ()
            question = Question(prompt=prompt, history=history, manner=manner)
            return await children.ask(call_id, call_id, worker, question, role=role)
        question = Question(prompt=prompt, session_id=session_id, manner=manner)
        # In the order of the calls, also when the run is resumed: to a session, a new prompt is the end of an open run.
        async with self._floor[role]:
            return await children.ask(call_id, call_id, worker, question, role=role)

    def _conversation(self, role: str, worker: Asked, children: Children) -> str:
        """The session of a worker; empty for one whose tasks begin anew."""
        whose, depth = children.conversation, children.depth
        known = self._ids.conversation(role, user_id=children.user_id, session_id=whose, depth=depth)
        if known or not self._persistent or role not in self._workers:
            return known
        return _conversation_of(role, worker, children)

    def _worker(self, role: str, children: Children) -> Asked:
        """Who that is: a worker that the run began with, or one that it has spawned.

        Raises:
            BadArguments: Nobody; the model is told who there is.
        """
        if role in self._workers:
            return self._workers[role]
        spawned = children.state.spawned
        if role not in spawned:
            raise BadArguments(f"there is no worker {role!r}; there are: {', '.join([*self._workers, *spawned])}")
        own, given = children.spec, self._spawn_template
        if given is None or isinstance(given, str):
            thinks: Architecture = ReAct()
            given = AgentSpec(name=role, model=own.model, architecture=thinks, retry=own.retry, options=own.options)
        return structs.replace(spec_of(given), name=role, instructions=spawned[role].instructions)


def roster(workers: Mapping[str, Asked]) -> str:
    """The workers as a model is told of them: each with the beginning of its instructions."""
    return "\n".join(f"- {role}{_summary(worker)}" for role, worker in workers.items())


def _summary(worker: Asked) -> str:
    if isinstance(worker, str):
        return ""
    text = " ".join(spec_of(worker).instructions.split())
    return f": {text[:_SUMMARY_CHARS]}{'…' if len(text) > _SUMMARY_CHARS else ''}" if text else ""


def _manner(worker: Asked, children: Children) -> Manner:
    """The tone of the run, since its lead may hand on what a worker says word for word."""
    started = children.state.started
    manner = Manner(tone=started.tone or None if started is not None else None)
    return manner if isinstance(worker, str) else manner.where_free(spec_of(worker).manner)


def _told(worker: str, ended: ChildEnded) -> str:
    if ended.answered:
        return ended.output
    if ended.state == "interrupted":
        return f"[interrupted: {ended.error}]\n{ended.output}".rstrip()
    raise DelegationFailed(f"worker {worker!r} ended {ended.state}: {ended.error or ended.output}")


def _said(role: str, children: Children, call_id: str) -> tuple[Message, ...]:
    """The worker's conversation in this run, up to this call."""
    said: list[Message] = []
    for asked_by, child in children.state.children.items():
        if asked_by == call_id:
            break
        task = children.state.tools.get(asked_by)
        if child.requested.role != role or child.ended is None or not child.ended.answered:
            continue
        if task is not None and task.requested is not None:
            args = task.requested.args
            prompt = args.get("instructions") or args.get("content") or ""
            said += [Message("user", prompt), Message("assistant", child.ended.output)]
    return tuple(said)


def _conversation_of(role: str, worker: Asked, children: Children) -> str:
    """The session of a worker: the same in every process, another when its instructions are others.

    The user is not in it, as sessions are a user's anyway; without a user it is that of the run's own session, since
    nobody knows that two such runs are one person's. The depth keeps workers that lead to each other in a circle from
    waiting for their own conversation.
    """
    instructions = "" if isinstance(worker, str) else spec_of(worker).instructions
    made_of = [role, instructions, children.depth, "" if children.user_id else children.conversation]
    return f"worker_{role}_{hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:16]}"
