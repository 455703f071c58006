"""What a workspace's actor takes, and the port that runs and programs use it through."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from ..events.envelope import Meta
from ..events.workspace import Note, Origin, Version
from ..events.workspace_rules import Draft, Revision


class Archiving(Struct, frozen=True):
    """A note that is done with."""

    slug: str
    reason: str
    origin: Origin


class Answering(Struct, frozen=True):
    """An answer to a question."""

    slug: str
    answer: str
    origin: Origin


Change = Draft | Revision | Archiving | Answering


class ChangeNotes(Struct, frozen=True):
    """Change something, once. Answers with the note as the call made it, when that is on disk."""

    change: Change
    cause: Meta


class Wanted(Struct, frozen=True):
    """Which notes are asked for; empty: whichever.

    Attributes:
        author: Who wrote a version of it.
        plan, run_id: What a version of it came of.
        archived: None: those that are archived and those that are not.
        open: Only questions that nobody has answered.
    """

    kind: str = ""
    author: str = ""
    tag: str = ""
    plan: str = ""
    run_id: str = ""
    archived: bool | None = False
    open: bool = False

    def has(self, note: Note) -> bool:
        origins = [version.origin for version in note.versions]
        return (
            (not self.kind or note.kind == self.kind)
            and (not self.author or any(origin.author == self.author for origin in origins))
            and (not self.tag or self.tag in note.tags)
            and (not self.plan or any(origin.plan == self.plan for origin in origins))
            and (not self.run_id or any(origin.run_id == self.run_id for origin in origins))
            and (self.archived is None or note.archived == self.archived)
            and (not self.open or note.is_open)
        )


class ListNotes(Struct, frozen=True):
    """Answers with notes, what changed last first."""

    wanted: Wanted
    limit: int


class SearchNotes(Struct, frozen=True):
    """Answers with the notes that have words of the query, the best first."""

    query: str
    wanted: Wanted
    limit: int


class ReadNote(Struct, frozen=True):
    """Answers with a note as it is, or as one of its versions was. `NotFound` when there is none."""

    slug: str
    version: int = 0


class Lineage(Struct, frozen=True):
    """Where a note comes from, and what came of it.

    Attributes:
        versions: Each with the author, run, call and step that wrote it.
        cites: The notes that it builds on; `cited_by`: those that build on it.
    """

    slug: str
    versions: tuple[Version, ...]
    cites: tuple[str, ...]
    cited_by: tuple[str, ...]


class AskLineage(Struct, frozen=True):
    """Answers with a note's `Lineage`."""

    slug: str


WorkspaceMessage = ChangeNotes | ListNotes | SearchNotes | ReadNote | AskLineage


class WorkspacePort(Protocol):
    """Users' workspaces, by user and name. Their events are that user's, whoever's run is the cause.

    Raises (everything here): NotFound, NoteRefused: as `events/workspace_rules.py` has it; nothing was written.
    """

    async def change(self, user_id: str, name: str, change: Change, cause: Meta) -> Note:
        """Durable when it returns; a call that is repeated writes nothing, and is answered as before."""
        ...

    async def read(self, user_id: str, name: str, slug: str, version: int = 0) -> Note: ...
    async def list(self, user_id: str, name: str, wanted: Wanted, limit: int) -> Sequence[Note]: ...
    async def search(self, user_id: str, name: str, query: str, wanted: Wanted, limit: int) -> Sequence[Note]: ...
    async def lineage(self, user_id: str, name: str, slug: str) -> Lineage: ...
