"""A run is asked what its signal says: the words, what was said about them, the data; the same in every replay."""

from typing import Any

import msgspec
import pytest

from treadle.events.signal import RuntimeSignal, decode_signal

ALERT = RuntimeSignal(
    summary="Disk 91 % full on db-1",
    id="alert-4711",
    source="prometheus",
    type="alert",
    payload={"used": 0.91, "device": "sda1"},
    urgency="high",
    dedupe_key="db-1/disk",
    observed_at="2026-01-01T00:00:00Z",
)


def test_type_urgency_source_and_time_stand_between_the_summary_and_the_payload() -> None:
    assert ALERT.prompt == (
        "Disk 91 % full on db-1\n"
        "\n"
        "type: alert\n"
        "urgency: high\n"
        "source: prometheus\n"
        "observed_at: 2026-01-01T00:00:00Z\n"
        "\n"
        '{\n  "used": 0.91,\n  "device": "sda1"\n}'
    )


def test_what_only_the_producer_and_the_transport_need_is_not_shown() -> None:
    assert "alert-4711" not in ALERT.prompt
    assert "db-1/disk" not in ALERT.prompt


@pytest.mark.parametrize("source", ["custom", "nats", "cli"])
def test_a_signal_that_is_nothing_but_words_is_asked_in_just_these_words(source: str) -> None:
    assert RuntimeSignal(summary="How busy?", source=source).prompt == "How busy?"
    assert decode_signal(b'{"summary":"How busy?"}', "s1").prompt == "How busy?"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"urgency": "critical"}, "x\n\nurgency: critical"),
        ({"type": "alert"}, "x\n\ntype: alert"),
        ({"source": "cron"}, "x\n\nsource: cron"),
        ({"payload": 0}, "x\n\n0"),
        ({"payload": {}}, "x"),
        ({"summary": "", "payload": [1]}, "[\n  1\n]"),
        ({"summary": "", "type": "alert", "payload": False}, "type: alert\n\nfalse"),
        ({"type": " ", "source": ""}, "x"),
    ],
)
def test_only_what_the_sender_has_said_is_shown(said: dict[str, Any], shown: str) -> None:
    assert msgspec.convert({"summary": "x", **said}, RuntimeSignal).prompt == shown


def test_a_source_with_a_line_break_cannot_write_a_line_of_its_own() -> None:
    prompt = RuntimeSignal(summary="x", source="a\nurgency: critical", type="b\r\n\u2028c").prompt
    assert prompt == "x\n\ntype: b c\nsource: a urgency: critical"


def test_a_signal_that_was_recorded_and_read_back_asks_the_same() -> None:
    stored = msgspec.json.encode(ALERT)
    assert msgspec.json.decode(stored, type=RuntimeSignal).prompt == ALERT.prompt
    assert decode_signal(stored, "").prompt == ALERT.prompt
