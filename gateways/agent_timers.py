"""Signals that come later to the sessions of an agent; the timers are those of the system that hosts it."""

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..events.errors import ConfigError
from ..events.signal import RuntimeSignal
from . import schedules

if TYPE_CHECKING:
    from .node import Node
    from .timers import Timer


class AgentTimers(ABC):
    """What an agent has that can be signalled later."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its address on the system."""

    @abstractmethod
    async def node(self) -> "Node":
        """Where it runs."""

    async def every(
        self,
        how: str | float | timedelta,
        signal: RuntimeSignal | str,
        *,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
        zone: str = "",
    ) -> "Timer":
        """Signal a session of this agent again and again: `System.every`, which see."""
        return await self._set(schedules.every(how, zone), signal, user_id, session_id, id)

    async def once(
        self,
        when: datetime | float | timedelta,
        signal: RuntimeSignal | str,
        *,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
    ) -> "Timer":
        """Signal a session of this agent once, at a time or after a delay: `System.at`, `System.after`."""
        now = (await self.node()).clock.now()
        schedule = schedules.at(when, now) if isinstance(when, datetime) else schedules.after(when, now)
        return await self._set(schedule, signal, user_id, session_id, id)

    async def schedule(
        self,
        when: datetime | str,
        signal: RuntimeSignal | str,
        *,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
        zone: str = "",
    ) -> "Timer":
        """Signal a session of this agent at a time, or by a cron pattern: `once` or `every`."""
        if isinstance(when, str):
            return await self.every(when, signal, user_id=user_id, session_id=session_id, id=id, zone=zone)
        if zone:
            raise ConfigError(f"the time {when} has a zone of its own; zone={zone!r} is for cron patterns")
        if not isinstance(when, datetime):  # pyright: ignore[reportUnnecessaryIsInstance] - programs without types
            raise ConfigError(f"a schedule is a datetime or a cron pattern, not {when!r}; see `every` and `once`")
        return await self.once(when, signal, user_id=user_id, session_id=session_id, id=id)

    async def _set(
        self, schedule: schedules.Schedule, signal: RuntimeSignal | str, user_id: str, session_id: str, id: str
    ) -> "Timer":
        timers = (await self.node()).timers
        return await timers.set(schedule, signal, agent=self.name, user_id=user_id, session_id=session_id, id=id)
