from collections.abc import Iterable
from functools import reduce

import msgspec
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from treadle.events.event import Event
from treadle.events.run import RunState
from treadle.events.session import (
    HISTORY_LIMIT_CHARS,
    REMEMBERED_SIGNALS,
    RunEnded,
    RunOpened,
    Session,
    SignalParked,
    SignalReceived,
    Turn,
    end_run,
    evolve,
    open_run,
    park_signal,
    receive_signal,
    session_key,
    session_stream,
)
from treadle.events.signal import RuntimeSignal

ALARM = RuntimeSignal(summary="The disk is full", id="s1", dedupe_key="disk")


def fold(events: Iterable[Event]) -> Session:
    return reduce(evolve, events, Session())


def turn(run_id: str, prompt: str = "hello", output: str = "hi", state: RunState = RunState.COMPLETED) -> list[Event]:
    return [RunOpened(run_id=run_id, prompt=prompt), RunEnded(run_id=run_id, state=state, output=output)]


# --- signals ---------------------------------------------------------------------------------------------------------


def test_a_signal_is_taken() -> None:
    given = fold([])
    events = receive_signal(ALARM, given)
    assert events == [SignalReceived(signal=ALARM)]


def test_a_signal_that_is_delivered_twice_is_taken_once() -> None:
    given = fold([SignalReceived(signal=ALARM)])
    events = receive_signal(ALARM, given)
    assert events == []


def test_a_signal_with_a_known_dedupe_key_is_not_taken() -> None:
    given = fold([SignalReceived(signal=ALARM)])
    events = receive_signal(RuntimeSignal(summary="Still full", id="s2", dedupe_key="disk"), given)
    assert events == []


def test_a_signal_with_another_id_and_key_is_taken() -> None:
    given = fold([SignalReceived(signal=ALARM)])
    other = RuntimeSignal(summary="The load is high", id="s2", dedupe_key="load")
    assert receive_signal(other, given) == [SignalReceived(signal=other)]


def test_a_signal_is_not_taken_again_after_its_run() -> None:
    opened = RunOpened(run_id="r1", prompt="The disk is full", signal_id="s1")
    given = fold([SignalReceived(signal=ALARM), opened, RunEnded(run_id="r1", state=RunState.FAILED)])
    assert receive_signal(ALARM, given) == []


def test_a_signal_that_cannot_be_handled_is_parked() -> None:
    given = fold([])
    events = park_signal("s1", "no JSON", 12, given)
    assert events == [SignalParked(signal_id="s1", reason="no JSON", size_bytes=12)]


def test_a_signal_is_parked_once() -> None:
    given = fold([SignalParked(signal_id="s1", reason="no JSON")])
    events = park_signal("s1", "no JSON", 12, given)
    assert events == []


def test_signals_are_remembered_up_to_a_bound() -> None:
    given = fold(SignalParked(signal_id=f"s{number}", reason="no JSON") for number in range(REMEMBERED_SIGNALS + 1))
    assert len(given.seen) == REMEMBERED_SIGNALS
    assert park_signal(f"s{REMEMBERED_SIGNALS}", "no JSON", 0, given) == []


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_opened() -> None:
    given = fold([SignalReceived(signal=ALARM)])
    events = open_run("r1", "The disk is full", "s1", given)
    assert events == [RunOpened(run_id="r1", prompt="The disk is full", signal_id="s1")]


def test_a_run_is_opened_once() -> None:
    given = fold([RunOpened(run_id="r1", prompt="hello")])
    events = open_run("r1", "hello", "", given)
    assert events == []


def test_a_signal_that_had_its_run_gets_no_other() -> None:
    opened = RunOpened(run_id="r1", prompt="The disk is full", signal_id="s1")
    given = fold([SignalReceived(signal=ALARM), opened, RunEnded(run_id="r1", state=RunState.COMPLETED)])
    assert open_run("r2", "The disk is full", "s1", given) == []


def test_a_second_run_is_not_opened_beside_the_first() -> None:
    given = fold([RunOpened(run_id="r1", prompt="hello")])
    assert open_run("r2", "hello", "", given) == []


def test_a_signal_waits_until_its_run_is_opened() -> None:
    given = fold([SignalReceived(signal=ALARM)])
    assert [signal.id for signal in given.waiting] == ["s1"]
    given = evolve(given, RunOpened(run_id="r1", prompt="The disk is full", signal_id="s1"))
    assert list(given.waiting) == []


def test_the_open_run_ends() -> None:
    given = fold([RunOpened(run_id="r1", prompt="hello")])
    events = end_run("r1", RunState.COMPLETED, "hi", given)
    assert events == [RunEnded(run_id="r1", state=RunState.COMPLETED, output="hi")]


def test_a_run_ends_once() -> None:
    given = fold(turn("r1"))
    events = end_run("r1", RunState.COMPLETED, "hi", given)
    assert events == []


def test_a_run_that_is_not_open_does_not_end() -> None:
    given = fold([*turn("r1"), RunOpened(run_id="r2", prompt="hello")])
    assert end_run("r1", RunState.FAILED, "", given) == []


# --- the conversation ------------------------------------------------------------------------------------------------


def test_the_next_run_sees_the_turns_before_it() -> None:
    given = fold([*turn("r1", "Who are you?", "An agent."), *turn("r2", "Really?", "Yes.")])
    assert [(message.role, message.content) for message in given.history] == [
        ("user", "Who are you?"),
        ("assistant", "An agent."),
        ("user", "Really?"),
        ("assistant", "Yes."),
    ]


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED])
def test_a_run_that_did_not_complete_leaves_nothing_in_the_conversation(state: RunState) -> None:
    given = fold([*turn("r1"), *turn("r2", "boom", "half an ans", state)])
    assert [message.content for message in given.history] == ["hello", "hi"]


def test_what_a_run_was_told_stands_between_its_prompt_and_its_answer_and_counts() -> None:
    told = ("In euros.", "And in yen.")
    ended = end_run("r1", RunState.COMPLETED, "92", fold([RunOpened(run_id="r1", prompt="Price?")]), told)
    given = fold([RunOpened(run_id="r1", prompt="Price?"), *ended])
    assert [(message.role, message.content) for message in given.history] == [
        ("user", "Price?"),
        ("user", "In euros."),
        ("user", "And in yen."),
        ("assistant", "92"),
    ]
    assert given.turns_chars == len("Price?In euros.And in yen.92")


def test_a_turn_of_before_it_was_known_what_runs_were_told_is_read() -> None:
    stored = b'{"run_id":"r1","prompt":"Price?","output":"92","images":[]}'
    assert msgspec.json.decode(stored, type=Turn) == Turn("r1", "Price?", "92")


def test_the_conversation_keeps_its_newest_turns() -> None:
    long = "x" * (HISTORY_LIMIT_CHARS // 4)
    given = fold(event for number in range(10) for event in turn(f"r{number}", f"question {number}", long))
    assert given.turns_chars <= HISTORY_LIMIT_CHARS
    assert given.turns[-1].prompt == "question 9"
    assert len(given.turns) + given.turns_dropped == 10


@examples(st.text(max_size=20), st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_a_session_is_read_back_from_the_name_of_its_stream(user_id: str, agent: str, session_id: str) -> None:
    assert session_key(session_stream(user_id, agent, session_id)) == (user_id, agent, session_id)
