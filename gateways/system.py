"""`System`: agents hosted over a journal, reachable over a bus, looked at through projections."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
from msgspec import Struct

from ..actors.clock import SYSTEM_CLOCK, Clock
from ..events.bus import Bus
from ..events.errors import ConfigError
from ..events.journal import Journal
from ..events.logs import get_logger
from ..events.redaction import redacted
from ..events.signal import RuntimeSignal
from ..events.subjects import DEFAULT_NAMESPACE, Subjects
from ..projections import Projections
from . import schedules
from .agent import Agent
from .arguments import check_id, check_seconds, signal_of
from .askers import Askers
from .auditor import Auditor
from .broker.patience import patiently
from .broker.server import EmbeddedServer
from .broker.tls import Tls
from .buses.inprocess import InProcessBus
from .buses.nats import NatsBus, shown_urls
from .delegation import Delegations
from .elsewhere import Elsewhere
from .far_runs import FarRuns
from .firings import Firings
from .journals import open_journal
from .membership import Membership
from .models.secrets import Secrets
from .node import Node
from .operations.node_status import Role
from .operations.presence import Presence
from .placement import DRAIN_S, Placement
from .read_models import open_read_models
from .relay import Relay, publish_chunk
from .run_event import Event
from .services import Services
from .signals import Signals
from .tenants import Tenants
from .timers import Timer, Timers
from .tools.function import as_tool
from .workers.calls import RemoteTools
from .workers.offers import Offers

if TYPE_CHECKING:
    from .workflow import Workflow

Hosted = TypeVar("Hosted", bound="Agent | Workflow")

_log = get_logger("treadle")


class Status(Struct, frozen=True):
    """A look at a running system, in numbers.

    Attributes:
        journal_position: The newest event.
        relay_lag: Events that the broker has not been told; 0 without NATS.
        projection_lag: Events that the slowest projection has not folded.
        signals_running, signals_done, signals_parked: Since the start.
    """

    owner: str
    journal: str
    journal_position: int
    nats: str
    nats_connected: bool
    relay_lag: int
    projection_lag: int
    actors: int
    signals_running: int
    signals_done: int
    signals_parked: int


class System:
    """A system, running while its context is open.

        async with System(journal="sqlite:./events.db", nats="embedded") as system:
            system.host(agent, name="support")
            await system.serve()

    Args:
        journal: `"memory"`, `"sqlite:PATH"`, `"postgresql://…"`, or an open journal, which stays yours to close.
        nats: None: everything stays in this process. `"embedded"`: start a `nats-server`. A URL: connect to it; those
            of the servers of a cluster are separated by commas.
        namespace: The first token of all subjects.
        directory: Where the embedded server keeps its streams, and a system whose journal is in PostgreSQL its key and
            its seals of the audit.
        nats_credentials: Who we are to that server: a seed file of `treadle nats auth`, or a `.creds` file.
        nats_tls: Whom we trust to be that server, and our own certificate if it asks for one.
        nats_replicas: How many servers of a cluster keep each stream at least. None: three, or as many as there are.
        nats_port, monitor_port: Of the embedded server; 0 takes free ones.
        projections: Keep the read models up to date here; False leaves that to another process.
        drain_s: How long a step may take when its run moves to another node; then its outcome is unknown.
        patience_s: How long a run waits for others that are not there: a worker, one that offers a tool, or room in a
            budget that other calls hold. Default: 60.
        resume: Continue, on `start_hosting`, the runs that a former process left open.
        worker: Take delegated prompts and calls of offered tools, and nothing else: no signals, no services.
        clock: Where times and ids come from.
        secrets: Where the keys of the models of agents hosted here are looked for that have no secrets of their own.
    """

    def __init__(
        self,
        *,
        journal: str | Journal = "memory",
        nats: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        directory: str | Path = ".treadle",
        nats_credentials: str | Path | None = None,
        nats_tls: Tls | None = None,
        nats_replicas: int | None = None,
        nats_port: int = 0,
        monitor_port: int = 0,
        projections: bool = True,
        drain_s: float = DRAIN_S,
        patience_s: float | None = None,
        resume: bool = True,
        worker: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        secrets: Secrets | None = None,
    ) -> None:
        self.subjects = Subjects(namespace)
        self._journal_spec = journal
        self._nats = nats
        self._directory = Path(directory)
        self._credentials = Path(nats_credentials) if nats_credentials is not None else None
        self._tls = nats_tls
        self._replicas = nats_replicas or 0
        self._ports = nats_port, monitor_port
        self._with_projections = projections
        self._drain_s = drain_s
        self._patience_s = check_seconds("patience_s", patience_s)
        self._resume = resume
        self._worker = worker
        self._clock = clock
        self._secrets = secrets
        self._stack = AsyncExitStack()
        self._node: Node | None = None
        self._projections: Projections | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opened = False
        self._serving = False
        self._whole = False
        self._closing = False
        self.started_at = clock.now()
        self.node_id = ""
        """Names this node among all; as journal and runs call it, the owner."""
        self.server: EmbeddedServer | None = None
        self.bus: Bus = InProcessBus(namespace=namespace)
        self.relay: Relay | None = None
        self.auditor: Auditor | None = None
        self.signals: Signals | None = None
        self.services: Services | None = None
        self.firings: Firings | None = None
        self._membership: Membership | None = None
        self.offers: Offers | None = None
        self._agents: list[Agent | Workflow] = []

    def __repr__(self) -> str:
        if self._node is None:
            return f"<System {self.subjects.namespace} closed>"
        agents = ", ".join(spec.name for spec in self._node.host) or "no agents"
        return f"<System {self.subjects.namespace} open: {agents}>"

    @property
    def node(self) -> Node:
        if self._node is None:
            raise ConfigError("the system is not open; use it inside `async with System(…) as system:`")
        return self._node

    @property
    def journal(self) -> Journal:
        return self.node.journal

    @property
    def projections(self) -> Projections:
        """The read models: `.runs`, `.facts`, `.audit`, `.budget`, `.blackboards`, `.workspaces`."""
        if self._projections is None:
            raise ConfigError("this system keeps no projections; open it with projections=True")
        return self._projections

    @property
    def is_open(self) -> bool:
        """Whether it has been opened, wholly, and not closed."""
        return self._whole and self._node is not None

    @property
    def keeps_projections(self) -> bool:
        return self._projections is not None

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it does for others, from `start_hosting` on."""
        if not self._serving:
            return ()
        return ("worker",) if self._worker else ("host", "worker")

    @property
    def placement(self) -> Placement | None:
        """Its place among the nodes of its namespace; None while it takes no signals, and without NATS."""
        return self._membership.placement if self._membership is not None else None

    @property
    def draining(self) -> bool:
        """Whether it is about to leave, and takes nothing new."""
        return self._closing or (self.placement is not None and self.placement.leaving)

    # --- opening and closing ---

    async def __aenter__(self) -> Self:
        try:
            await self._open()
            self._whole = True
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        """Build it from the inside out; `close` takes it apart in the opposite order."""
        if self._opened:
            raise ConfigError("a System is opened once; make another one")
        self._opened = True
        spec = self._journal_spec
        journal = await open_journal(spec, clock=self._clock) if isinstance(spec, str) else spec
        node = Node(journal, clock=self._clock, owns_journal=isinstance(spec, str))
        self._stack.push_async_callback(node.close)
        await node.start()
        self._node, self.node_id = node, journal.owner
        membership = self._membership = Membership(node, self.subjects, drain_s=self._drain_s)
        if self._with_projections:
            views, kept = open_read_models(spec if isinstance(spec, str) else "memory", self._directory)
            self._stack.push_async_callback(views.close)
            self._projections = Projections(journal, views, kept, leads=membership.leads)
            await self._stack.enter_async_context(self._projections)
        if self._nats is not None:
            await self._connect(self._nats, journal, membership)
        else:
            self._stack.push_async_callback(self.bus.close)
        self._stack.push_async_callback(membership.say_left)
        # Actors stop while the bus is there: their last events are still told.
        self._stack.push_async_callback(node.stop_actors)
        # Without NATS nobody else is on the bus: a worker that is not here is nowhere.
        self._delegations = Delegations(node.host, self.bus if self._nats is not None else None, self.subjects)
        node.services.work = self._delegations
        if self._worker and isinstance(self.bus, NatsBus):
            node.services.asker = Askers(self.bus, self.subjects, journal)
        node.services.patience_s = self._patience_s
        node.services.remote = RemoteTools(self.bus, self.subjects, node.clock, journal, self._patience_s)
        self.offers = Offers(self.bus, self.subjects, node.clock, node.threads, journal=journal, services=node.services)
        self._stack.push_async_callback(self.offers.close)
        self.services = Services(node, self.bus, self.subjects)
        self._stack.push_async_callback(self.services.close)
        self._elsewhere = Elsewhere(self.bus, self.subjects, node.host)
        self._stack.push_async_callback(self._elsewhere.close)
        if self._nats is not None:
            node.services.elsewhere = self._elsewhere
            node.services.far = FarRuns(self.bus, self.subjects, journal)
        self._tenants = Tenants(journal, self.subjects, self.services)
        self.signals = Signals(self.bus, node.host, self.subjects, hand_on=membership.hand_on)
        self._stack.push_async_callback(self.signals.close)
        self._stack.push_async_callback(membership.stop)

    async def _connect(self, nats: str, journal: Journal, membership: Membership) -> None:
        url = nats
        if nats == "embedded":
            port, monitor_port = self._ports
            self.server = EmbeddedServer(self._directory / "nats", port=port, monitor_port=monitor_port)
            await self.server.start()
            self._stack.push_async_callback(self.server.stop)
            url = self.server.url
        bus = await NatsBus.connect(
            url,
            namespace=self.subjects.namespace,
            credentials=self._credentials,
            tls=self._tls,
            replicas=self._replicas,
        )
        self._stack.push_async_callback(bus.close)
        await self.bus.close()
        self.bus = bus
        self.relay = Relay(journal, bus, self.subjects, leads=membership.leads)
        self._stack.push_async_callback(self.relay.close)
        await self.relay.start()
        self.auditor = Auditor(journal, bus, self.subjects, self.relay, clock=self._clock)
        self._stack.push_async_callback(self.auditor.close)
        self.auditor.start()
        self.firings = Firings(bus, self.subjects)
        self._stack.push_async_callback(self.firings.close)
        node = self.node
        node.kept_timers = Timers(bus, self.subjects, hosted=node.host.names, clock=node.clock)
        node.services.live = partial(publish_chunk, bus, self.subjects)
        # Known while it opens, and while it drains.
        presence = Presence(self, bus)
        self._stack.push_async_callback(presence.close)
        await presence.start()

    async def close(self) -> None:
        """Suspend what runs, tell what is durable, and let go of everything. Closing twice does nothing."""
        self._closing = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            await self._stack.aclose()
        finally:
            self._node = None

    # --- hosting ---

    def host(self, agent: Hosted, name: str | None = None) -> Hosted:
        """Run this agent or workflow here: reachable as `<ns>.signal.*.<name>.*`, and as a worker to delegate to."""
        if self._secrets is not None:
            agent.take_secrets(self._secrets)
        agent.bind(self.node, name)
        self._agents.append(agent)
        if self._serving and self.services is not None:
            self._spawn(self.services.serve_worker(agent.name))
            self._spawn(agent.find_tools())
        return agent

    async def offer(self, *tools: Any) -> None:
        """Do these tools for runs elsewhere that have them by `remote`; from `start_hosting` on.

        Raises:
            ConfigError: One of that name is offered here already, it is no tool, or the system is not open.
        """
        if self.offers is None:
            raise ConfigError("the system is not open; use it inside `async with System(…) as system:`")
        for tool in tools:
            await self.offers.add(as_tool(tool))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work beside the system failed", exc_info=error)

    async def start_hosting(self) -> None:
        """Take signals, answer requests, and continue the runs that a former process left open."""
        node = self.node
        if self._serving:
            return
        assert self.services is not None and self.signals is not None
        assert self.offers is not None and self._membership is not None
        self._serving = True
        await self.offers.start()
        for agent in self._agents:
            await agent.find_tools()
        if not self._worker:
            await self.services.start({"status": self._status}, self._tenants.kinds)
        for spec in node.host:
            await self.services.serve_worker(spec.name)
        await self._elsewhere.start()
        if self._worker and self._resume:
            for worker, left in await self._delegations.take_up():
                self._spawn(self._delegations.go_on(worker, left))
        if not self._worker and isinstance(self.bus, NatsBus) and self.relay is not None:
            await self._membership.join(self.bus, self.signals, self.relay.identity)
        if self._resume and self._projections is not None:
            await self._membership.take_up(self._projections)
        if self._worker:
            return
        await patiently(self.signals.start)
        if self.firings is not None:
            await patiently(self.firings.start)

    async def serve(self) -> None:
        """Host until cancelled."""
        await self.start_hosting()
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Take no more signals and prompts, and hand on to other nodes what goes on; returns when that is done.

        Runs leave between two steps; a step that takes longer than `drain_s` is left as it is, its outcome unknown.
        Without NATS nobody could go on, and nothing is drained.
        """
        if self._membership is not None and self.placement is not None and self.services is not None:
            await self.services.shut()
            await self._membership.leave()

    # --- using ---

    async def signal(self, agent: str, signal: RuntimeSignal | str, *, session_id: str, user_id: str = "") -> None:
        """Send a signal to a session, wherever its agent is hosted; queued when this returns.

        Raises:
            ConfigError: It would be parked: it says nothing, or a field of it is not what it should be.
        """
        node = self.node
        for name, given in (("agent", agent), ("session_id", session_id), ("user_id", user_id)):
            check_id(name, given)
        if not session_id:
            raise ConfigError("a signal goes to a session, and session_id is empty")
        made = redacted(signal_of(signal))
        body = {
            key: value
            for key, value in msgspec.to_builtins(made).items()
            if key not in ("session_id", "run_id") and value not in ("", None)
        }
        subject = self.subjects.signal(user_id, agent, session_id)
        await self.bus.enqueue(subject, msgspec.json.encode(body), made.id or node.clock.new_id())

    async def after(
        self,
        delay: float | timedelta,
        signal: RuntimeSignal | str,
        *,
        agent: str,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
    ) -> Timer:
        """Send a signal once, when `delay` (seconds) has passed; for the rest see `every`."""
        schedule = schedules.after(delay, self.node.clock.now())
        to = {"agent": agent, "user_id": user_id, "session_id": session_id, "id": id}
        return await self.node.timers.set(schedule, signal, **to)

    async def at(
        self,
        when: datetime,
        signal: RuntimeSignal | str,
        *,
        agent: str,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
    ) -> Timer:
        """Send a signal once, at `when`, a time with a zone; for the rest see `every`."""
        schedule = schedules.at(when, self.node.clock.now())
        to = {"agent": agent, "user_id": user_id, "session_id": session_id, "id": id}
        return await self.node.timers.set(schedule, signal, **to)

    async def every(
        self,
        how: str | float | timedelta,
        signal: RuntimeSignal | str,
        *,
        agent: str,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
        zone: str = "",
    ) -> Timer:
        """Send a signal again and again, wherever its agent is hosted then; on the server's disk when this returns.

        It fires once however many nodes there are, and late when nobody was there. Of the times that passed meanwhile
        only one is made up for.

        Args:
            how: A cron pattern, `"0 9 * * mon-fri"`, with seconds first if it has six fields; or whole seconds.
            session_id: Default: `scheduled:<id>`.
            id: A timer that stands under it is replaced; one that is the same is left as it is. Default: one that
                follows from all the rest, so that setting it at each start of a program makes one timer.
            zone: In whose time a cron pattern is meant: `"Europe/Berlin"`. Default: UTC.
        Raises:
            ConfigError: The system has no NATS server, nobody hosts the agent, or an argument does not fit.
            Unavailable: The server did not confirm; set it again with the same `id`.
        """
        to = {"agent": agent, "user_id": user_id, "session_id": session_id, "id": id}
        return await self.node.timers.set(schedules.every(how, zone), signal, **to)

    async def timers(self) -> list[Timer]:
        """The timers that wait, in the order in which they were set."""
        return await self.node.timers.list()

    async def cancel_timer(self, id: str) -> bool:
        """Forget a timer; False when there is none of this id, or it has fired. What it has begun goes on."""
        return await self.node.timers.cancel(id)

    async def watch(self, run_id: str, after: int = 0, *, children: bool = False) -> AsyncIterator[Event]:
        """The events of a run above version `after`, from the start and live, until it has ended: no gap, no double.

        Works for runs of other processes on the same journal too.

        Args:
            children: The events of the runs below it, too, between `child.requested` and `child.ended`: all of those of
                each run that had not ended at `after`.
        """
        async for event in self.node.watch(run_id, after, children=children):
            yield event

    async def _status(self, data: bytes) -> Status:
        return await self.status()

    async def status(self) -> Status:
        """How it stands."""
        lags = await self._projections.lag() if self._projections is not None else {}
        signals = self.signals
        return Status(
            owner=self.journal.owner,
            journal=self.journal.name,
            journal_position=await self.journal.last_position(),
            nats=self.server.url if self.server is not None else shown_urls(self._nats or "") or "in process",
            nats_connected=self.bus.connected,
            relay_lag=await self.relay.lag() if self.relay is not None else 0,
            projection_lag=max((lag.behind for lag in lags.values()), default=0),
            actors=self.node.system.stats().live,
            signals_running=signals.running if signals is not None else 0,
            signals_done=signals.done if signals is not None else 0,
            signals_parked=signals.parked if signals is not None else 0,
        )
