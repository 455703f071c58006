"""Messages an actor holds back for later.

An actor that cannot handle a message in its present state stashes it and takes it up again with `unstash_all`: ahead
of newer mail, in the order of arrival, each with the sender's reply still attached.
"""

from .mailbox import Envelope

__all__ = ["Stash"]


class Stash:
    """A bounded list of envelopes held back."""

    __slots__ = ("_held", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: list[Envelope] = []

    def add(self, envelope: Envelope) -> bool:
        """Hold an envelope back; `False`, and nothing is held, when `capacity` are."""
        if len(self._held) >= self.capacity:
            return False
        self._held.append(envelope)
        return True

    def take_all(self) -> list[Envelope]:
        """All that was held back, oldest first; the stash is empty afterwards."""
        held, self._held = self._held, []
        return held

    def __len__(self) -> int:
        return len(self._held)
