"""What a worker with a journal keeps of a call: that it begins, before it does, and what came of it.

Workers that share the journal answer for each other: a call that one of them has done is not done again.
"""

from ...actors.clock import Clock
from ...actors.entity import Entity, Fold
from ...events.call import Call, CallBegun, CallEnded, begin, call_stream, end, evolve
from ...events.journal import Journal
from .wire import Asked

FOLD: Fold[Call] = Fold(Call, evolve)


class CallRecord:
    """The record of one attempt at a call."""

    def __init__(self, journal: Journal, clock: Clock, asked: Asked) -> None:
        self._call = asked.call
        self._begun = CallBegun(tool=asked.call.tool, attempt=asked.call.attempt, owner=journal.owner, args=asked.args)
        self._entity = Entity(journal, clock, call_stream(asked.call.call_id), FOLD, asked.cause)

    async def begin(self) -> CallEnded | None:
        """Record that the call begins here; what came of it, if it was done before.

        Raises:
            Superseded: A later attempt has begun, or this one elsewhere: this one must not.
            Unavailable, AppendUncertain, ReadOnly: The journal does not store.
        """
        await self._entity.load()
        await self._entity.commit(lambda state: begin(self._call.call_id, self._begun, state))
        return self._entity.state.ended

    async def end(self, ended: CallEnded) -> None:
        """Record what came of it, unless another attempt has begun meanwhile."""
        await self._entity.commit(lambda state: end(ended, state))
