"""What a system can be asked over the bus: run, resume, history, steer, approve, cancel, status. JSON in, JSON out;
see `docs/nats.md`.

On NATS these are the endpoints of one micro service, so that any client can discover them; without NATS they are
served on the in-process bus under the same subjects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType]
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, ServiceConfig

from ..actors.context import RunContext
from ..actors.run_actor import ApproveCall, ContinueRun, EndRun, StartRun
from ..actors.run_history import RunRequest, history_of
from ..actors.services import Unwanted
from ..actors.session_messages import Prompt
from ..actors.worker import POLL_S, Delegate
from ..events.bus import Bus, BusMessage
from ..events.errors import ConfigError, Refused, TreadleError, Undecodable
from ..events.logs import get_logger
from ..events.run import RunCancelled, RunClosed
from ..events.signal import DEPTH_LIMIT, too_deep
from ..events.subjects import Subjects
from .arguments import check_prompt
from .buses.nats import NatsBus
from .delegation import FIRST_WAIT_S, encoded, within
from .fork_changes import Changes
from .forks import begin_fork
from .node import Node
from .steering import steering_of

VERSION = "1.0.0"
PAGE_BYTES = 700 * 1024
"""How large a page of history may get: a message of NATS has a megabyte at most."""

Answer = Callable[[bytes], Awaitable[Any]]
AnswerFor = Callable[[str, bytes], Awaitable[Any]]
"""Answers a request for whom its first argument says: a subject, or the user that stands in it."""

_log = get_logger("treadle.services")


class AskRun(Struct, frozen=True, forbid_unknown_fields=True):
    """Run a prompt. Answers `{"run_id", "session_id"}` when the run has begun, or its result if `wait`."""

    agent: str
    prompt: str
    user_id: str = ""
    session_id: str = ""
    metadata: dict[str, Any] = {}
    wait: bool = False


class AskResume(Struct, frozen=True, forbid_unknown_fields=True):
    """Go on with an open run. Answers `{"run_id", "session_id"}` at once, or its result if `wait`."""

    run_id: str
    wait: bool = False


class AskFork(Struct, frozen=True, forbid_unknown_fields=True):
    """Fork a run. Answers `{"run_id", "session_id", "forked_from"}` when the fork has begun, or its result if `wait`.

    Attributes:
        at: A version, or the name of a step.
        of: The run that this is a version or a step of, one that the forked run asked; empty for itself.
        model: As `model=` takes it; empty for the agent's own.
        models: The same for the agents that it asks from there on, by their roles.
        prompt: Another question, at its beginning; later what the user says further. Empty for none.
        instructions: In the place of the run's, from there on; null for the same.
        fork_id: The fork's id, if the caller wants to choose it; forking twice under one forks once.
    """

    run_id: str
    at: int | str = 1
    of: str = ""
    model: str = ""
    models: dict[str, str] = {}
    prompt: str = ""
    instructions: str | None = None
    fork_id: str = ""
    wait: bool = False

    @property
    def changes(self) -> Changes:
        return Changes(
            model=self.model or None,
            models=self.models,
            prompt=self.prompt or None,
            instructions=self.instructions,
        )


class AskHistory(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of a run or any stream above version `after`. Answers `{"events", "head", "more"}`."""

    run_id: str = ""
    stream: str = ""
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1)] = 500

    @property
    def wanted(self) -> str:
        """The stream.

        Raises:
            Undecodable: None is named, or two.
        """
        if bool(self.run_id) == bool(self.stream):
            raise Undecodable("history wants run_id or stream, one of them")
        return self.stream or f"run-{self.run_id}"


class AskApprove(Struct, frozen=True, forbid_unknown_fields=True):
    """Answer a call that waits for approval. Answers `{"call_id", "allowed"}` when that is on disk."""

    call_id: str
    allowed: bool
    run_id: str = ""
    by: str = ""
    note: str = ""

    @property
    def wanted(self) -> str:
        """The run: a call's id says whose call it is."""
        return self.run_id or self.call_id.rsplit("_", 2)[0]


class AskSteer(Struct, frozen=True, forbid_unknown_fields=True):
    """Tell a run something while it goes on. Answers `{"run_id", "id"}` when that is on disk.

    Attributes:
        now: Its model calls that are going on are cut short.
        to: Whom it is for instead: a role of those whom the run asks now, or the id of such a run.
        id: If the caller wants to choose it; telling it twice under one id tells it once.
    """

    run_id: str
    text: str
    by: str = ""
    now: bool = False
    to: str = ""
    id: str = ""


class AskCancel(Struct, frozen=True, forbid_unknown_fields=True):
    """Stop a run. Answers with its result when it is closed."""

    run_id: str
    reason: str = "cancelled"
    by: str = ""


class _Endpoint(NamedTuple):
    name: str
    subject: str
    answer: AnswerFor


class Services:
    """The services of one node."""

    def __init__(self, node: Node, bus: Bus, subjects: Subjects) -> None:
        self._node = node
        self._bus = bus
        self._subjects = subjects
        self._stack = AsyncExitStack()
        self._running: set[asyncio.Future[Any]] = set()
        self._workers: set[str] = set()

    async def start(
        self, more: Mapping[str, Answer] | None = None, for_users: Mapping[str, AnswerFor] | None = None
    ) -> None:
        """Serve from now on; `more` are further kinds and who answers them, `for_users` what is asked for one user."""
        kinds: dict[str, Answer] = {
            "run": self.run,
            "resume": self.resume,
            "fork": self.fork,
            "history": self.history,
            "steer": self.steer,
            "approve": self.approve,
            "cancel": self.cancel,
            **(more or {}),
        }
        endpoints = [
            *(_Endpoint(kind, self._subjects.ask(kind), _whoever(answer)) for kind, answer in kinds.items()),
            *(_Endpoint(f"{kind}-own", self._subjects.asks(kind), own) for kind, own in (for_users or {}).items()),
        ]
        if isinstance(self._bus, NatsBus):
            await self._add_micro_service(self._bus, endpoints)
        else:
            for _, subject, answer in endpoints:
                await self._stack.enter_async_context(self._bus.serve(subject, _unwrapped(answer), queue="treadle"))

    async def serve_worker(self, name: str) -> None:
        """Take tasks that runs of other processes delegate to the agent `name`; serving it twice does nothing."""
        if name in self._workers:
            return
        self._workers.add(name)
        for subject, answer in (
            (self._subjects.works(name), self._work(name)),
            (self._subjects.work_cancels(name), self._unwanted(name)),
        ):
            await self._stack.enter_async_context(self._bus.serve(subject, answer, queue=f"worker-{name}"))

    async def shut(self) -> None:
        """Answer no more. What was begun goes on."""
        await self._stack.aclose()

    async def close(self) -> None:
        await self.shut()
        running = tuple(self._running)
        for each in running:
            each.cancel()
        if running:
            await asyncio.wait(running)

    async def _add_micro_service(self, bus: NatsBus, endpoints: Sequence["_Endpoint"]) -> None:
        service = await add_service(
            bus.client,
            ServiceConfig(
                name="treadle",
                version=VERSION,
                description="Runs of agents: start, read, steer, approve, cancel",
                metadata={"namespace": self._subjects.namespace, "owner": self._node.journal.owner},
            ),
        )
        self._stack.push_async_callback(service.stop)
        for name, subject, answer in endpoints:
            config = EndpointConfig(name=name, subject=subject, handler=self._responding(answer))
            await service.add_endpoint(config)

    def _responding(self, answer: AnswerFor) -> Callable[[Request], Awaitable[None]]:
        """Answer each request in a task of its own: an endpoint of nats-py hands out one request after the other."""

        async def respond(request: Request) -> None:
            responding = asyncio.create_task(respond_to(request, answer))
            self._running.add(responding)
            responding.add_done_callback(self._running.discard)

        return respond

    # --- the kinds ---

    async def run(self, data: bytes) -> Any:
        asked = decoded(data, AskRun)
        check_prompt(asked.prompt)
        host = self._node.host
        spec = host.agent(asked.agent)
        run_id = self._node.clock.new_id()
        context = RunContext(user_id=asked.user_id, session_id=asked.session_id, metadata=asked.metadata)
        if asked.session_id:
            prompt = Prompt(spec=spec, prompt=asked.prompt, run_id=run_id, context=context)
            asking = host.session(asked.user_id, asked.agent, asked.session_id).ask(prompt)
        else:
            request = RunRequest(run_id=run_id, prompt=asked.prompt, user_id=asked.user_id, context=context)
            asking = host.run(run_id).ask(StartRun(spec, request))
        return await self._begun(asking, run_id, asked.session_id or run_id, asked.wait)

    async def resume(self, data: bytes) -> Any:
        asked = decoded(data, AskResume)
        host = self._node.host
        history = await history_of(self._node.journal, asked.run_id)
        if history.state.closed is not None:
            raise RunClosed(asked.run_id, history.state.state)
        host.agent(history.agent)
        asking = host.result(host.run(asked.run_id), ContinueRun())
        return await self._begun(asking, asked.run_id, history.request.session_id, asked.wait)

    async def fork(self, data: bytes) -> Any:
        asked = decoded(data, AskFork)
        fork_id, answer = await begin_fork(
            self._node, asked.run_id, at=asked.at, of=asked.of, changes=asked.changes, fork_id=asked.fork_id
        )
        begun = await self._begun(answer, fork_id, fork_id, asked.wait)
        return begun if asked.wait else {**begun, "forked_from": asked.run_id}

    async def _begun(self, asking: Awaitable[Any], run_id: str, session_id: str, wait: bool) -> Any:
        running = asyncio.ensure_future(asking)
        self._running.add(running)
        running.add_done_callback(self._ended)
        if wait:
            return await asyncio.shield(running)
        return {"run_id": run_id, "session_id": session_id}

    def _ended(self, running: "asyncio.Future[Any]") -> None:
        self._running.discard(running)
        if not running.cancelled() and running.exception() is not None:
            _log.warning("a run that was asked for over the bus ended with %s", running.exception())

    async def history(self, data: bytes) -> Any:
        asked = decoded(data, AskHistory)
        stream = asked.wanted
        limit = min(asked.limit, 1000)
        head = await self._node.journal.head(stream)
        events: list[msgspec.Raw] = []
        size, last = 0, asked.after
        for recorded in await self._node.journal.read(stream, asked.after, limit):
            size += len(recorded.stored)
            if events and size > PAGE_BYTES:
                break
            events.append(msgspec.Raw(recorded.stored))
            last = recorded.version
        return {"stream": stream, "events": events, "head": head.version, "more": last < head.version}

    async def steer(self, data: bytes) -> Any:
        asked = decoded(data, AskSteer)
        message = steering_of(
            asked.text, id=asked.id or self._node.clock.new_id(), by=asked.by, now=asked.now, to=asked.to
        )
        await self._node.host.run(asked.run_id).ask(message)
        return {"run_id": asked.run_id, "id": message.steering_id}

    async def approve(self, data: bytes) -> Any:
        asked = decoded(data, AskApprove)
        await self._node.host.run(asked.wanted).ask(ApproveCall(asked.call_id, asked.allowed, asked.by, asked.note))
        return {"call_id": asked.call_id, "allowed": asked.allowed}

    async def cancel(self, data: bytes) -> Any:
        asked = decoded(data, AskCancel)
        await history_of(self._node.journal, asked.run_id)
        return await self._node.host.run(asked.run_id).ask(EndRun(RunCancelled(reason=asked.reason, by=asked.by)))

    def _work(self, name: str) -> Callable[[BusMessage], Awaitable[bytes]]:
        async def work(message: BusMessage) -> bytes:
            asked: Delegate = decoded(message.data, Delegate)
            check_prompt(asked.task.prompt)
            for user_id in (asked.task.user_id, asked.cause.user_id):
                # A tenant's account may publish under its own user; what it writes in the body is no proof of another.
                if message.subject != self._subjects.work(user_id, name):
                    raise Undecodable(f"a task of user {user_id!r} came on {message.subject!r}")
            ended = await within(min(asked.wait_s, POLL_S), self._node.host.worker(name).ask(asked))
            return encoded(asked.task.task_id, ended)

        return work

    def _unwanted(self, name: str) -> Callable[[BusMessage], Awaitable[bytes]]:
        async def cancel(message: BusMessage) -> bytes:
            asked: Unwanted = decoded(message.data, Unwanted)
            if message.subject != self._subjects.work_cancel(asked.cause.user_id, name):
                raise Undecodable(f"the end of a task of user {asked.cause.user_id!r} came on {message.subject!r}")
            return encoded(asked.task_id, await within(FIRST_WAIT_S, self._node.host.worker(name).ask(asked)))

        return cancel


def decoded(data: bytes, kind: type[Any]) -> Any:
    """The request in `data`.

    Raises:
        Undecodable: It is none of this kind.
    """
    try:
        asked = msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Undecodable(f"the request is no {kind.__name__}: {exc}; see docs/nats.md") from exc
    if too_deep(getattr(asked, "metadata", None)):
        raise Undecodable(f"the metadata is nested deeper than {DEPTH_LIMIT} levels")
    return asked


def _whoever(answer: Answer) -> AnswerFor:
    """`answer`, wherever it is asked."""

    async def respond(_subject: str, data: bytes) -> Any:
        return await answer(data)

    return respond


async def respond_to(request: Request, answer: AnswerFor) -> None:
    """The answer, or an error as the services API has them."""
    try:
        reply = msgspec.json.encode(await answer(request.subject, request.data))
    except TreadleError as exc:
        code = "400" if isinstance(exc, Undecodable | ConfigError) else "409" if isinstance(exc, Refused) else "503"
        await request.respond_error(code, f"{type(exc).__name__}: {' '.join(str(exc).split())}")
    except Exception as exc:
        _log.exception("request on %s failed", request.subject)
        await request.respond_error("500", f"{type(exc).__name__}: {' '.join(str(exc).split())}")
    else:
        await request.respond(reply)


def _unwrapped(answer: AnswerFor) -> Callable[[BusMessage], Awaitable[bytes]]:
    async def respond(message: BusMessage) -> bytes:
        return msgspec.json.encode(await answer(message.subject, message.data))

    return respond
