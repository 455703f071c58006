"""What a workspace takes: each decision is made on its state, and asking twice decides once.

A call is known by its id. One that wrote before writes nothing now: a tool that is called again after a crash finds
its note. Sizes have limits, since a workspace is held in memory as a whole and its events are published.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from .errors import NotFound, Refused
from .workspace import (
    KINDS,
    Note,
    NoteArchived,
    NoteUpdated,
    NoteWritten,
    Origin,
    QuestionAnswered,
    Workspace,
    cited_in,
)

TITLE_LIMIT_CHARS = 200
SLUG_LIMIT_CHARS = 60
TEXT_LIMIT_BYTES = 64 * 1024
TAGS_LIMIT = 16
TAG_LIMIT_CHARS = 64
CITES_LIMIT = 100
VERSIONS_LIMIT = 1000
ANSWERS_LIMIT = 20
NOTES_LIMIT = 2000
WORKSPACE_LIMIT_BYTES = 8 * 1024 * 1024
"""The text of all notes that are not archived."""


class NoteRefused(Refused):
    """A note, an update or an answer that the workspace does not take; nothing was written."""


class Draft(Struct, frozen=True, kw_only=True):
    """A note to be written. Its slug is made of its title, unless it has one."""

    title: str
    body: str
    origin: Origin
    kind: str = "note"
    tags: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    slug: str = ""


class Revision(Struct, frozen=True, kw_only=True):
    """What is to change of a note; None stays as it is.

    Attributes:
        of_version: The version that whoever changes it has read; 0 for whichever there is.
    """

    slug: str
    origin: Origin
    title: str | None = None
    body: str | None = None
    tags: tuple[str, ...] | None = None
    cites: tuple[str, ...] | None = None
    of_version: int = 0


# --- decisions -------------------------------------------------------------------------------------------------------


def check_kind(kind: str) -> None:
    """Raises NoteRefused: There is no such kind of notes."""
    if kind not in KINDS:
        raise NoteRefused(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}")


def write(draft: Draft, state: Workspace) -> list[NoteWritten]:
    """A new note."""
    if draft.origin.call_id in state.calls:
        return []
    check_kind(draft.kind)
    if len(live := state.live) >= NOTES_LIMIT:
        raise NoteRefused(f"the workspace has {len(live)} notes, as many as it may; archive what is done with")
    slug = _given(draft.slug, state) if draft.slug else _free(draft.title, draft.kind, state)
    written = NoteWritten(
        slug=slug,
        kind=draft.kind,
        title=_title(draft.title),
        body=_body(draft.body, 0, state),
        origin=draft.origin,
        tags=_tags(draft.tags),
        cites=_cites(slug, draft.cites, draft.body, state),
    )
    return [written]


def update(revision: Revision, state: Workspace) -> list[NoteUpdated]:
    """A further version; nothing when it says what the note says already."""
    if revision.origin.call_id in state.calls:
        return []
    note = _live(revision.slug, state)
    if revision.of_version not in (0, note.version):
        raise NoteRefused(
            f"note {note.slug!r} is at version {note.version}, by {note.versions[-1].origin.author!r}, and version "
            f"{revision.of_version} was to be changed; read it again"
        )
    if note.version >= VERSIONS_LIMIT:
        raise NoteRefused(f"note {note.slug!r} has {note.version} versions, as many as it may; write a new one")
    title = note.title if revision.title is None else _title(revision.title)
    body = note.body if revision.body is None else _body(revision.body, len(note.body.encode()), state)
    tags = note.tags if revision.tags is None else _tags(revision.tags)
    given = note.cites if revision.cites is None else revision.cites
    same = revision.cites is None and revision.body is None
    cites = note.cites if same else _cites(note.slug, given, body, state)
    if (title, body, tags, cites) == (note.title, note.body, note.tags, note.cites):
        return []
    updated = NoteUpdated(
        slug=note.slug,
        version=note.version + 1,
        title=title,
        body=body,
        origin=revision.origin,
        tags=tags,
        cites=cites,
    )
    return [updated]


def archive(slug: str, reason: str, origin: Origin, state: Workspace) -> list[NoteArchived]:
    """The end of a note; nothing when it has been archived before."""
    if origin.call_id in state.calls or known(slug, state).archived:
        return []
    _check_size("the reason", reason)
    return [NoteArchived(slug=slug, origin=origin, reason=reason)]


def answer(slug: str, text: str, origin: Origin, state: Workspace) -> list[QuestionAnswered]:
    """An answer to a question; it may have several."""
    if origin.call_id in state.calls:
        return []
    note = _live(slug, state)
    if note.kind != "question":
        raise NoteRefused(f"note {slug!r} is a {note.kind} and no question; update it, or write a note that cites it")
    if len(note.answers) >= ANSWERS_LIMIT:
        raise NoteRefused(f"question {slug!r} has {len(note.answers)} answers, as many as it may")
    if not text.strip():
        raise NoteRefused(f"the answer to {slug!r} is empty; say something")
    return [QuestionAnswered(slug=slug, answer=_body(text, 0, state), origin=origin)]


def known(slug: str, state: Workspace) -> Note:
    """The note of that slug.

    Raises:
        NotFound: There is none; the message names those that are called nearly so.
    """
    note = state.notes.get(slug)
    if note is None:
        close = difflib.get_close_matches(slug, state.notes, 3)
        hint = f"nearest: {', '.join(close)}" if close else f"the workspace has {len(state.notes)} notes"
        raise NotFound("note", slug, hint)
    return note


# --- what a note has to be -------------------------------------------------------------------------------------------


def _live(slug: str, state: Workspace) -> Note:
    note = known(slug, state)
    if note.archived:
        raise NoteRefused(f"note {slug!r} is archived; write a new one that cites it: [[{slug}]]")
    return note


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not title:
        raise NoteRefused("a note needs a title; say in a line what it is about")
    if len(title) > TITLE_LIMIT_CHARS:
        raise NoteRefused(f"a title has {TITLE_LIMIT_CHARS} characters at most, this one {len(title)}; use the body")
    return title


def _body(body: str, instead_of: int, state: Workspace) -> str:
    size = _check_size("a note's text", body)
    total = state.size_bytes - instead_of + size
    if total > WORKSPACE_LIMIT_BYTES:
        raise NoteRefused(
            f"the notes of the workspace would have {total} bytes, {WORKSPACE_LIMIT_BYTES} are allowed; "
            "archive what is done with"
        )
    return body


def _check_size(what: str, text: str) -> int:
    size = len(text.encode())
    if size > TEXT_LIMIT_BYTES:
        raise NoteRefused(f"{what} has {TEXT_LIMIT_BYTES} bytes at most, this one {size}; split it or shorten it")
    return size


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    tags = _each_once(" ".join(tag.split()) for tag in tags)
    if len(tags) > TAGS_LIMIT:
        raise NoteRefused(f"a note has {TAGS_LIMIT} tags at most, this one {len(tags)}")
    for tag in tags:
        if len(tag) > TAG_LIMIT_CHARS:
            raise NoteRefused(f"a tag has {TAG_LIMIT_CHARS} characters at most, {tag[:20]!r}… has {len(tag)}")
    return tags


def _cites(slug: str, given: tuple[str, ...], body: str, state: Workspace) -> tuple[str, ...]:
    """What was given, which has to be there, and what the text cites, as far as it is."""
    for cited in given:
        known(cited, state)
    cites = _each_once([*given, *(cited for cited in cited_in(body) if cited in state.notes)])
    cites = tuple(cited for cited in cites if cited != slug)
    if len(cites) > CITES_LIMIT:
        raise NoteRefused(f"a note cites {CITES_LIMIT} others at most, this one {len(cites)}")
    return cites


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


# --- slugs -----------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+")


def _slug_of(text: str) -> str:
    slug = "-".join(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))
    return slug[:SLUG_LIMIT_CHARS].rstrip("-")


def _free(title: str, kind: str, state: Workspace) -> str:
    slug = base = _slug_of(title) or kind
    number = 1
    while slug in state.notes:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _given(slug: str, state: Workspace) -> str:
    if slug != _slug_of(slug):
        raise NoteRefused(f"{slug!r} is no slug; {_slug_of(slug) or 'some-words'!r} is one")
    if slug in state.notes:
        raise NoteRefused(f"there is a note {slug!r} already, by {state.notes[slug].author!r}; update it")
    return slug
