"""The running system: the one function that knows every concrete class, and what it built.

A node is a journal, an actor system with the actors of all categories, and what tells the world of them. `Agent`
makes a small one for itself (`embedded`), `System` a whole one.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..actors.blackboard import BlackboardActor, Blackboards
from ..actors.budget import BudgetActor, Budgets
from ..actors.child_runs import ChildRuns
from ..actors.circuit import Circuits
from ..actors.clock import SYSTEM_CLOCK, Clock
from ..actors.host import Host
from ..actors.memory import MemoryActor, MemoryPartitions
from ..actors.run_actor import RunActor
from ..actors.runtime import ActorSystem
from ..actors.runtime.kind import Factory
from ..actors.services import Services
from ..actors.session import SessionActor
from ..actors.threads import ToolThreads
from ..actors.worker import WorkerActor
from ..actors.workspace import WorkspaceActor, Workspaces
from ..events.errors import ConfigError
from ..events.journal import Journal
from ..events.logs import get_logger
from .delegation import Delegations
from .models.closing import close_models
from .models.resolver import resolve_model
from .outputs.json_schema import JsonSchemaOutput
from .run_event import Event
from .watching import watched
from .workspace_given import rejoined

if TYPE_CHECKING:
    from .timers import Timers

IDLE_TIMEOUT_S = 120.0
"""Seconds without mail after which an actor is unloaded; a message to its address loads it again."""

_log = get_logger("treadle")

_started: "WeakSet[Node]" = WeakSet()
"""The nodes of this process that are not closed."""


class Node:
    """A journal, actors over it, and the agents hosted here.

    Order of closing: actors first (runs are suspended), then the connections of models, tool threads, and the journal.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock = SYSTEM_CLOCK,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        owns_journal: bool = True,
    ) -> None:
        self.journal = journal
        self._owns_journal = owns_journal
        self.clock = clock
        self.threads = ToolThreads()
        self.services = Services(
            journal=journal,
            clock=clock,
            threads=self.threads,
            circuits=Circuits(clock),
            output_of=JsonSchemaOutput.recorded,
            resolve=resolve_model,
        )
        self.system = ActorSystem(idle_timeout_s=None, max_live=100_000)
        self.host = Host(self.system, self.services)
        self.services.model_of = self.host.model
        self.services.rejoin = rejoined
        self.services.memory = MemoryPartitions(self.host)
        self.services.budget = Budgets(self.host)
        self.services.blackboard = Blackboards(self.host)
        self.services.workspaces = Workspaces(self.host)
        self.services.work = Delegations(self.host)
        self.services.children = ChildRuns(self.host)
        host, services = self.host, self.services
        factories: dict[str, Factory] = {
            "run": lambda address: RunActor(host, address.removeprefix("run-")),
            "session": lambda address: SessionActor(host, address),
            "memory": lambda address: MemoryActor(services, address),
            "budget": lambda address: BudgetActor(services, address),
            "blackboard": lambda address: BlackboardActor(services, address),
            "worker": lambda address: WorkerActor(host, address),
            "workspace": lambda address: WorkspaceActor(services, address),
        }
        for kind, factory in factories.items():
            self.system.register(kind, factory, idle_timeout_s=0.1 if kind == "run" else idle_timeout_s)
        self.kept_timers: Timers | None = None
        """Set where there is a NATS server to keep them."""
        self._open = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def timers(self) -> "Timers":
        """Signals that are sent later.

        Raises:
            ConfigError: There is no NATS server to keep them.
        """
        if self.kept_timers is None:
            raise ConfigError(
                "timers are kept by a NATS server, and this system has none; open it with nats='embedded' or a URL"
            )
        return self.kept_timers

    async def start(self) -> None:
        await self.system.__aenter__()
        self._open, self._loop = True, asyncio.get_running_loop()
        _started.add(self)

    async def stop_actors(self) -> None:
        """Suspend what runs, and stop every actor; nothing new is recorded afterwards."""
        self._open = False
        await self.system.close()

    async def close(self) -> None:
        """Suspend what runs and let go of everything; nothing is left, no task and no thread."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.stop_actors()
            await self._close_models()
        finally:
            await self._release()

    async def _close_models(self) -> None:
        """An agent may be asked by several systems of a loop, and so may its model: the last one closes it."""
        _started.discard(self)
        beside = [node for node in _started if node._loop is self._loop]
        await close_models(self.host.models, but=[model for node in beside for model in node.host.models])

    async def let_go(self) -> None:
        """Close what is left of a node whose loop has ended: its threads and its journal. Runs on another loop."""
        self._open, self._closed = False, True
        _started.discard(self)
        await self._release()

    async def _release(self) -> None:
        abandoned = await self.threads.close()
        if abandoned:
            _log.warning("%d tools still run in their threads; their runs call the outcome unknown", abandoned)
        if self._owns_journal:
            await self.journal.close()

    def watch(self, run_id: str, after: int = 0, *, children: bool = False) -> AsyncIterator[Event]:
        """The events of a run above version `after`, from the start and live, until it has ended: no gap, no double.

        Args:
            children: Those of the runs below it, too.
        """
        return watched(self.journal, run_id, after, children=children)
