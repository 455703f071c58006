"""What actors need of the world around them: ports, handed in by the composition root (`gateways/node.py`)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from ..events.budget import Limits
from ..events.journal import Journal
from ..events.memory import EpisodeRemembered, FactAsserted
from ..events.message import Usage
from .clock import Clock
from .model import ModelChunk
from .threads import ToolThreads


class Recall(Struct, frozen=True):
    """What memory puts before a model."""

    blocks: dict[str, str] = {}
    facts: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()


class MemoryPort(Protocol):
    """A user's memory partition, as runs use it."""

    async def recall(self, user_id: str, session_id: str, prompt: str) -> Recall: ...
    async def remember(self, user_id: str, episode: EpisodeRemembered) -> None:
        """Durable when it returns; remembering a run twice remembers it once."""
        ...

    async def assert_fact(self, user_id: str, fact: FactAsserted) -> None: ...


Scopes = Sequence[tuple[str, Limits]]
"""Names of budgets and the caps that hold in them."""


class BudgetPort(Protocol):
    """The budgets that a run's model calls are charged to."""

    async def reserve(self, scopes: Scopes, call_id: str, run_id: str, tokens_in: int, tokens_out: int) -> None:
        """Durable when it returns.

        Raises:
            BudgetExceeded: One of the scopes refuses; none holds a reservation then.
        """
        ...

    async def settle(self, scopes: Scopes, call_id: str, usage: Usage) -> None: ...
    async def release(self, scopes: Scopes, call_id: str, reason: str) -> None: ...
    async def spend_time(self, scopes: Scopes, run_id: str, seconds: float) -> None: ...


Live = Callable[[str, str, ModelChunk], Awaitable[None]]
"""Tells the chunk of a user's run to whoever watches from elsewhere."""


class Services(Struct, kw_only=True):
    """The ports of one system."""

    journal: Journal
    clock: Clock
    threads: ToolThreads
    memory: MemoryPort | None = None
    budget: BudgetPort | None = None
    live: Live | None = None
