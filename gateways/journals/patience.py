"""How long a writer waits for a database that is away, before it says that nothing was stored.

Whoever is told "unavailable" gives a run up, with all that it knows: what a model has answered, what a tool has done.
So a server that is started anew, or is replaced by its standby, is waited for; what is queued meanwhile waits with it.
"""

import random
from threading import Event
from time import monotonic

PATIENCE_S = 60.0
"""For so long, from the first failure on, a batch is tried again."""

_PAUSE_S, _PAUSE_LIMIT_S = 0.1, 2.0


class Patience:
    """The waits between the attempts at one batch.

    Args:
        leaving: Set when the journal is being closed: nobody waits then, nor goes on waiting.
    """

    def __init__(self, leaving: Event) -> None:
        self._leaving = leaving
        self._until: float | None = None
        self._pause_s = _PAUSE_S

    def wait(self) -> bool:
        """Wait before the next attempt; False when there is to be none."""
        now = monotonic()
        if self._until is None:
            self._until = now + PATIENCE_S
        # A part of it is left to chance: all nodes meet the same outage.
        pause_s = self._pause_s * random.uniform(0.5, 1.0)
        if now + pause_s > self._until:
            return False
        self._pause_s = min(2 * self._pause_s, _PAUSE_LIMIT_S)
        return not self._leaving.wait(pause_s)
