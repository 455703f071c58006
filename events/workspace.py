"""A workspace: notes that a user's agents leave for each other and for later runs. Stream `workspace-<user>/<name>`.

A note has versions, each an event; where each comes from is recorded with it: author, run and call, and the step of
the plan that it belongs to. The state keeps the newest text of a note and where every version stands in the stream, so
an old text is read from there. `workspace_rules.py` decides.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct, field, structs

from .envelope import StreamName
from .event import Event
from .stream_parts import joined, parted

CATEGORY = "workspace"

KINDS = ("finding", "question", "decision", "summary", "artifact", "plan", "note")

REMEMBERED_CALLS = 4096
"""How many calls a workspace remembers; a call is repeated long before that many others were made."""


def workspace_stream(user_id: str, name: str) -> StreamName:
    """The stream of a user's workspace; see `stream_parts.py`."""
    return StreamName("workspace-" + joined(user_id, name))


def workspace_key(stream: str) -> tuple[str, str]:
    """User and name of a workspace's stream."""
    user_id, name = parted(stream.removeprefix("workspace-"))
    return user_id, name


class Origin(Struct, frozen=True, omit_defaults=True):
    """Where a version of a note, or an answer, comes from.

    Attributes:
        call_id: Of the call that wrote it; a call writes once, however often it is made.
        run_id: The run of that call; empty when a program wrote it, outside of any run.
        plan, step: The plan that it belongs to, and the step there; empty for none.
    """

    author: str
    call_id: str
    at: datetime
    run_id: str = ""
    plan: str = ""
    step: str = ""


class Joined(Struct, frozen=True, omit_defaults=True):
    """What a run records of the workspace that its agent is in: whoever goes on with the run is in it again.

    Attributes:
        author: Under which name it writes; empty for the agent's.
        plan, step: What its notes belong to while it has no plan of its own.
    """

    name: str
    author: str = ""
    plan: str = ""
    step: str = ""


# --- events ----------------------------------------------------------------------------------------------------------


class NoteWritten(Event, tag="workspace.note_written"):
    """A note, in its first version."""

    slug: str
    kind: str
    title: str
    body: str
    origin: Origin
    tags: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


class NoteUpdated(Event, tag="workspace.note_updated"):
    """A further version of a note: all of it, not what has changed."""

    slug: str
    version: int
    title: str
    body: str
    origin: Origin
    tags: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


class NoteArchived(Event, tag="workspace.note_archived"):
    """A note is done with: it can be read, and is neither listed nor found any more."""

    slug: str
    origin: Origin
    reason: str = ""


class QuestionAnswered(Event, tag="workspace.question_answered"):
    """Somebody answered a note that is a question."""

    slug: str
    answer: str
    origin: Origin


WorkspaceEvent: TypeAlias = NoteWritten | NoteUpdated | NoteArchived | QuestionAnswered


# --- state -----------------------------------------------------------------------------------------------------------


class Version(Struct, frozen=True):
    """A version of a note. `event` is the version of the stream that holds its text."""

    number: int
    title: str
    origin: Origin
    event: int


class Answer(Struct, frozen=True):
    text: str
    origin: Origin


class Note(Struct, frozen=True):
    """A note as one of its versions has it, with what was said of it until now.

    Attributes:
        versions: Up to this one, the first one first.
        cites: The slugs of the notes that it builds on.
    """

    slug: str
    kind: str
    title: str
    body: str
    versions: tuple[Version, ...]
    tags: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    archived: bool = False

    @property
    def version(self) -> int:
        return len(self.versions)

    @property
    def author(self) -> str:
        """Who wrote it first."""
        return self.versions[0].origin.author

    @property
    def created_at(self) -> datetime:
        return self.versions[0].origin.at

    @property
    def updated_at(self) -> datetime:
        return self.versions[-1].origin.at

    @property
    def is_open(self) -> bool:
        """Whether it is a question that nobody has answered."""
        return self.kind == "question" and not self.answers and not self.archived

    @property
    def size_bytes(self) -> int:
        """What it counts for in its workspace."""
        return len(self.body.encode()) + sum(len(answer.text.encode()) for answer in self.answers)


class Workspace(Struct):
    """The fold of a workspace. Owned by one activation; `evolve` changes it in place.

    Attributes:
        notes: By slug, what changed last at the end. An archived note has no text here.
        calls: The slug that each of the last calls wrote to.
        events: How many events there are: the stream's version.
        size_bytes: The text of all notes here.
    """

    notes: dict[str, Note] = field(default_factory=dict[str, Note])
    calls: dict[str, str] = field(default_factory=dict[str, str])
    events: int = 0
    size_bytes: int = 0

    @property
    def live(self) -> list[Note]:
        """The notes that are not archived, what changed last at the end."""
        return [note for note in self.notes.values() if not note.archived]


SNAPSHOT = "workspace/1"


def evolve(state: Workspace, event: Event) -> Workspace:
    state.events += 1
    match event:
        case NoteWritten(slug, kind, title, body, origin, tags, cites):
            version = Version(1, title, origin, state.events)
            _put(state, Note(slug, kind, title, body, (version,), tags, cites), origin)
        case NoteUpdated(slug, number, title, body, origin, tags, cites):
            note = state.notes[slug]
            versions = (*note.versions, Version(number, title, origin, state.events))
            changed = structs.replace(note, title=title, body=body, tags=tags, cites=cites, versions=versions)
            _put(state, changed, origin)
        case NoteArchived(slug, origin):
            _put(state, structs.replace(state.notes[slug], archived=True, body=""), origin)
        case QuestionAnswered(slug, answer, origin):
            note = state.notes[slug]
            _put(state, structs.replace(note, answers=(*note.answers, Answer(answer, origin))), origin)
        case _:
            pass
    return state


def _put(state: Workspace, note: Note, origin: Origin) -> None:
    before = state.notes.pop(note.slug, None)
    state.size_bytes += note.size_bytes - (0 if before is None else before.size_bytes)
    state.notes[note.slug] = note
    state.calls[origin.call_id] = note.slug
    while len(state.calls) > REMEMBERED_CALLS:
        del state.calls[next(iter(state.calls))]


# --- what notes say of each other ------------------------------------------------------------------------------------

_CITATION = re.compile(r"\[\[([\w-]+)\]\]")


def cited_in(text: str) -> tuple[str, ...]:
    """The slugs that a text cites, as `[[slug]]`: each once, in the order of the text."""
    return tuple(dict.fromkeys(_CITATION.findall(text)))


def citing(slug: str, notes: Sequence[Note]) -> tuple[str, ...]:
    """The slugs of the notes that cite this one."""
    return tuple(note.slug for note in notes if slug in note.cites)
