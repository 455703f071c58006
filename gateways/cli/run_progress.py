"""How far the events of each run have been told: each once, in order, of one agent only if asked so."""

from collections.abc import Callable, Mapping

from ..run_event import Event

REMEMBERED = 100_000
"""Runs whose place is known; of one that has been silent for so long, everything is told again."""

Tell = Callable[[Event], None]


class RunProgress:
    """Tells what is new.

    Args:
        agent: Only runs of this agent; empty for all.
        told: Versions that were told already, by run.
    """

    def __init__(self, agent: str, tell: Tell, told: Mapping[str, int] | None = None) -> None:
        self._agent = agent
        self._tell = tell
        self._versions = dict(told or {})
        self._foreign: set[str] = set()

    def version(self, run_id: str) -> int:
        """What was told of a run, up to this version."""
        return self._versions.get(run_id, 0)

    def follows(self, run_id: str) -> bool:
        """Whether its events are told; not known before its first one."""
        return run_id in self._versions and run_id not in self._foreign

    def take(self, event: Event) -> None:
        """Tell an event, unless it was told before or is another agent's."""
        run_id = event.run_id
        if event.version <= self._versions.get(run_id, 0):
            return
        if event.version == 1 and self._agent and event.payload.get("agent") != self._agent:
            self._foreign.add(run_id)
        self._versions.pop(run_id, None)  # the one that spoke last stands last
        self._versions[run_id] = event.version
        if run_id not in self._foreign:
            self._tell(event)
        if len(self._versions) > REMEMBERED:
            silent = next(iter(self._versions))
            del self._versions[silent]
            self._foreign.discard(silent)
