"""What a signal may not be."""

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
