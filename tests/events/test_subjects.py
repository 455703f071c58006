"""Subjects survive the round trip, whatever the ids are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.events.subjects import (
    EventAddress,
    SignalAddress,
    Subjects,
    escape,
    is_literal,
    is_pattern,
    matches,
    overlap,
    unescape,
)

ids = st.text(st.characters(exclude_categories=()))
tokens = st.sampled_from(["a", "b", "c"])
literals = st.lists(tokens, min_size=1, max_size=4).map(".".join)


def joined(head: list[str], tail: list[str]) -> str:
    return ".".join([*head, *tail]) or ">"


patterns = st.builds(
    joined,
    st.lists(st.one_of(tokens, st.just("*")), max_size=4),
    st.sampled_from([[], [">"]]),
)


@given(ids)
def test_an_id_comes_back_from_its_token(text: str) -> None:
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("token", ["=ZZ", "a=", "a=2", "=41", "=c3=a9", "=FF", "é=2E", "=2D-", "字=2E"])
def test_a_token_whose_escapes_no_id_has_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="is not escaped as an id is"):
        unescape(token)
    with pytest.raises(ValueError, match="is not escaped as an id is"):
        Subjects().parse_signal(f"treadle.signal.{token}.desk.s")


@given(tokens)
def test_a_token_with_escapes_is_read_only_if_it_is_the_one_of_its_id(token: str) -> None:
    try:
        text = unescape(token)
    except ValueError:
        return
    assert "=" not in token or escape(text) == token


@given(ids)
def test_an_id_is_one_token_without_wildcards(text: str) -> None:
    token = escape(text)
    assert is_literal(token)
    assert "." not in token


@given(ids, ids)
def test_two_ids_never_share_a_token(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(ids, ids, ids)
def test_a_signal_subject_tells_whom_it_is_for(user_id: str, agent: str, session_id: str) -> None:
    subjects = Subjects()
    subject = subjects.signal(user_id, agent, session_id)
    assert subjects.parse_signal(subject) == SignalAddress(user_id, agent, session_id)
    assert matches(subjects.signals(), subject)
    assert matches(subjects.signals(agent=agent), subject)
    assert is_literal(subjects.parked(subject))


@given(ids, ids)
def test_an_event_subject_tells_which_event_it_is_of(user_id: str, run_id: str) -> None:
    subjects = Subjects("staging")
    subject = subjects.event(user_id, f"run-{run_id}", "run.started")
    assert subjects.parse_event(subject) == EventAddress(user_id, "run", run_id, "started")
    assert matches(subjects.events(user_id, "run", run_id), subject)
    assert matches(subjects.events(), subject)
    assert not matches(subjects.events(user_id + "x"), subject)


@pytest.mark.parametrize(
    "subject", ["", "treadle", "treadle.signal.a.b", "treadle.signal.a.b.c.d", "other.signal.a.b.c"]
)
def test_another_subject_is_no_signal(subject: str) -> None:
    with pytest.raises(ValueError, match=r"treadle\.signal"):
        Subjects().parse_signal(subject)


@pytest.mark.parametrize("namespace", ["", "a.b", "a b", "*", ">"])
def test_a_namespace_is_one_plain_token(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        Subjects(namespace)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        (">", "a", True),
        ("*.b", "a.b", True),
        ("a.>.c", "a.b.c", False),
    ],
)
def test_patterns_match_as_nats_does(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


@given(literals)
def test_a_subject_matches_itself_and_only_itself_when_it_has_no_wildcard(subject: str) -> None:
    assert matches(subject, subject)
    assert not matches(subject, f"{subject}.a")


@given(patterns, patterns, literals)
def test_patterns_that_share_a_subject_overlap(one: str, other: str, subject: str) -> None:
    assert is_pattern(one)
    assert overlap(one, other) == overlap(other, one)
    if matches(one, subject) and matches(other, subject):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("a.b", "a.c"), ("a.*", "a"), ("a.>", "a"), ("a.*.c", "*.b.d"), ("a.*", "*.*.b")]
)
def test_patterns_without_a_common_subject_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)


@pytest.mark.parametrize("subject", ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a.*", ">", "a*"])
def test_what_nats_would_not_take_is_no_literal(subject: str) -> None:
    assert not is_literal(subject)


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a.b*", ">a", "a .*", "a..*"])
def test_a_misplaced_wildcard_is_no_pattern(pattern: str) -> None:
    assert not is_pattern(pattern)


def test_a_timer_is_one_token_waiting_or_due() -> None:
    subjects = Subjects("t")
    for subject in (subjects.timer("every hour.*"), subjects.timer_due("every hour.*")):
        assert subject.count(".") == 3
        assert subjects.parse_timer(subject) == "every hour.*"
    assert matches(subjects.timers(), subjects.timer("x"))
    assert matches(subjects.timers_due(), subjects.timer_due("x"))
    assert not overlap(subjects.timers(), subjects.timers_due())
    for bad in ("t.timer.x", "t.timer.set.a.b", "u.timer.set.a", "t.timer.gone.a", "t.timer.set.=41"):
        with pytest.raises(ValueError):
            subjects.parse_timer(bad)
