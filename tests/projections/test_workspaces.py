from recording import NOON, after_noon, write

from treadle.events.workspace import (
    NoteArchived,
    NoteUpdated,
    NoteWritten,
    Origin,
    QuestionAnswered,
    workspace_stream,
)
from treadle.gateways.journals.memory import MemoryJournal
from treadle.projections import AnswerRow, NoteRow, Projections, VersionRow, Views, Workspaces

DEADLINE_S = 20


def by(author: str, seconds: float, plan: str = "", run_id: str = "") -> Origin:
    return Origin(author=author, call_id=f"c{seconds}", at=after_noon(seconds), run_id=run_id, plan=plan)


def noted(slug: str, origin: Origin, kind: str = "note") -> NoteWritten:
    return NoteWritten(slug=slug, kind=kind, title=slug.title(), body="\0 1\n", origin=origin, tags=("a", "b"))


async def test_notes_are_kept_by_user_and_workspace_with_every_version(views: Views) -> None:
    journal = MemoryJournal()
    async with Projections(journal, views, [Workspaces()]) as projections:
        await write(
            journal,
            workspace_stream("al/ice", "ops-1"),
            noted("load", by("ada", 0, run_id="r-1")),
            noted("why", by("ben", 1), "question"),
            NoteUpdated(slug="load", version=2, title="L", body="2", origin=by("ben", 2, "p-1", "r-2"), cites=("why",)),
            QuestionAnswered(slug="why", answer="So.", origin=by("ada", 3)),
            NoteArchived(slug="why", origin=by("ada", 4)),
            user_id="al/ice",
        )
        await write(journal, workspace_stream("bob", "ops-1"), noted("load", by("bo", 5)), user_id="bob")
        await projections.catch_up(DEADLINE_S)
        notes = projections.workspaces
        alices = NoteRow("al/ice", "ops-1", "load", "note", "L", "ada", 2, 0, False, NOON, after_noon(2))
        bobs = NoteRow("bob", "ops-1", "load", "note", "Load", "bo", 1, 0, False, after_noon(5), after_noon(5))
        assert await notes.notes() == [bobs, alices]
        assert await notes.notes(limit=1) == [bobs]
        assert (
            await notes.notes("al/ice") == await notes.notes(plan="p-1") == await notes.notes(run_id="r-1") == [alices]
        )
        assert await notes.notes("bob", "ops-1", author="ada") == await notes.notes(workspace="lobby") == []
        archived = NoteRow(
            "al/ice", "ops-1", "why", "question", "Why", "ben", 1, 1, True, after_noon(1), after_noon(4)
        )  # fmt: skip
        assert await notes.notes(archived=True) == [archived]
        assert await notes.notes(archived=None, kind="question") == [archived]
        assert await notes.versions("al/ice", "ops-1", "load") == [
            VersionRow("load", 1, "Load", "\0 1\n", ("a", "b"), (), "ada", NOON, "r-1", "c0", "", ""),
            VersionRow("load", 2, "L", "2", (), ("why",), "ben", after_noon(2), "r-2", "c2", "p-1", ""),
        ]
        assert await notes.versions("bob", "ops-1", "why") == []
        assert await notes.answers("al/ice", "ops-1", "why") == [
            AnswerRow("why", 1, "So.", "ada", after_noon(3), "")
        ]  # fmt: skip
        before = await projections.state_hash("workspaces")
        assert await projections.rebuild("workspaces", DEADLINE_S) == before
    await journal.close()
