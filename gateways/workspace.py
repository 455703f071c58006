"""`Workspace`: notes that a user's agents share, over runs and restarts; for programs, and as tools of models."""

import asyncio
import copy
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from ..actors.context import current_call, current_cause, get_run_context, in_call
from ..actors.spec import AgentSpec
from ..actors.tool import Tool
from ..actors.workspace_messages import Answering, Archiving, Change, Lineage, Wanted
from ..events.errors import ConfigError
from ..events.workspace import Joined, Note, Origin, WorkspaceEvent, workspace_stream
from ..events.workspace_rules import NOTES_LIMIT, Draft, Revision, check_kind
from .arguments import check_id, check_positive, check_text, texts_of, well_formed
from .following import follow
from .workspace_export import export_notes
from .workspace_joining import in_workspace
from .workspace_place import Owner, Place, place_of
from .workspace_plans import place_in_plan
from .workspace_tools import tools_of

NAME_LIMIT_CHARS = 100


class Workspace:
    """A workspace by name: `Agent(workspace=Workspace("research"))`, `Workspace("research", system)` for programs.

    Each user has one of that name: it is the user's whose run it is used in, or `of(user_id)` says whose. In the code
    of a tool, or of a node of a workflow, `Workspace("research")` is that of the run. Notes are events: kept in order,
    each version of them, with where it comes from.

    Args:
        owner: Whose journal has the notes: a system, or an agent. Not needed inside of a run.
        runtime: A journal of its own for the notes (`"sqlite:./notes.db"`), whatever the agents' journal is.
    Raises:
        ConfigError: The name is none, or looks like a secret.
    """

    def __init__(self, name: str = "default", owner: "Owner | None" = None, *, runtime: str | None = None) -> None:
        check_id("name", name)
        if not name.strip() or len(name) > NAME_LIMIT_CHARS:
            raise ConfigError(f"a workspace's name has 1 to {NAME_LIMIT_CHARS} characters, not {len(name)}")
        if owner is not None and runtime is not None:
            raise ConfigError(f"Workspace({name!r}): owner and runtime both say where the notes are; give one of them")
        self.name = name
        self.runtime = runtime
        self.user_id: str | None = None
        self.author = ""
        self.teammates: tuple[str, ...] = ()
        self.plan = ("", "")
        self._owner = owner

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{f' as {self.author}' if self.author else ''}>"

    # --- whose, and as whom ---

    def of(self, user_id: str) -> Self:
        """This workspace as that user has it."""
        check_id("user_id", user_id)
        return self._with(user_id=user_id)

    def member(self, name: str, teammates: Sequence[str] = ()) -> Self:
        """This workspace as one of a team has it: what is written through it is by `name`."""
        check_id("name", name)
        others = tuple(mate for mate in texts_of("teammates", teammates) if mate != name)
        return self._with(author=name, teammates=others)

    def bound(self, owner: Owner) -> Self:
        """This workspace where `owner` has its journal, unless it has one of its own."""
        return self if self.runtime is not None or self._owner is not None else self._with(_owner=owner)

    def _with(self, **changes: Any) -> Self:
        made = copy.copy(self)
        made.__dict__.update(changes)
        return made

    # --- for agents ---

    def tools(self) -> Sequence[Tool]:
        """`note`, `read_note`, `list_notes` … for `Agent(tools=…)`; `Agent(workspace=…)` adds them by itself."""
        return tools_of(self)

    @property
    def joined(self) -> Joined | None:
        """See `SharedWorkspace`."""
        if self.runtime is not None or self._owner is not None:
            return None
        plan, step = self.plan
        return Joined(self.name, self.author, plan, step)

    def given_to(
        self, spec: AgentSpec, role: str, teammates: Sequence[str] = (), plan: tuple[str, str] | None = None
    ) -> AgentSpec:
        """The agent with this workspace: its tools, and what its model is told of them. See `SharedWorkspace`.

        Raises:
            ConfigError: It has a tool of such a name already.
        """
        if spec.workspace is not None:
            return spec
        return in_workspace(spec, self.member(role or self.author, teammates)._with(plan=plan or self.plan))

    # --- writing ---

    async def note(
        self,
        title: str,
        body: str = "",
        *,
        kind: str = "note",
        tags: Sequence[str] = (),
        cites: Sequence[str] = (),
        slug: str = "",
        plan: str = "",
        step: str = "",
        call_id: str = "",
    ) -> Note:
        """Write a note; it is on disk when this returns.

        Args:
            cites: Slugs of the notes that it builds on; those that its text cites as `[[slug]]` need not be named.
            slug: Its name in the workspace; made of the title if empty.
            plan, step: The plan that it belongs to, and the step there. By default that of the run that writes it, if
                it has one, and the step that is doing.
            call_id: Writing again under an id writes nothing. By default a tool that is called again after a crash
                writes nothing again, and a program always does.
        Raises:
            ConfigError: An argument is not of its type; nothing was written.
            NoteRefused, NotFound: The kind or a cited note is none, or it is too large; nothing was written.
        """
        there = await self._there()
        said = ("note", title, body, kind, slug)
        draft = Draft(
            title=title,
            body=body,
            kind=kind,
            tags=texts_of("tags", tags),
            cites=texts_of("cites", cites),
            slug=slug,
            origin=self._origin(there, call_id, said, plan, step),
        )
        return await self._change(there, draft, "note")

    async def update(
        self,
        slug: str,
        *,
        title: str | None = None,
        body: str | None = None,
        tags: Sequence[str] | None = None,
        cites: Sequence[str] | None = None,
        of_version: int = 0,
        plan: str = "",
        step: str = "",
        call_id: str = "",
    ) -> Note:
        """Write a further version; None stays as it is. Raises what `note` does, and `NotFound` for the note itself.

        Args:
            of_version: The version that was read: the update is refused when there is a newer one. 0: whichever.
        """
        there = await self._there()
        revision = Revision(
            slug=slug,
            title=title,
            body=body,
            tags=None if tags is None else texts_of("tags", tags),
            cites=None if cites is None else texts_of("cites", cites),
            of_version=of_version,
            origin=self._origin(there, call_id, ("update", slug, title, body), plan, step),
        )
        return await self._change(there, revision, "update")

    async def archive(self, slug: str, *, reason: str = "", call_id: str = "") -> Note:
        """Take a note out of lists and searches; it can be read still, and be cited."""
        there = await self._there()
        origin = self._origin(there, call_id, ("archive", slug))
        return await self._change(there, Archiving(slug, reason, origin), "archive")

    async def ask(self, question: str, context: str = "", *, tags: Sequence[str] = (), call_id: str = "") -> Note:
        """Write a question for whoever may know: a note of that kind."""
        return await self.note(question, context, kind="question", tags=tags, call_id=call_id)

    async def answer(self, slug: str, answer: str, *, call_id: str = "") -> Note:
        """Answer a question."""
        there = await self._there()
        origin = self._origin(there, call_id, ("answer", slug, answer))
        return await self._change(there, Answering(slug, answer, origin), "answer")

    # --- reading ---

    async def read(self, slug: str, version: int | None = None) -> Note:
        """A note as it is, or as one of its versions was. Raises `NotFound`, which names the nearest slugs."""
        check_text("slug", slug)
        if version is not None:
            check_positive("version", version)
        there = await self._there()
        return await there.port.read(there.user_id, self.name, slug, version or 0)

    async def list(
        self,
        *,
        kind: str = "",
        author: str = "",
        tag: str = "",
        plan: str = "",
        run_id: str = "",
        archived: bool | None = False,
        limit: int = 100,
    ) -> Sequence[Note]:
        """Notes, what changed last first.

        Args:
            author: Who wrote a version of it; `plan`, `run_id`: what a version of it came of.
            archived: None: those that are archived and those that are not.
        Raises:
            NoteRefused: There is no such kind.
        """
        wanted = Wanted(kind=kind, author=author, tag=tag, plan=plan, run_id=run_id, archived=archived)
        return await self._list(wanted, limit)

    async def open_questions(self, *, limit: int = 100) -> Sequence[Note]:
        """The questions that nobody has answered, the newest first."""
        return await self._list(Wanted(open=True), limit)

    async def search(self, query: str, limit: int = 10, *, kind: str = "", author: str = "") -> Sequence[Note]:
        """The notes that have words of `query` in title, tags, text or answers, the best first. Raises as `list`."""
        check_text("query", query)
        check_positive("limit", limit)
        wanted = well_formed(Wanted(kind=kind, author=author), "search")
        if kind:
            check_kind(kind)
        there = await self._there()
        return await there.port.search(there.user_id, self.name, query, wanted, limit)

    async def lineage(self, slug: str) -> Lineage:
        """Which run and call wrote each version of a note, what it builds on, and what builds on it."""
        check_text("slug", slug)
        there = await self._there()
        return await there.port.lineage(there.user_id, self.name, slug)

    async def watch(self, after: int = 0) -> AsyncIterator[WorkspaceEvent]:
        """All that happened in it above version `after` of its stream, then what comes, for ever."""
        there = await self._there()
        journal, stream = there.services.journal, workspace_stream(there.user_id, self.name)
        async for event in follow(journal, stream, after):
            if isinstance(event, WorkspaceEvent):
                yield event

    async def export(self, directory: str | Path) -> Sequence[Path]:
        """Write all notes as files of Markdown, `<user>/notes/<author>/<slug>.md`; archived ones are left out."""
        there = await self._there()
        notes = await there.port.list(there.user_id, self.name, Wanted(), NOTES_LIMIT)
        return await asyncio.to_thread(export_notes, notes, there.user_id, Path(directory))

    # --- where it is ---

    async def _list(self, wanted: Wanted, limit: int) -> Sequence[Note]:
        check_positive("limit", limit)
        wanted = well_formed(wanted, "list")
        if wanted.kind:
            check_kind(wanted.kind)
        there = await self._there()
        return await there.port.list(there.user_id, self.name, wanted, limit)

    async def _change(self, there: Place, change: Change, call: str) -> Note:
        return await there.port.change(there.user_id, self.name, well_formed(change, call), current_cause())

    async def _there(self) -> Place:
        return await place_of(self.name, self.runtime, self._owner, self.user_id)

    def _origin(self, there: Place, call_id: str, said: tuple[Any, ...], plan: str = "", step: str = "") -> Origin:
        author = self.author
        if in_call():
            call = current_call()
            author = author or call.agent
            # One tool may write several notes. When it is called again, each of them finds itself.
            call_id = call_id or f"{call.call_id}_{_digest(said)}"
            if not plan:
                plan, step = place_in_plan(step) or self.plan
        return Origin(
            author=author,
            call_id=call_id or there.services.clock.new_id(),
            at=there.services.clock.now(),
            run_id=get_run_context().run_id,
            plan=plan,
            step=step,
        )


def _digest(said: tuple[Any, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:12]
