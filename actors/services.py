"""What actors need of the world around them: ports, handed in by the composition root (`gateways/node.py`).

Whatever changes something takes its `cause`, which is recorded with the events that come of it: user, session, run and
call of whoever asks (`current_cause` of `context.py` in a tool, `RunActivation.cause` in a run).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from ..events.blackboard import Posted
from ..events.budget import Limits
from ..events.envelope import Meta
from ..events.journal import Journal
from ..events.memory import EpisodeRemembered, FactAsserted, Memory
from ..events.message import ToolSpec, Usage
from ..events.run import RunCancelled
from ..events.worker import TaskAccepted, TaskEnded
from .circuit import Circuits
from .clock import Clock
from .context import CallContext, RunContext
from .feed import ChildFeed, Reader
from .model import Model, ModelChunk
from .output import OutputOf
from .threads import ToolThreads

if TYPE_CHECKING:
    from ..events.workspace import Joined
    from .children import ChildPort
    from .elsewhere import ElsewherePort
    from .spec import AgentSpec
    from .workspace_messages import WorkspacePort


class Recall(Struct, frozen=True):
    """What memory puts before a model."""

    blocks: dict[str, str] = {}
    facts: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()


class MemoryPort(Protocol):
    """A user's memory partition, as runs use it. Its events are that user's, whoever's run is the cause."""

    async def recall(self, user_id: str, session_id: str, prompt: str) -> Recall: ...
    async def remember(self, user_id: str, episode: EpisodeRemembered, cause: Meta) -> None:
        """Durable when it returns; remembering a run twice remembers it once."""
        ...

    async def assert_fact(self, user_id: str, fact: FactAsserted, cause: Meta) -> None: ...
    async def retract_fact(self, user_id: str, fact_id: str, reason: str, cause: Meta) -> None: ...
    async def update_block(self, user_id: str, name: str, content: str, cause: Meta) -> None: ...
    async def state(self, user_id: str) -> Memory:
        """The partition's state, to be read only."""
        ...


Scopes = Sequence[tuple[str, Limits]]
"""Names of budgets and the caps that hold in them."""


class BudgetPort(Protocol):
    """The budgets that a run's model calls are charged to; the run is the cause's."""

    async def reserve(self, scopes: Scopes, call_id: str, most: Usage, cause: Meta) -> None:
        """Set `most` aside for a call; durable when it returns. Where its cost is nothing, nobody knows it.

        Raises:
            BudgetExceeded: One of the scopes refuses; none holds a reservation then.
        """
        ...

    async def settle(self, scopes: Scopes, call_id: str, usage: Usage, cause: Meta) -> None: ...
    async def release(self, scopes: Scopes, call_id: str, reason: str, cause: Meta) -> None: ...
    async def release_run(self, scopes: Scopes, reason: str, cause: Meta) -> None:
        """Give back whatever the run still holds."""
        ...

    async def spend_time(self, scopes: Scopes, seconds: float, cause: Meta) -> None: ...


class FarPort(Protocol):
    """What runs of other processes tell."""

    def follow(self, run_id: str, feed: ChildFeed) -> AbstractAsyncContextManager[None]:
        """Tell `feed` of the run that is worked on elsewhere in the block: what was, what is, and its chunks."""
        ...


class Unwanted(Struct, frozen=True):
    """A task that nobody wants any more: who delegated it has ended.

    Attributes:
        run_id: The task's run.
        closing: How that is to end.
        cause: The call that delegated it.
    """

    task_id: str
    run_id: str
    closing: RunCancelled
    cause: Meta


class WorkPort(Protocol):
    """Workers, here or elsewhere."""

    def is_here(self, worker: str) -> bool:
        """Whether its runs are runs of this process."""
        ...

    async def delegate(self, worker: str, task: TaskAccepted, cause: Meta) -> TaskEnded:
        """Have a worker do a task; one that was done before is answered again.

        Raises:
            Unavailable: Nobody serves that worker.
        """
        ...

    async def cancel(self, worker: str, unwanted: Unwanted) -> TaskEnded:
        """End a task, begun or not, wherever it is: what came of it.

        A worker that cannot be reached, and has a journal of its own, learns of it when it is back.
        """
        ...


class AskerPort(Protocol):
    """Runs that ask for tasks here, and are in another journal."""

    async def end_of(self, user_id: str, run_id: str) -> str:
        """How such a run has ended; empty while it has not, or nobody can tell, and of one that our own journal has.

        Whoever ends a run ends its children in the same journal. A worker with a journal of its own may be away then.
        """
        ...


class RemoteToolPort(Protocol):
    """Tools of workers elsewhere."""

    async def find(self, name: str) -> ToolSpec:
        """The tool as the workers that offer it describe it.

        Raises:
            Unavailable: No worker offers it, and none came while it was waited for.
        """
        ...

    async def call(self, tool: ToolSpec, args: Mapping[str, Any], call: CallContext, run: RunContext) -> Any:
        """Have a worker do the call; what it returned.

        Raises:
            Unavailable: No worker took the call; it was not begun.
            SettledElsewhere: The tool failed there, or nobody knows; that is the outcome.
            OutcomeLost: The worker that had begun it is gone.
            Fenced: The run was taken over while a worker was looked for; nothing was begun.
        """
        ...


class BlackboardPort(Protocol):
    """Blackboards, as tools use them."""

    async def post(self, board: str, entry: Posted, cause: Meta) -> None:
        """Durable when it returns; posting an entry twice posts it once."""
        ...

    async def read(self, board: str, limit: int, kind: str, author: str) -> list[Posted]: ...


Live = Callable[[str, str, ModelChunk], Awaitable[None]]
"""Tells the chunk of a user's run to whoever watches from elsewhere."""


_current: ContextVar["Services"] = ContextVar("treadle_services")


def current_services() -> "Services":
    """The ports of the system that runs this tool.

    Raises:
        LookupError: This code does not run inside a run.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("this works inside a tool that a run called, and there is none here") from None


def enter_services(services: "Services") -> None:
    """Make `services` those of the run that this task drives."""
    _current.set(services)


class Services(Struct, kw_only=True):
    """The ports of one system.

    Attributes:
        resolve: The model of a name, as `model=` takes it; raises ConfigError when there is none.
        model_of: The same, made once.
        rejoin: An agent in the workspace that a run of it has recorded.
        readers: Who wants to hear of runs that may begin here, by the runs' ids.
        patience_s: How long a run waits for others that are not there: a worker, one that offers a tool, room in a
            budget. None: as long as each of them says.
    """

    journal: Journal
    clock: Clock
    threads: ToolThreads
    circuits: Circuits
    memory: MemoryPort | None = None
    budget: BudgetPort | None = None
    work: WorkPort | None = None
    children: "ChildPort | None" = None
    asker: AskerPort | None = None
    remote: RemoteToolPort | None = None
    blackboard: BlackboardPort | None = None
    workspaces: "WorkspacePort | None" = None
    output_of: OutputOf | None = None
    live: Live | None = None
    far: FarPort | None = None
    elsewhere: "ElsewherePort | None" = None
    resolve: Callable[[str], Model] | None = None
    model_of: Callable[[str], Model] | None = None
    rejoin: "Callable[[AgentSpec, Joined], AgentSpec] | None" = None
    patience_s: float | None = None
    readers: dict[str, Sequence[Reader]] = field(default_factory=dict[str, Sequence[Reader]])
