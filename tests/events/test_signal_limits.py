"""What a signal may be, and what not."""

import pytest

from treadle.events.errors import Undecodable
from treadle.events.signal import DEPTH_LIMIT, decode_signal


@pytest.mark.parametrize("depth", [DEPTH_LIMIT + 2, 900, 5_000, 100_000])
def test_a_payload_that_is_nested_too_deep_is_undecodable(depth: int) -> None:
    with pytest.raises(Undecodable):
        decode_signal(b'{"summary":"x","payload":' + b"[" * depth + b"]" * depth + b"}", "s1")


def test_a_payload_as_deep_as_the_limit_is_taken() -> None:
    signal = decode_signal(b'{"summary":"x","payload":' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"}", "s1")
    assert signal.prompt.startswith("x")


@pytest.mark.parametrize(
    "time", ["", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456+05:30", "2026-01-01 00:00:00-08:00"]
)
def test_a_time_with_a_zone_is_taken_as_it_is(time: str) -> None:
    assert decode_signal(b'{"summary":"x","observed_at":"%b"}' % time.encode(), "s1").observed_at == time


@pytest.mark.parametrize(
    "time", ["now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "1767225600", "T" * 10_000]
)
def test_what_is_no_time_with_a_zone_is_undecodable(time: str) -> None:
    with pytest.raises(Undecodable, match="is no ISO 8601 time with a zone") as refused:
        decode_signal(b'{"summary":"x","observed_at":"%b"}' % time.encode(), "s1")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("payload", ["null", "{}", '""'])
def test_a_signal_that_says_nothing_is_undecodable(payload: str) -> None:
    with pytest.raises(Undecodable, match="neither a summary nor a payload"):
        decode_signal(b'{"summary":" ","payload":%b}' % payload.encode(), "s1")
