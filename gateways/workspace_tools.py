"""What a model is offered of a workspace: tools, and a few lines on how they are meant."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from msgspec import structs

from ..actors.context import current_call
from ..actors.tool import Tool
from ..events.workspace import Note
from .tools.function import tool
from .workspace_plans import past_plans, recalled

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


def tools_of(workspace: "Workspace", *, plans: bool = False) -> Sequence[Tool]:
    """The tools of a workspace: those that write are idempotent, so a call that is repeated writes once.

    Args:
        plans: With `recall_past_plans`, for agents that plan.
    """
    tools = WorkspaceTools(workspace)
    wanted = (made for made in _made() if plans or made.name != "recall_past_plans")
    return [structs.replace(made, run=getattr(tools, made.name)) for made in wanted]


@cache
def _made() -> Sequence[Tool]:
    """The tools without a workspace: describing them takes longer than all else, and is the same for each."""
    tools = WorkspaceTools(None)
    writing = tools.note, tools.update_note, tools.archive_note, tools.ask_question, tools.answer_question
    reading = tools.read_note, tools.list_notes, tools.search_notes, tools.list_open_questions, tools.recall_past_plans
    return [
        *(tool(idempotent=True)(function) for function in writing),
        *(tool(read_only=True)(function) for function in reading),
    ]


class WorkspaceTools:
    """What the tools of a workspace do, each under its name."""

    def __init__(self, workspace: "Workspace | None") -> None:
        self._given = workspace

    @property
    def _workspace(self) -> "Workspace":
        assert self._given is not None
        return self._given

    async def note(
        self,
        title: str,
        body: str,
        kind: Kind = "note",
        tags: Sequence[str] = (),
        cites: Sequence[str] = (),
        step: str = "",
    ) -> dict[str, Any]:
        """Write a note into the shared workspace. Returns its slug, by which it is read, cited and updated.

        Args:
            title: What it is about, in a line.
            body: The text; it may cite other notes as [[slug]].
            cites: Slugs of further notes that it builds on.
            step: The step of your plan that it belongs to, if you follow one.
        """
        made = await self._workspace.note(title, body, kind=kind, tags=tags, cites=cites, step=step, call_id=_call_id())
        return _written(made)

    async def update_note(
        self,
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
        made = await self._workspace.update(
            slug, title=title, body=body, tags=tags, of_version=version, step=step, call_id=_call_id()
        )
        return _written(made)

    async def archive_note(self, slug: str, reason: str = "") -> dict[str, Any]:
        """Put a note away that is wrong, outdated or done with; it is neither listed nor found any more."""
        return _written(await self._workspace.archive(slug, reason=reason, call_id=_call_id()))

    async def ask_question(self, question: str, context: str = "", tags: Sequence[str] = ()) -> dict[str, Any]:
        """Leave a question for your teammates, or for later.

        Args:
            question: The question, in a line.
            context: What somebody has to know to answer it.
        """
        return _written(await self._workspace.ask(question, context, tags=tags, call_id=_call_id()))

    async def answer_question(self, slug: str, answer: str) -> dict[str, Any]:
        """Answer a question of the workspace."""
        return _written(await self._workspace.answer(slug, answer, call_id=_call_id()))

    async def list_open_questions(self, limit: int = 20) -> list[dict[str, Any]]:
        """The questions that nobody has answered, the newest first."""
        questions = await self._workspace.open_questions(limit=limit)
        return [{**_listed(asked), "context": asked.body} for asked in questions]

    async def read_note(self, slug: str, version: int | None = None) -> dict[str, Any]:
        """Read a note: its text, who wrote it, what it cites, and answers if it is a question.

        Args:
            version: An earlier version; by default the newest.
        """
        return _whole(await self._workspace.read(slug, version))

    async def list_notes(
        self, kind: Kind | None = None, author: str = "", tag: str = "", plan: str = "", limit: int = 20
    ) -> list[dict[str, Any]]:
        """List notes of the workspace, what changed last first; without their texts.

        Args:
            plan: Only notes that came of this plan.
        """
        notes = await self._workspace.list(kind=kind or "", author=author, tag=tag, plan=plan, limit=limit)
        return [_listed(note) for note in notes]

    async def search_notes(self, query: str, limit: int = 5, kind: Kind | None = None) -> list[dict[str, Any]]:
        """Find notes by words, the best first, each with the beginning of its text."""
        notes = await self._workspace.search(query, limit, kind=kind or "")
        return [{**_listed(note), "body": excerpt(note.body)} for note in notes]

    async def recall_past_plans(self, query: str, limit: int = 3) -> list[dict[str, Any]]:
        """Find plans of earlier runs by words: how something like this was gone about, and what came of the steps."""
        return [recalled(note) for note in await past_plans(self._workspace, query, limit)]


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
