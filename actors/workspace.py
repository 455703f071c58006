"""The workspace actor: notes that a user's agents share.

Several nodes may have an actor of one workspace. Each looks at the end of the stream before it answers, so that what
a colleague wrote on another node is read here; what both write at once is decided again by the later one.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from ..events.envelope import Meta
from ..events.errors import NotFound
from ..events.redaction import redacted
from ..events.workspace import (
    SNAPSHOT,
    Note,
    NoteUpdated,
    NoteWritten,
    Workspace,
    citing,
    evolve,
    workspace_key,
)
from ..events.workspace_rules import Draft, Revision, answer, archive, known, update, write
from .entity import Fold
from .host import Host
from .partition import PartitionActor
from .services import Services
from .word_search import WordSearch
from .workspace_messages import (
    Answering,
    Archiving,
    AskLineage,
    Change,
    ChangeNotes,
    Lineage,
    ListNotes,
    ReadNote,
    SearchNotes,
    Wanted,
    WorkspaceMessage,
)

FOLD: Fold[Workspace] = Fold(Workspace, evolve, SNAPSHOT)

_TITLE_WEIGHT, _TAG_WEIGHT = 3, 2


class WorkspaceActor(PartitionActor[Workspace]):
    """A user's workspace. See `PartitionActor` for its phases."""

    def __init__(self, services: Services, stream: str) -> None:
        super().__init__(services, stream, FOLD, workspace_key(stream)[0])
        self._index = WordSearch()

    async def on_receive(self, message: WorkspaceMessage) -> Any:
        await self._entity.refresh()
        match message:
            case ChangeNotes(change, cause):
                return await self._changed(redacted(change), cause)
            case ListNotes(wanted, limit):
                return self._listed(wanted)[:limit]
            case SearchNotes(query, wanted, limit):
                return (await self._found(query, wanted))[:limit]
            case ReadNote(slug, version):
                return await self._as_of(known(slug, self._state), version)
            case AskLineage(slug):
                note = known(slug, self._state)
                return Lineage(slug, note.versions, note.cites, citing(slug, [*self._state.notes.values()]))

    async def _changed(self, change: Change, cause: Meta) -> Note:
        await self._commit(_decision(change), cause)
        call_id = change.origin.call_id
        slug = self._state.calls.get(call_id)
        if slug is None:  # it had nothing to change
            assert not isinstance(change, Draft)
            slug = change.slug
        note = known(slug, self._state)
        mine = [version.number for version in note.versions if version.origin.call_id == call_id]
        return await self._as_of(note, mine[-1] if mine else 0)

    async def _as_of(self, note: Note, number: int) -> Note:
        if number not in range(len(note.versions) + 1):
            raise NotFound("version", f"{number} of {note.slug}", f"it has versions 1 to {note.version}")
        versions = note.versions[:number] if number else note.versions
        if len(versions) == note.version and not note.archived:
            return note
        written = (await self._services.journal.read(self._entity.stream, versions[-1].event - 1, 1))[0].event
        assert isinstance(written, NoteWritten | NoteUpdated)
        return structs.replace(
            note, title=written.title, body=written.body, tags=written.tags, cites=written.cites, versions=versions
        )

    def _listed(self, wanted: Wanted) -> list[Note]:
        return [note for note in reversed(self._state.notes.values()) if wanted.has(note)]

    async def _found(self, query: str, wanted: Wanted) -> list[Note]:
        notes = {note.slug: note for note in self._listed(wanted)}
        texts = {note.slug: (note.version + len(note.answers), _parts(note)) for note in self._state.live}
        # The first time after a start everything is read: too long to keep the others waiting.
        await asyncio.to_thread(self._index.keep, texts)
        return [notes[slug] for slug, _ in self._index.find(query) if slug in notes]


def _decision(change: Change) -> Callable[[Workspace], Sequence[Any]]:
    match change:
        case Draft():
            return lambda state: write(change, state)
        case Revision():
            return lambda state: update(change, state)
        case Archiving(slug, reason, origin):
            return lambda state: archive(slug, reason, origin, state)
        case Answering(slug, text, origin):
            return lambda state: answer(slug, text, origin, state)


def _parts(note: Note) -> list[tuple[str, int]]:
    tags = [(tag, _TAG_WEIGHT) for tag in note.tags]
    return [(note.title, _TITLE_WEIGHT), *tags, (note.body, 1), *((answer.text, 1) for answer in note.answers)]


class Workspaces:
    """`WorkspacePort` by asking the workspaces' actors."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def change(self, user_id: str, name: str, change: Change, cause: Meta) -> Note:
        note: Note = await self._ask(user_id, name, ChangeNotes(change, cause))
        return note

    async def read(self, user_id: str, name: str, slug: str, version: int = 0) -> Note:
        note: Note = await self._ask(user_id, name, ReadNote(slug, version))
        return note

    async def list(self, user_id: str, name: str, wanted: Wanted, limit: int) -> Sequence[Note]:
        notes: Sequence[Note] = await self._ask(user_id, name, ListNotes(wanted, limit))
        return notes

    async def search(self, user_id: str, name: str, query: str, wanted: Wanted, limit: int) -> Sequence[Note]:
        notes: Sequence[Note] = await self._ask(user_id, name, SearchNotes(query, wanted, limit))
        return notes

    async def lineage(self, user_id: str, name: str, slug: str) -> Lineage:
        found: Lineage = await self._ask(user_id, name, AskLineage(slug))
        return found

    async def _ask(self, user_id: str, name: str, message: WorkspaceMessage) -> Any:
        return await self._host.workspace(user_id, name).ask(message)
