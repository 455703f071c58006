"""What a model is offered of a workspace: tools, and a few lines on how they are meant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..actors.context import current_call
from ..actors.tool import Tool
from ..events.workspace import Note
from .tools.function import tool

if TYPE_CHECKING:
    from .workspace import Workspace

Kind = Literal["finding", "question", "decision", "summary", "artifact", "plan", "note"]

_EXCERPT_CHARS = 300


def prompt_section(workspace: "Workspace") -> str:
    """What the instructions of an agent say of its workspace."""
    mates = f" with {', '.join(workspace.teammates)}" if workspace.teammates else ""
    author = f"you write in it as {workspace.author!r}, and " if workspace.author else ""
    return (
        "# Workspace\n"
        f"You share the workspace {workspace.name!r}{mates}; {author}it stays after this conversation. Search it "
        "before you work something out anew. Write down what others will need: findings, decisions, questions that you "
        "cannot answer. Cite a note as [[slug]], in notes and in your answer."
    )


def tools_of(workspace: "Workspace") -> Sequence[Tool]:
    """The tools of a workspace: those that write are idempotent, so a call that is repeated writes once."""
    return [*_writing(workspace), *_asking(workspace), *_reading(workspace)]


def _writing(workspace: "Workspace") -> Sequence[Tool]:
    async def note(
        title: str, body: str, kind: Kind = "note", tags: Sequence[str] = (), cites: Sequence[str] = (), step: str = ""
    ) -> dict[str, Any]:
        """Write a note into the shared workspace. Returns its slug, by which it is read, cited and updated.

        Args:
            title: What it is about, in a line.
            body: The text; it may cite other notes as [[slug]].
            cites: Slugs of further notes that it builds on.
            step: The step of your plan that it belongs to, if you follow one.
        """
        call_id, plan = _call_id(), _plan(step)
        return _written(
            await workspace.note(
                title, body, kind=kind, tags=tags, cites=cites, plan=plan, step=step, call_id=call_id
            )
        )  # fmt: skip

    async def update_note(
        slug: str,
        body: str | None = None,
        title: str | None = None,
        tags: Sequence[str] | None = None,
        version: int = 0,
        step: str = "",
    ) -> dict[str, Any]:
        """Write a new version of a note: all of its text, not only what changes. Earlier versions are kept.

        Args:
            version: The version that you have read; the update is refused when somebody else has written since.
            step: The step of your plan that it belongs to, if you follow one.
        """
        call_id, plan = _call_id(), _plan(step)
        return _written(
            await workspace.update(
                slug, title=title, body=body, tags=tags, of_version=version, plan=plan, step=step, call_id=call_id
            )
        )  # fmt: skip

    async def archive_note(slug: str, reason: str = "") -> dict[str, Any]:
        """Put a note away that is wrong, outdated or done with; it is neither listed nor found any more."""
        return _written(await workspace.archive(slug, reason=reason, call_id=_call_id()))

    return [tool(idempotent=True)(function) for function in (note, update_note, archive_note)]


def _asking(workspace: "Workspace") -> Sequence[Tool]:
    async def ask_question(question: str, context: str = "", tags: Sequence[str] = ()) -> dict[str, Any]:
        """Leave a question for your teammates, or for later.

        Args:
            question: The question, in a line.
            context: What somebody has to know to answer it.
        """
        return _written(await workspace.ask(question, context, tags=tags, call_id=_call_id()))

    async def answer_question(slug: str, answer: str) -> dict[str, Any]:
        """Answer a question of the workspace."""
        return _written(await workspace.answer(slug, answer, call_id=_call_id()))

    async def list_open_questions(limit: int = 20) -> list[dict[str, Any]]:
        """The questions that nobody has answered, the newest first."""
        return [{**_listed(asked), "context": asked.body} for asked in await workspace.open_questions(limit=limit)]

    asking = [tool(idempotent=True)(function) for function in (ask_question, answer_question)]
    return [*asking, tool(read_only=True)(list_open_questions)]


def _reading(workspace: "Workspace") -> Sequence[Tool]:
    async def read_note(slug: str, version: int | None = None) -> dict[str, Any]:
        """Read a note: its text, who wrote it, what it cites, and answers if it is a question.

        Args:
            version: An earlier version; by default the newest.
        """
        return _whole(await workspace.read(slug, version))

    async def list_notes(
        kind: Kind | None = None, author: str = "", tag: str = "", plan: str = "", limit: int = 20
    ) -> list[dict[str, Any]]:
        """List notes of the workspace, what changed last first; without their texts.

        Args:
            plan: Only notes that came of this plan.
        """
        notes = await workspace.list(kind=kind or "", author=author, tag=tag, plan=plan, limit=limit)
        return [_listed(note) for note in notes]

    async def search_notes(query: str, limit: int = 5, kind: Kind | None = None) -> list[dict[str, Any]]:
        """Find notes by words, the best first, each with the beginning of its text."""
        notes = await workspace.search(query, limit, kind=kind or "")
        return [{**_listed(note), "body": excerpt(note.body)} for note in notes]

    return [tool(read_only=True)(function) for function in (read_note, list_notes, search_notes)]


# --- what a model is told of a note ----------------------------------------------------------------------------------


def _written(note: Note) -> dict[str, Any]:
    return {"slug": note.slug, "version": note.version, "cite_as": f"[[{note.slug}]]"}


def _listed(note: Note) -> dict[str, Any]:
    about: dict[str, Any] = {
        "slug": note.slug,
        "kind": note.kind,
        "title": note.title,
        "author": note.author,
        "version": note.version,
        "updated_at": note.updated_at.isoformat(timespec="seconds"),
    }
    return about | ({"tags": list(note.tags)} if note.tags else {})


def _whole(note: Note) -> dict[str, Any]:
    origin = note.versions[-1].origin
    more: dict[str, Any] = {
        "body": note.body,
        "cites": list(note.cites),
        "answers": [{"author": answer.origin.author, "answer": answer.text} for answer in note.answers],
        "plan": origin.plan,
        "step": origin.step,
        "archived": note.archived,
    }
    return _listed(note) | {name: value for name, value in more.items() if value or name == "body"}


def excerpt(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _EXCERPT_CHARS else text[:_EXCERPT_CHARS].rstrip() + " …"


def _call_id() -> str:
    return current_call().call_id


def _plan(step: str) -> str:
    """The plan of this run, for what belongs to one of its steps."""
    return current_call().run_id if step else ""
