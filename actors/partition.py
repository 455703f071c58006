"""The common part of actors that decide message by message on one stream: memory, budgets, blackboards, workers."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import structs

from ..events.envelope import Meta, StreamName
from ..events.event import Event
from .entity import Entity, Fold
from .runtime import CoroutineActor
from .services import Services

S = TypeVar("S")


class PartitionActor(CoroutineActor, Generic[S]):
    """An event-sourced actor. Its address is its stream.

    It is asked by many runs, so each message that changes something brings its cause, and each commit records the one
    it was made for.

    Args:
        owner: The user whose events these are, whoever asks; None when each event is the asking user's.

    starting     reads its stream; messages wait in the mailbox
    running      each message is decided, its events are on disk, then it is answered
    passivating  keeps a snapshot, so that the next activation starts from there
    stopped      nothing is lost: whatever was answered is on disk
    """

    def __init__(self, services: Services, stream: str, fold: Fold[S], owner: str | None = None) -> None:
        super().__init__()
        self._services = services
        self._owner = owner
        self._entity = Entity(services.journal, services.clock, StreamName(stream), fold, Meta(epoch=1))

    @property
    def _state(self) -> S:
        return self._entity.state

    async def on_start(self) -> None:
        await self._entity.load()

    async def _commit(self, decide: Callable[[S], Sequence[Any]], cause: Meta) -> Sequence[Event]:
        if self._owner is not None:
            cause = structs.replace(cause, user_id=self._owner)
        return await self._entity.commit(decide, cause)
