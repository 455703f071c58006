"""The blackboard actor: a workspace where agents leave entries for each other."""

from typing import Any

from msgspec import Struct

from ..events.blackboard import SNAPSHOT, Blackboard, Posted, evolve, post
from ..events.envelope import Meta
from .entity import Fold
from .host import Host
from .partition import PartitionActor
from .services import Services

FOLD: Fold[Blackboard] = Fold(Blackboard, evolve, SNAPSHOT)


class PostEntry(Struct, frozen=True):
    """Leave an entry, once. Answers None when it is on disk."""

    entry: Posted
    cause: Meta


class ReadEntries(Struct, frozen=True):
    """Answers with the newest entries, oldest first; of one kind or author if asked so."""

    limit: int = 100
    kind: str = ""
    author: str = ""


class BlackboardActor(PartitionActor[Blackboard]):
    """One board. See `PartitionActor` for its phases."""

    def __init__(self, services: Services, stream: str) -> None:
        super().__init__(services, stream, FOLD)

    async def on_receive(self, message: PostEntry | ReadEntries) -> Any:
        match message:
            case PostEntry(entry, cause):
                await self._commit(lambda state: post(entry, state), cause)
            case ReadEntries(limit, kind, author):
                found = [
                    entry
                    for entry in self._state.entries
                    if (not kind or entry.kind == kind) and (not author or entry.author == author)
                ]
                return found[-limit:]


class Blackboards:
    """`BlackboardPort` by asking the boards' actors."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def post(self, board: str, entry: Posted, cause: Meta) -> None:
        await self._host.blackboard(board).ask(PostEntry(entry, cause))

    async def read(self, board: str, limit: int = 100, kind: str = "", author: str = "") -> list[Posted]:
        found: list[Posted] = await self._host.blackboard(board).ask(ReadEntries(limit, kind, author))
        return found
