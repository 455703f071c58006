"""What a run tells while it happens, as events for its reader: recorded ones, chunks, and the answer while it grows."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import structs

from ..actors.feed import Batch, Below, Item, Note
from ..actors.output import Output
from ..events.envelope import Recorded
from ..events.model_step import ModelCompleted, ModelFailed, ModelRequested
from ..events.run import CLOSING_TAGS, RunCompleted
from .outputs.partial import PartialOutput
from .run_event import Event, of_batch, of_chunk, of_recorded, public_type

_OF_THE_WHOLE = frozenset({"run.started", *(public_type(tag) for tag in CLOSING_TAGS)})
"""A stream begins and ends once. Of the runs below, `child.requested` and `child.ended` tell as much."""


class LiveEvents:
    """Makes events of what a feed yields.

    Args:
        session_id: Empty for a run without one; its own id is in its place.
        output: What the answer is to be: its parts are told while it is written, and its end as this type.
    """

    def __init__(self, session_id: str, output: Output | None) -> None:
        self._run_id = ""
        self._session_id = session_id
        self._output = output
        self._partial = PartialOutput(output.wrapped) if output is not None else None

    def of(self, item: Item) -> Iterator[Event]:
        """The events of one item, in order."""
        if isinstance(item, Below):
            for event in _of_below(item):
                if event.type not in _OF_THE_WHOLE:
                    yield structs.replace(event, depth=item.depth, parent_run_id=item.parent_run_id, role=item.role)
            return
        if isinstance(item, Batch):
            yield from self._of_batch(item)
            return
        if isinstance(item, Note):
            yield Event(type=item.type, run_id=self._run_id, session_id=self._session_id, payload=item.payload)
            return
        yield of_chunk(item, self._run_id, self._session_id)
        if self._partial is not None and self._partial.add(item):
            yield self._so_far(self._partial.value)

    def _of_batch(self, batch: Batch) -> Iterator[Event]:
        self._run_id = self._run_id or batch.stream.partition("-")[2]
        self._session_id = self._session_id or self._run_id
        for fact, event in zip(batch.events, of_batch(batch, self._run_id, self._session_id), strict=True):
            match fact:
                case ModelCompleted() if self._partial is not None and self._partial.finish():
                    yield self._so_far(self._partial.value)
                case ModelRequested() | ModelFailed() if self._partial is not None:
                    self._partial.restart()
                case RunCompleted(output) if self._output is not None:
                    result = {**event.payload["result"], "parsed": self._output.parse(output)}
                    event = structs.replace(event, payload={**event.payload, "result": result})
                case _:
                    pass
            yield event

    def _so_far(self, partial: Any) -> Event:
        return Event(
            type="output.partial",
            run_id=self._run_id,
            session_id=self._session_id,
            payload={"partial": partial},
        )


def _of_below(below: Below) -> Sequence[Event]:
    """What a run below tells, as if it were read by itself."""
    match below.item:
        case Batch():
            return of_batch(below.item, below.run_id, below.session_id)
        case Recorded():
            return [of_recorded(below.item)]
        case Note(type, payload):
            return [Event(type=type, run_id=below.run_id, session_id=below.session_id, payload=payload)]
        case _:
            return [of_chunk(below.item, below.run_id, below.session_id)]
