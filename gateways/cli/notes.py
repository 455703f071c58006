"""`treadle notes`: what agents wrote into their users' workspaces."""

from typing import Annotated

import typer
from typer import Argument, Option

from ...events.errors import NotFound
from ...events.workspace_rules import check_kind
from ...projections import NoteRow, VersionRow, Workspaces
from .command import Call, command
from .output import Columns
from .reading import read_projections

app = typer.Typer()


@command(app)
async def notes(
    call: Call,
    slug: Annotated[str | None, Argument(help="A note: show its text, and where its versions come from.")] = None,
    user: Annotated[str | None, Option(help="Whose. Default: everybody's; of a note the anonymous user's.")] = None,
    workspace: Annotated[str | None, Option(help="Default: all; of a note `default`.")] = None,
    kind: Annotated[str | None, Option(help="Only notes of this kind.")] = None,
    plan: Annotated[str | None, Option(help="Only notes that came of this plan.")] = None,
    run: Annotated[str | None, Option(help="Only notes that this run wrote.")] = None,
    archived: Annotated[bool, Option("--archived", help="Those that are archived, instead.")] = False,
    limit: Annotated[int, Option(min=1, help="How many.")] = 100,
) -> None:
    """List the notes of workspaces, what changed last first; or show one, with its lineage."""
    kept = Workspaces()
    if kind is not None:
        check_kind(kind)
    async with read_projections(call.place, kept):
        if slug is not None:
            await _show(call, kept, user or "", workspace or "default", slug)
            return
        rows = await kept.notes(
            user, workspace, kind=kind, plan=plan, run_id=run, archived=archived, limit=limit
        )  # fmt: skip
    call.out.rows(rows, COLUMNS, empty="no notes")


async def _show(call: Call, kept: Workspaces, user: str, workspace: str, slug: str) -> None:
    versions = await kept.versions(user, workspace, slug)
    if not versions:
        raise NotFound("note", slug, f"in workspace {workspace!r} of user {user!r}; `treadle notes` lists all")
    answers = await kept.answers(user, workspace, slug)
    if call.out.json:
        call.out.object({"user_id": user, "workspace": workspace, "versions": versions, "answers": answers})
        return
    newest = versions[-1]
    call.out.say(newest.title, "bold")
    call.out.say(newest.body)
    for answer in answers:
        call.out.say(f"\nAnswer of {answer.author or 'a program'}: {answer.text}")
    if newest.cites:
        call.out.say(f"\nCites: {', '.join(newest.cites)}")
    call.out.say("")
    call.out.rows(versions, VERSION_COLUMNS)


COLUMNS: Columns[NoteRow] = {
    "user": lambda row: row.user_id,
    "workspace": lambda row: row.workspace,
    "note": lambda row: row.slug,
    "kind": lambda row: row.kind,
    "title": lambda row: row.title,
    "author": lambda row: row.author,
    "version": lambda row: row.version,
    "changed": lambda row: row.updated_at,
}

VERSION_COLUMNS: Columns[VersionRow] = {
    "version": lambda row: row.version,
    "author": lambda row: row.author,
    "at": lambda row: row.at,
    "run": lambda row: row.run_id,
    "call": lambda row: row.call_id,
    "plan": lambda row: row.plan,
    "step": lambda row: row.step,
}
