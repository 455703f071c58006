"""The notes of all users' workspaces, version by version, with where each comes from."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from ..events.envelope import Recorded
from ..events.workspace import NoteArchived, NoteUpdated, NoteWritten, Origin, QuestionAnswered, workspace_key
from .projection import Projection
from .views import Row, Table, Transaction, Where, moment, stamp


class NoteRow(Struct, frozen=True):
    """A note as it is now. `author` wrote it first; `version` counts from 1."""

    user_id: str
    workspace: str
    slug: str
    kind: str
    title: str
    author: str
    version: int
    answers: int
    archived: bool
    created_at: datetime
    updated_at: datetime


class VersionRow(Struct, frozen=True):
    """A version of a note: its text, and the run, the call and the step of a plan that it came of."""

    slug: str
    version: int
    title: str
    body: str
    tags: tuple[str, ...]
    cites: tuple[str, ...]
    author: str
    at: datetime
    run_id: str
    call_id: str
    plan: str
    step: str


class AnswerRow(Struct, frozen=True):
    """An answer to a question; `number` counts from 1."""

    slug: str
    number: int
    text: str
    author: str
    at: datetime
    run_id: str


_WHERE = {"user_id": "TEXT NOT NULL", "workspace": "TEXT NOT NULL", "slug": "TEXT NOT NULL"}

_NOTES = Table(
    "workspace_notes",
    {
        **_WHERE,
        "kind": "TEXT NOT NULL",
        "title": "TEXT NOT NULL",
        "author": "TEXT NOT NULL",
        "version": "BIGINT NOT NULL",
        "answers": "BIGINT NOT NULL",
        "archived": "BIGINT NOT NULL",
        "created_at": "TEXT NOT NULL",
        "updated_at": "TEXT NOT NULL",
    },
    key=("user_id", "workspace", "slug"),
)

_VERSIONS = Table(
    "workspace_versions",
    {
        **_WHERE,
        "version": "BIGINT NOT NULL",
        "title": "TEXT NOT NULL",
        "body": "TEXT NOT NULL",
        "tags": "TEXT NOT NULL",
        "cites": "TEXT NOT NULL",
        "author": "TEXT NOT NULL",
        "at": "TEXT NOT NULL",
        "run_id": "TEXT NOT NULL",
        "call_id": "TEXT NOT NULL",
        "plan": "TEXT NOT NULL",
        "step": "TEXT NOT NULL",
    },
    key=("user_id", "workspace", "slug", "version"),
    indexes=(("run_id",), ("plan",)),
)

_ANSWERS = Table(
    "workspace_answers",
    {
        **_WHERE,
        "number": "BIGINT NOT NULL",
        "text": "TEXT NOT NULL",
        "author": "TEXT NOT NULL",
        "at": "TEXT NOT NULL",
        "run_id": "TEXT NOT NULL",
    },
    key=("user_id", "workspace", "slug", "number"),
)

_THIS = "user_id = ? AND workspace = ? AND slug = ?"


class Workspaces(Projection):
    """All notes of all users. A user's workspace, as agents use it, is an actor and does not ask here."""

    name = "workspaces"
    schema = 1
    tables = (_NOTES, _VERSIONS, _ANSWERS)
    handles = frozenset(event.event_tag for event in (NoteWritten, NoteUpdated, NoteArchived, QuestionAnswered))

    async def notes(
        self,
        user_id: str | None = None,
        workspace: str | None = None,
        *,
        kind: str | None = None,
        author: str | None = None,
        plan: str | None = None,
        run_id: str | None = None,
        archived: bool | None = False,
        limit: int = 100,
    ) -> list[NoteRow]:
        """Notes, what changed last first; `plan`, `run_id`: what a version of it came of."""
        where = Where().equal(user_id=user_id, workspace=workspace, kind=kind, author=author)
        where.add("archived = ?", None if archived is None else int(archived))
        for column, value in (("plan", plan), ("run_id", run_id)):
            same = " AND ".join(f"came.{name} = workspace_notes.{name}" for name in _NOTES.key)
            where.add(f"EXISTS (SELECT 1 FROM workspace_versions came WHERE {same} AND came.{column} = ?)", value)
        sql = (
            f"SELECT {_NOTES.selected} FROM workspace_notes{where.sql} "
            "ORDER BY updated_at DESC, user_id, workspace, slug LIMIT ?"
        )
        return [_note(row) for row in await self.read(lambda tx: tx.query(sql, (*where.params, limit)))]

    async def versions(self, user_id: str, workspace: str, slug: str) -> list[VersionRow]:
        """The versions of a note, the first one first; none when there is no such note."""
        columns = ", ".join(VersionRow.__struct_fields__)
        sql = f"SELECT {columns} FROM workspace_versions WHERE {_THIS} ORDER BY version"
        rows = await self.read(lambda tx: tx.query(sql, (user_id, workspace, slug)))
        return [_version(row) for row in rows]

    async def answers(self, user_id: str, workspace: str, slug: str) -> list[AnswerRow]:
        """The answers to a question, in their order."""
        columns = ", ".join(AnswerRow.__struct_fields__)
        sql = f"SELECT {columns} FROM workspace_answers WHERE {_THIS} ORDER BY number"
        rows = await self.read(lambda tx: tx.query(sql, (user_id, workspace, slug)))
        return [AnswerRow(slug, number, text, by, moment(at), run) for slug, number, text, by, at, run in rows]

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        event = recorded.event
        if not isinstance(event, NoteWritten | NoteUpdated | NoteArchived | QuestionAnswered):
            return
        note, at = (*workspace_key(recorded.stream), event.slug), stamp(event.origin.at)
        match event:
            case NoteWritten():
                about = (event.kind, event.title, event.origin.author, 1, 0, 0, at, at)
                tx.execute(_NOTES.insert, (*note, *about))
                self._add_version(tx, note, 1, event)
            case NoteUpdated():
                sql = f"UPDATE workspace_notes SET title = ?, version = ?, updated_at = ? WHERE {_THIS}"
                tx.execute(sql, (event.title, event.version, at, *note))
                self._add_version(tx, note, event.version, event)
            case NoteArchived():
                sql = f"UPDATE workspace_notes SET archived = 1, updated_at = ? WHERE {_THIS}"
                tx.execute(sql, (at, *note))
            case QuestionAnswered(_, answer, origin):
                sql = f"UPDATE workspace_notes SET answers = answers + 1, updated_at = ? WHERE {_THIS}"
                tx.execute(sql, (at, *note))
                ((number,),) = tx.query(f"SELECT answers FROM workspace_notes WHERE {_THIS}", note)
                tx.execute(_ANSWERS.insert, (*note, number, answer, origin.author, at, origin.run_id))

    def _add_version(self, tx: Transaction, note: Sequence[str], number: int, event: NoteWritten | NoteUpdated) -> None:
        origin: Origin = event.origin
        tags, cites = (msgspec.json.encode(names).decode() for names in (event.tags, event.cites))
        came = (origin.author, stamp(origin.at), origin.run_id, origin.call_id, origin.plan, origin.step)
        tx.execute(_VERSIONS.insert, (*note, number, event.title, event.body, tags, cites, *came))


def _note(row: Row) -> NoteRow:
    user, workspace, slug, kind, title, author, version, answers, archived, created, updated = row
    changed = bool(archived), moment(created), moment(updated)
    return NoteRow(user, workspace, slug, kind, title, author, version, answers, *changed)


def _version(row: Row) -> VersionRow:
    slug, version, title, body, tags, cites, author, at, run_id, call_id, plan, step = row
    names = _names(tags), _names(cites)
    return VersionRow(slug, version, title, body, *names, author, moment(at), run_id, call_id, plan, step)


def _names(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
