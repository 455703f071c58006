"""Workspaces: what they take and refuse, and what the fold makes of any sequence of commands."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.events.errors import NotFound
from treadle.events.event import Event
from treadle.events.workspace import (
    REMEMBERED_CALLS,
    NoteArchived,
    NoteUpdated,
    NoteWritten,
    Origin,
    QuestionAnswered,
    Workspace,
    cited_in,
    evolve,
    workspace_key,
    workspace_stream,
)
from treadle.events.workspace_rules import (
    ANSWERS_LIMIT,
    NOTES_LIMIT,
    TEXT_LIMIT_BYTES,
    TITLE_LIMIT_CHARS,
    VERSIONS_LIMIT,
    WORKSPACE_LIMIT_BYTES,
    Draft,
    NoteRefused,
    Revision,
    answer,
    archive,
    update,
    write,
)

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def by(call_id: str, author: str = "ada") -> Origin:
    return Origin(author=author, call_id=call_id, at=NOON, run_id="run-1")


def fold(events: Iterable[Event]) -> Workspace:
    return reduce(evolve, events, Workspace())


def draft(title: str = "Load is high", call_id: str = "c1", **more: Any) -> Draft:
    return Draft(title=title, body=more.pop("body", "db-1 is at 99 %"), origin=by(call_id), **more)


def written(slug: str = "load-is-high", call_id: str = "c1", **more: Any) -> NoteWritten:
    about: dict[str, Any] = {"kind": "note", "title": "Load is high", "body": "db-1 is at 99 %", **more}
    return NoteWritten(slug=slug, origin=by(call_id), **about)


def test_a_note_is_written_under_the_words_of_its_title() -> None:
    assert write(draft(), fold([])) == [written()]


def test_a_call_that_is_repeated_writes_one_note() -> None:
    assert write(draft(title="Another title"), fold([written()])) == []


def test_notes_of_one_title_have_slugs_of_their_own() -> None:
    assert write(draft(call_id="c2"), fold([written()])) == [written("load-is-high-2", "c2")]


@pytest.mark.parametrize(
    ("title", "slug"),
    [("Größe: 3/4 — ok?", "größe-3-4-ok"), ("磁盘已满", "磁盘已满"), ("!!!", "note"), ("../../etc", "etc")],
)
def test_a_slug_is_made_of_words_in_any_script_and_never_of_anything_else(title: str, slug: str) -> None:
    assert write(draft(title), fold([]))[0].slug == slug


def test_an_update_is_a_further_version_and_keeps_what_it_does_not_name() -> None:
    state = fold([written(tags=("db",))])
    updated = update(Revision(slug="load-is-high", body="db-1 is at 10 %", origin=by("c2")), state)
    assert updated == [
        NoteUpdated(
            slug="load-is-high",
            version=2,
            title="Load is high",
            body="db-1 is at 10 %",
            origin=by("c2"),
            tags=("db",),
        )
    ]
    assert [version.event for version in fold([written(), *updated]).notes["load-is-high"].versions] == [1, 2]


def test_an_update_that_is_repeated_or_says_nothing_new_writes_nothing() -> None:
    state = fold([written()])
    revision = Revision(slug="load-is-high", body="db-1 is at 10 %", origin=by("c2"))
    assert update(revision, fold([written(), *update(revision, state)])) == []
    assert update(Revision(slug="load-is-high", body="db-1 is at 99 %", origin=by("c3")), state) == []


def test_an_update_of_a_version_that_is_not_the_newest_is_refused_with_who_was_quicker() -> None:
    state = fold(
        [written(), *update(Revision(slug="load-is-high", body="new", origin=by("c2", "ben")), fold([written()]))]
    )
    with pytest.raises(NoteRefused, match="is at version 2, by 'ben', and version 1 was to be changed"):
        update(Revision(slug="load-is-high", body="mine", of_version=1, origin=by("c3")), state)


def test_an_archived_note_is_not_live_is_archived_once_and_takes_no_update() -> None:
    state = fold([written()])
    archived = archive("load-is-high", "it is over", by("c2"), state)
    assert archived == [NoteArchived(slug="load-is-high", origin=by("c2"), reason="it is over")]
    state = fold([written(), *archived])
    assert (state.live, state.size_bytes) == ([], 0)
    assert archive("load-is-high", "again", by("c3"), state) == []
    with pytest.raises(NoteRefused, match=r"archived; write a new one that cites it: \[\[load-is-high\]\]"):
        update(Revision(slug="load-is-high", body="x", origin=by("c4")), state)


def test_a_question_is_open_until_somebody_answers() -> None:
    state = fold([written(kind="question")])
    assert state.notes["load-is-high"].is_open
    answered = answer("load-is-high", "since noon", by("c2", "ben"), state)
    assert answered == [QuestionAnswered(slug="load-is-high", answer="since noon", origin=by("c2", "ben"))]
    state = fold([written(kind="question"), *answered])
    assert not state.notes["load-is-high"].is_open
    assert answer("load-is-high", "since noon", by("c2", "ben"), state) == []


def test_a_text_that_cites_is_recorded_as_citing_what_there_is() -> None:
    state = fold([written()])
    cites = write(draft("Plan", "c2", body="See [[load-is-high]], [[load-is-high]] and [[nothing]]."), state)[0].cites
    assert cites == ("load-is-high",)


def test_what_a_text_cites_is_found_once_and_in_order() -> None:
    assert cited_in("[[b]] [[a-1]] [[b]] [x] [[ c ]] [[größe]] [[d") == ("b", "a-1", "größe")


FULL = [written(f"n-{number}", f"f{number}", title="n", body="") for number in range(NOTES_LIMIT)]
LARGE = [
    written(f"n-{number}", f"f{number}", title="n", body="x" * TEXT_LIMIT_BYTES)
    for number in range(WORKSPACE_LIMIT_BYTES // TEXT_LIMIT_BYTES)
]
REVISED = [
    NoteUpdated(slug="load-is-high", version=number, title="n", body=str(number), origin=by(f"v{number}"))
    for number in range(2, VERSIONS_LIMIT + 1)
]
ANSWERED = [
    QuestionAnswered(slug="load-is-high", answer="yes", origin=by(f"a{number}")) for number in range(ANSWERS_LIMIT)
]
Decision = Callable[[Workspace], object]
REFUSALS: Sequence[tuple[Decision, Sequence[Event], str]] = [
    (partial(write, draft(" \n")), [], "a note needs a title"),
    (partial(write, draft("x" * 201)), [], f"a title has {TITLE_LIMIT_CHARS} characters at most, this one 201"),
    (partial(write, draft(kind="rumour")), [], "there is no kind 'rumour'; kinds are finding, question, decision"),
    (partial(write, draft(body="ß" * TEXT_LIMIT_BYTES)), [], f"has {TEXT_LIMIT_BYTES} bytes at most, this one 131072"),
    (partial(write, draft(tags=tuple("abcdefghijklmnopq"))), [], "16 tags at most, this one 17"),
    (partial(write, draft(tags=("x" * 65,))), [], "a tag has 64 characters at most"),
    (partial(write, draft(slug="No Slug")), [], "'No Slug' is no slug; 'no-slug' is one"),
    (partial(write, draft(call_id="c2", slug="load-is-high")), [written()], "already, by 'ada'; update it"),
    (partial(write, draft(call_id="new")), FULL, "the workspace has 2000 notes, as many as it may; archive"),
    (partial(write, draft(call_id="new")), LARGE, "would have 8388623 bytes, 8388608 are allowed; archive"),
    (
        partial(update, Revision(slug="load-is-high", body="x", origin=by("new"))),
        [written(), *REVISED],
        "has 1000 versions, as many as it may; write a new one",
    ),
    (partial(answer, "load-is-high", "yes", by("new")), [written()], "is a note and no question"),
    (partial(answer, "load-is-high", " ", by("new")), [written(kind="question")], "is empty; say something"),
    (partial(answer, "load-is-high", "yes", by("new")), [written(kind="question"), *ANSWERED], "has 20 answers"),
]


@pytest.mark.parametrize(("decide", "events", "why"), REFUSALS, ids=[why for _, _, why in REFUSALS])
def test_what_does_not_fit_is_refused_with_the_numbers(decide: Decision, events: Sequence[Event], why: str) -> None:
    with pytest.raises(NoteRefused) as refused:
        decide(fold(events))
    assert why in str(refused.value)


def test_a_slug_that_is_not_there_is_answered_with_the_nearest_ones() -> None:
    state = fold([written(), written("a-plan", "c2")])
    with pytest.raises(NotFound, match="no note 'load-high'; nearest: load-is-high"):
        archive("load-high", "", by("c3"), state)
    with pytest.raises(NotFound, match="no note 'zzz'; the workspace has 2 notes"):
        write(draft(call_id="c3", cites=("zzz",)), state)


def test_streams_of_users_and_names_with_slashes_do_not_meet() -> None:
    assert workspace_stream("a/b", "c") != workspace_stream("a", "b/c")
    assert workspace_key(workspace_stream("a/%2Fb", "c%/d")) == ("a/%2Fb", "c%/d")


def test_only_so_many_calls_are_remembered() -> None:
    events = [NoteUpdated(slug="n", version=2, title="n", body="", origin=by(f"u{number}")) for number in range(10)]
    state = fold([written("n", "first"), *events])
    state.calls.update({f"x{number}": "n" for number in range(REMEMBERED_CALLS)})
    state = reduce(evolve, [NoteUpdated(slug="n", version=12, title="n", body="", origin=by("last"))], state)
    assert len(state.calls) == REMEMBERED_CALLS
    assert "last" in state.calls


# --- any sequence of commands ----------------------------------------------------------------------------------------

TITLES = st.sampled_from(["Load", "load", "A plan", "?", "Why?"])
CALLS = st.sampled_from([f"c{number}" for number in range(12)])
SLUGS = st.sampled_from(["load", "load-2", "a-plan", "why", "question", "note", "nowhere"])
BODIES = st.sampled_from(["", "one", "see [[load]]", "see [[a-plan]] and [[nowhere]]"])


def origins(call_id: str) -> Origin:
    return Origin(author="ada", call_id=call_id, at=NOON + timedelta(seconds=1))


def drafts(title: str, body: str, kind: str, call_id: str) -> Decision:
    return partial(write, Draft(title=title, body=body, kind=kind, origin=origins(call_id)))


def revisions(slug: str, body: str, call_id: str) -> Decision:
    return partial(update, Revision(slug=slug, body=body, origin=origins(call_id)))


def archivings(slug: str, call_id: str) -> Decision:
    return partial(archive, slug, "", origins(call_id))


def answers(slug: str, call_id: str) -> Decision:
    return partial(answer, slug, "yes", origins(call_id))


COMMANDS = st.one_of(
    st.builds(drafts, TITLES, BODIES, st.sampled_from(["note", "question"]), CALLS),
    st.builds(revisions, SLUGS, BODIES, CALLS),
    st.builds(archivings, SLUGS, CALLS),
    st.builds(answers, SLUGS, CALLS),
)


def carried_out(commands: Sequence[Decision], *, times: int) -> list[Any]:
    """The events of the commands, each given so often in a row."""
    events: list[Any] = []
    state = Workspace()
    for command in (command for command in commands for _ in range(times)):
        try:
            decided: Any = command(state)
        except (NoteRefused, NotFound):
            continue
        events += decided
        state = reduce(evolve, decided, state)
    return events


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=20))
def test_whatever_is_asked_versions_have_no_gap_and_no_call_writes_twice(commands: list[Decision]) -> None:
    events = carried_out(commands, times=1)
    state = fold(events)
    assert carried_out(commands, times=3) == events
    assert len({event.origin.call_id for event in events}) == len(events)
    assert state.events == len(events)
    for slug, note in state.notes.items():
        assert [version.number for version in note.versions] == list(range(1, note.version + 1))
        for version in note.versions:
            assert events[version.event - 1].slug == slug
            assert events[version.event - 1].origin == version.origin
        assert slug not in note.cites
        assert not (note.archived and note in state.live)
    assert state.size_bytes == sum(note.size_bytes for note in state.notes.values())
    assert msgspec.json.decode(msgspec.json.encode(state), type=Workspace) == state
