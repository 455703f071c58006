"""The worker's side: tools that this process does for runs elsewhere, in a queue group with all others that do.

A call is taken first and begun when its caller says so (`wire.py`). What has ended is kept for a while, in memory,
for a caller that comes back after a crash; with a journal it is kept for good (`record.py`).
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType]
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from ...actors.clock import Clock
from ...actors.services import Services
from ...actors.threads import ToolThreads
from ...actors.tool import BadArguments, Tool
from ...events.bus import Bus, BusMessage
from ...events.call import CallEnded
from ...events.errors import ConfigError, Unavailable, Undecodable
from ...events.journal import Journal
from ...events.logs import get_logger
from ...events.subjects import Subjects
from ..broker.errors import translated
from ..buses.nats import NatsBus
from ..buses.wire import MAX_PAYLOAD_BYTES
from . import wire
from .record import CallRecord
from .taken import TakenCall
from .wire import Asked, Cancel, Go, Look, Order, Standing, Taken

VERSION = "1.0.0"

LINGER_S = 5.0
"""How long a worker that ends waits for its callers to fetch what has come of their calls."""

KEEP_S = 600.0
KEPT_CALLS = 1000
KEPT_BYTES = 64 * 1024 * 1024
"""How long, how many and how large are the calls that have ended and are kept in memory."""

_HEADROOM_BYTES = 4096  # of the reply's own headers
_Key = tuple[str, int]
_log = get_logger("treadle.workers")


class Offers:
    """The tools of one process, offered on a bus between `start` and `close`.

    Args:
        journal: Where it is recorded what was done; None: in memory only.
        services: What tools find with `current_services`; None in a process that has no system.
        limit: How many calls it has at once; more are left to the other workers.
    """

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        clock: Clock,
        threads: ToolThreads,
        *,
        journal: Journal | None = None,
        services: Services | None = None,
        limit: int = 256,
    ) -> None:
        self.worker_id = clock.new_id()
        self._bus = bus
        self._subjects = subjects
        self._clock = clock
        self._threads = threads
        self._journal = journal
        self._services = services
        self._limit = limit
        self._tools: dict[str, Tool] = {}
        self._taking = AsyncExitStack()
        self._telling = AsyncExitStack()
        self._started = self._draining = False
        self._service: Service | None = None
        self._calls: dict[_Key, TakenCall] = {}
        self._kept: dict[_Key, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        running = sum(call.running for call in self._calls.values())
        return f"<Offers {', '.join(self._tools) or 'no tools'}: {running} running, {len(self._kept)} kept>"

    @property
    def tools(self) -> Sequence[str]:
        """The names of the tools."""
        return tuple(self._tools)

    @property
    def running(self) -> int:
        """How many calls are being done."""
        return sum(call.running for call in self._calls.values())

    async def add(self, tool: Tool) -> None:
        """Offer one more.

        Raises:
            ConfigError: One of that name is offered here already.
            Unavailable: The bus does not serve.
        """
        if tool.name in self._tools:
            raise ConfigError(f"a tool {tool.name!r} is offered already; give one another name: @tool(name=…)")
        self._tools[tool.name] = tool
        if self._started:
            await self._serve(tool)

    async def start(self) -> None:
        """Take calls from now on."""
        if self._started:
            return
        self._started = True
        for tool in self._tools.values():
            await self._serve(tool)

    async def close(self) -> None:
        """Take no more, finish what has begun, and let its callers fetch it."""
        self._draining = True
        await self._taking.aclose()
        for key in [key for key, call in self._calls.items() if call.task is None]:
            del self._calls[key]
        await self._finish()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._telling.aclose()

    async def _finish(self) -> None:
        begun = [call for call in self._calls.values() if call.task is not None and not call.told.is_set()]
        tasks = [call.task for call in begun if call.task is not None]
        if not tasks:
            return
        _log.info("%d calls are finished before this worker ends", len(tasks))
        await asyncio.wait(tasks)
        fetched = [asyncio.create_task(call.told.wait()) for call in begun]
        _, waiting = await asyncio.wait(fetched, timeout=LINGER_S)
        for each in waiting:
            each.cancel()

    # --- what is served ---

    async def _serve(self, tool: Tool) -> None:
        name, subjects = tool.name, self._subjects
        await self._telling.enter_async_context(self._bus.serve(subjects.tool_on(name, self.worker_id), self._order))
        await self._describe(tool)
        await self._taking.enter_async_context(self._bus.serve(subjects.tool_calls(name), self._take, queue=wire.QUEUE))

    async def _describe(self, tool: Tool) -> None:
        """Tell what the tool takes; on NATS as an endpoint of a micro service, so that any client finds it."""
        subject, spec = self._subjects.tool_spec(tool.name), msgspec.json.encode(tool.spec)
        if not isinstance(self._bus, NatsBus):

            async def tell(_: BusMessage) -> bytes:
                return spec

            await self._taking.enter_async_context(self._bus.serve(subject, tell, queue=wire.QUEUE))
            return

        async def respond(request: Request) -> None:
            await request.respond(spec)

        if self._service is None:
            config = ServiceConfig(
                name="treadle-worker",
                version=VERSION,
                description="Tools for runs elsewhere",
                metadata={"namespace": self._subjects.namespace, "worker": self.worker_id},
                queue_group=wire.QUEUE,
            )
            self._service = await add_service(self._bus.client, config)
            self._taking.push_async_callback(self._stop_service, self._service)
        endpoint = re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)
        parameters = bytes(tool.spec.parameters).decode()
        about = {"tool": tool.name, "description": tool.spec.description, "parameters": parameters}
        await self._service.add_endpoint(
            EndpointConfig(name=endpoint, subject=subject, handler=respond, metadata=about)
        )

    async def _stop_service(self, service: Service) -> None:
        if not self._bus.connected:
            return  # there is nobody to unsubscribe from, and it would be waited for
        with contextlib.suppress(Unavailable), translated("the micro service of this worker"):
            await service.stop()

    # --- one call ---

    async def _take(self, message: BusMessage) -> bytes:
        asked = _decoded(message.data, Asked)
        call = asked.call
        for user_id in (call.user_id, asked.cause.user_id):
            # What a caller may publish under is the broker's to know; the body is no proof of another user.
            if message.subject != self._subjects.tool_call(call.tool, user_id):
                raise Undecodable(f"a call of tool {call.tool!r} for user {user_id!r} came on {message.subject!r}")
        tool = self._tools[call.tool]
        if self._draining:
            raise Unavailable(f"worker {self.worker_id}", "it is ending")
        self._forget_stale()
        # Those that it has taken count: each of their callers is about to say Go.
        if sum(call.task is None or call.running for call in self._calls.values()) >= self._limit:
            raise Unavailable(f"worker {self.worker_id}", f"it has {self._limit} calls")
        key = call.call_id, call.attempt
        known = self._calls.get(key)
        if known is None or known.task is None:
            try:
                bound = tool.bind(asked.args)
            except BadArguments as exc:
                return msgspec.json.encode(Taken(refused=str(exc)))
            self._calls[key] = TakenCall(tool, asked, bound, self._clock)
        return msgspec.json.encode(Taken(self.worker_id))

    async def _order(self, message: BusMessage) -> bytes:
        order: Order = _decoded(message.data, Order)
        key = order.call_id, order.attempt
        call = self._calls.get(key)
        match order:
            case Go(limit_s=limit_s):
                if call is None or call.stale:
                    self._calls.pop(key, None)
                    why = (
                        "it is ending"
                        if self._draining
                        else f"it may begin a call within {wire.LEASE_S:g} s of taking it"
                    )
                    return msgspec.json.encode(Standing("not_begun", why=why))
                if call.task is None:
                    self._begin(key, call, limit_s)
            case Cancel():
                if call is not None:
                    call.cancel()
                    self._forget(key)
                return msgspec.json.encode(Standing("gone"))
            case Look():
                pass
        if call is None:
            return msgspec.json.encode(Standing("gone"))
        standing = await call.standing(wire.FIRST_POLL_S if isinstance(order, Go) else wire.POLL_S)
        if standing.state != "running":
            call.told.set()
        return self._fitting(standing, call)

    def _begin(self, key: _Key, call: TakenCall, limit_s: float | None) -> None:
        record = CallRecord(self._journal, self._clock, call.asked) if self._journal is not None else None
        findable = asyncio.Event()
        task = call.begin(findable, limit_s, self._threads, record, self._services)
        finding = asyncio.create_task(self._be_found(key, call, task, findable))
        self._tasks.add(finding)
        finding.add_done_callback(self._tasks.discard)

    async def _be_found(
        self, key: _Key, call: TakenCall, task: "asyncio.Task[Standing]", findable: asyncio.Event
    ) -> None:
        """Answer on the call's own subject from before the tool begins, and while its outcome is kept."""
        subject = self._subjects.tool_at(call.tool.name, *key)
        try:
            async with self._bus.serve(subject, self._order):
                findable.set()
                await asyncio.wait((task,))
                if not task.cancelled() and task.result().state == "ended":
                    self._keep(key, task.result())
                    await asyncio.sleep(KEEP_S)
        except Unavailable as exc:
            _log.warning("call %s cannot be found by a caller that comes back: %s", key[0], exc)
            findable.set()
            await asyncio.wait((task,))
        finally:
            findable.set()
            self._forget(key)

    def _keep(self, key: _Key, standing: Standing) -> None:
        self._kept[key] = len(msgspec.json.encode(standing))
        while len(self._kept) > KEPT_CALLS or (sum(self._kept.values()) > KEPT_BYTES and len(self._kept) > 1):
            self._forget(next(iter(self._kept)))

    def _forget(self, key: _Key) -> None:
        self._calls.pop(key, None)
        self._kept.pop(key, None)

    def _forget_stale(self) -> None:
        for key in [key for key, call in self._calls.items() if call.stale]:
            del self._calls[key]

    def _fitting(self, standing: Standing, call: TakenCall) -> bytes:
        """The answer, or that it does not fit into a message."""
        encoded = msgspec.json.encode(standing)
        limit = self._bus.client.max_payload if isinstance(self._bus, NatsBus) else MAX_PAYLOAD_BYTES
        if len(encoded) <= limit - _HEADROOM_BYTES or standing.ended is None:
            return encoded
        error = (
            f"the tool ran, and its result is too large: {len(encoded)} bytes, {limit - _HEADROOM_BYTES} fit into one "
            "message; return less, or where it can be read"
        )
        ended = CallEnded(attempt=call.asked.call.attempt, state="failed", error=error, kind="unrecordable")
        return msgspec.json.encode(Standing("ended", ended))


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Undecodable(
            f"the request is no {getattr(kind, '__name__', 'order')}: {exc}; see docs/workers.md"
        ) from exc
