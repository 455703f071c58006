"""`Memory`: what is remembered of a user, for programs and as tools."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..actors.context import current_call, current_cause
from ..actors.services import MemoryPort, Services, current_services
from ..actors.tool import Tool
from ..events.errors import ConfigError
from ..events.memory import BlockUpdated, EpisodeRemembered, FactAsserted, FactRetracted
from .arguments import check_text, well_formed
from .tools.function import tool

if TYPE_CHECKING:
    from .agent import Agent
    from .system import System


class Memory:
    """Memory partitions, one a user, of the system that runs `owner`: working blocks, episodes, facts.

    `valid_from` and `valid_until` say when a fact is true; what was believed when is in the journal, and
    `treadle facts --as-of` answers it.
    """

    def __init__(self, owner: "Agent | System") -> None:
        self._owner = owner

    async def _services(self) -> Services:
        node = self._owner.node
        return (await node() if callable(node) else node).services

    async def _port(self) -> MemoryPort:
        return _port((await self._services()).memory)

    async def update_block(self, name: str, content: str, *, user_id: str = "") -> None:
        """Set a working block, which stands in every prompt; empty content removes it."""
        check_text("user_id", user_id)
        block = well_formed(BlockUpdated(name=name, content=content), "update_block")
        await (await self._port()).update_block(user_id, block.name, block.content, current_cause())

    async def working(self, *, user_id: str = "") -> dict[str, str]:
        """The working blocks by name."""
        return dict((await (await self._port()).state(user_id)).blocks)

    async def episodes(self, *, user_id: str = "") -> list[EpisodeRemembered]:
        """The newest remembered runs, oldest first."""
        return list((await (await self._port()).state(user_id)).episodes)

    async def facts(self, *, user_id: str = "") -> list[FactAsserted]:
        """The facts that are believed now."""
        return (await (await self._port()).state(user_id)).facts

    async def add_fact(
        self,
        subject: str,
        predicate: str,
        object: str,
        *,
        user_id: str = "",
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        confidence: float = 1.0,
        sources: Sequence[str] = (),
    ) -> str:
        """Believe that `subject` `predicate` `object`, from `valid_from` (now) on. Returns the fact's id.

        Raises:
            ConfigError: A time has no zone, or an argument is not of its type; nothing was recorded.
        """
        check_text("user_id", user_id)
        services = await self._services()
        fact = FactAsserted(
            fact_id=services.clock.new_id(),
            subject=subject,
            predicate=predicate,
            object=object,
            valid_from=valid_from or services.clock.now(),
            valid_until=valid_until,
            confidence=confidence,
            sources=tuple(sources),
        )
        fact = well_formed(fact, "add_fact")
        for name, time in (("valid_from", fact.valid_from), ("valid_until", fact.valid_until)):
            if time is not None and time.tzinfo is None:
                raise ConfigError(f"add_fact: {name} {time} has no time zone; facts are compared across zones")
        await _port(services.memory).assert_fact(user_id, fact, current_cause())
        return fact.fact_id

    async def retract_fact(self, fact_id: str, *, reason: str = "", user_id: str = "") -> None:
        """Stop believing a fact: it was a mistake."""
        check_text("user_id", user_id)
        retracted = well_formed(FactRetracted(fact_id=fact_id, reason=reason), "retract_fact")
        port = await self._port()
        await port.retract_fact(user_id, retracted.fact_id, retracted.reason, current_cause())

    @staticmethod
    def tools() -> list[Tool]:
        """`remember_fact`, for `Agent(tools=…)`: the model states facts about the run's user."""

        async def remember_fact(subject: str, predicate: str, object: str) -> str:
            """Remember that a subject has this object for a predicate: 'db-1', 'runs', 'PostgreSQL 17'."""
            call, services = current_call(), current_services()
            fact = FactAsserted(
                fact_id=call.call_id,
                subject=subject,
                predicate=predicate,
                object=object,
                valid_from=services.clock.now(),
                sources=(call.run_id,),
            )
            await _port(services.memory).assert_fact(call.user_id, fact, current_cause())
            return "remembered"

        return [tool(idempotent=True)(remember_fact)]


def _port(port: MemoryPort | None) -> MemoryPort:
    if port is None:
        raise ConfigError("this system has no memory")
    return port
