"""A blackboard: a workspace where agents leave entries for each other. Stream `blackboard-<name>`."""

from typing import Any, TypeAlias

from msgspec import Struct, field

from .envelope import StreamName
from .event import Event

CATEGORY = "blackboard"
KEPT_ENTRIES = 1000


def blackboard_stream(name: str) -> StreamName:
    return StreamName(f"blackboard-{name}")


# --- events ----------------------------------------------------------------------------------------------------------


class Posted(Event, tag="blackboard.posted"):
    """An entry. Its id is the posting call's, so a call posts once."""

    entry_id: str
    author: str
    content: str
    kind: str = "note"
    data: Any = None


BlackboardEvent: TypeAlias = Posted


# --- state -----------------------------------------------------------------------------------------------------------


class Blackboard(Struct):
    """The fold of a board: its newest entries. Owned by one activation; `evolve` changes it in place."""

    entries: list[Posted] = field(default_factory=list[Posted])
    total: int = 0


SNAPSHOT = "blackboard/1"


def evolve(state: Blackboard, event: Event) -> Blackboard:
    match event:
        case Posted():
            state.total += 1
            state.entries.append(event)
            if len(state.entries) > KEPT_ENTRIES:
                state.entries.pop(0)
        case _:
            pass
    return state


# --- decisions -------------------------------------------------------------------------------------------------------


def post(entry: Posted, state: Blackboard) -> list[Posted]:
    """An entry, once."""
    return [] if any(known.entry_id == entry.entry_id for known in state.entries) else [entry]
