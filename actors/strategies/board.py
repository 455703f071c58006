"""The board of one run: the blackboard actor whose name is the run's id, as a strategy posts to it and reads it.

An entry's id is made of the call that it came of, so a run that is resumed posts nothing twice; a fork, which has
another id and so a board of its own, fills that with what it shares. What is read is recorded: whatever somebody else
posts meanwhile, a replay reads what was there.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from ...events.blackboard import KEPT_ENTRIES, Posted
from ...events.errors import ConfigError
from ..context import current_cause, get_run_context
from ..services import BlackboardPort, current_services
from ..steps import Steps


class Board:
    """What the strategy of this run has on its board.

    Attributes:
        entries: What it has read so far, oldest first.
    """

    def __init__(self, steps: Steps) -> None:
        self.entries: list[Posted] = []
        self._steps = steps
        self._name = get_run_context().run_id
        self._port = _port(current_services().blackboard)

    async def post(self, call_id: str, author: str, content: str, kind: str, data: Any = None) -> None:
        """Leave what came of a call, once; on disk when this returns."""
        entry = Posted(entry_id=call_id, author=author, content=content, kind=kind, data=data)
        await self._port.post(self._name, entry, structs.replace(current_cause(), causation_id=call_id))

    async def look(self) -> Sequence[Posted]:
        """All entries that are there now; the new ones are recorded."""
        known = {entry.entry_id for entry in self.entries}
        found = await self._port.read(self._name, KEPT_ENTRIES, "", "")
        new = [structs.asdict(entry) for entry in found if entry.entry_id not in known]
        read = await self._steps.value("blackboard.read", lambda: new)
        self.entries += [Posted(**entry) for entry in read]
        return self.entries

    def last(self, *kinds: str) -> str | None:
        """The last entry of the first of these kinds that there is; None when there is none."""
        for kind in kinds:
            for entry in reversed(self.entries):
                if entry.kind == kind:
                    return entry.content
        return None

    def text(self) -> str:
        """The board as agents are shown it."""
        lines = [f"[{entry.kind} of {entry.author}]\n{entry.content}" for entry in self.entries]
        return "\n\n".join(lines) or "Nothing yet."


def _port(port: BlackboardPort | None) -> BlackboardPort:
    if port is None:
        raise ConfigError("this system has no blackboards, and a team works on one")
    return port
