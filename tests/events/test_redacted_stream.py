"""What is shown of a text while it comes."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from secret_samples import ASSIGNED, KEYS, ORDINARY

from treadle.events.message import ModelReply
from treadle.events.redacted_stream import HELD_CHARS, RedactedStream
from treadle.events.redaction import redact, redacted, redaction

KNOWN = ("open sesame now", "zzTop-9 and more")


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """Nothing else is a secret meanwhile: what other tests have made known begins with letters that would be held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "_secrets", ())
        patch.setattr(redaction, "_encoded", ())
        for secret in KNOWN:
            redaction.add_secret(secret)
        yield


def shown(pieces: list[str], *, answer: bool = False) -> list[str]:
    stream = RedactedStream(answer=answer)
    return [*map(stream.add, pieces), stream.rest()]


def cut(text: str, lengths: list[int]) -> list[str]:
    pieces: list[str] = []
    while text:
        length = lengths[len(pieces) % len(lengths)]
        pieces, text = [*pieces, text[:length]], text[length:]
    return pieces


TEXTS = st.lists(
    st.tuples(
        st.sampled_from([*KEYS.values(), *(text.format(value) for text, value in ASSIGNED), *ORDINARY, *KNOWN]),
        st.sampled_from([" ", "\n", ". ", " and "]),
    ).map("".join),
    max_size=8,
).map("".join)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(TEXTS, LENGTHS)
@example("Password: hunter2open sesame. ", [1])
@example("say open sesame now and zzTop-9 and none", [3])
def test_what_is_shown_of_a_text_in_pieces_is_the_masked_whole(text: str, lengths: list[int]) -> None:
    assert "".join(shown(cut(text, lengths))) == redact(text)


@given(TEXTS, LENGTHS, st.sampled_from(["", "{", " [", "```json\n", "``"]))
def test_what_is_shown_of_an_answer_is_what_is_recorded(text: str, lengths: list[int], begin: str) -> None:
    answer = begin + text
    assert "".join(shown(cut(answer, lengths), answer=True)) == redacted(ModelReply(answer)).text


@given(st.text(), LENGTHS)
def test_words_are_shown_as_they_are(text: str, lengths: list[int]) -> None:
    assert "".join(shown(cut(text, lengths))) == text


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_is_shown_in_no_part_of_it_however_it_is_cut(key: str) -> None:
    for length in (1, 2, 7):
        pieces = shown(cut(f"It is {key} .", [length]))
        assert "".join(pieces) == "It is [redacted] ."
        assert not any(key[:12] in "".join(pieces[:count]) for count in range(len(pieces)))


def test_prose_is_shown_at_the_end_of_a_word_at_the_latest() -> None:
    text = "Ask the desk: is a token a key, and is a password one? A basic one is a bearer of news. It is gone, so.\n"
    stream, given_ = RedactedStream(answer=True), ""
    told = ""
    for letter in text:
        given_ += letter
        told += stream.add(letter)
        assert len(given_) - len(told) <= len(given_.rsplit(" ", 1)[-1]) + 1
    assert told + stream.rest() == text


def test_only_the_beginning_of_a_known_secret_waits() -> None:
    stream = RedactedStream()
    assert stream.add("Say open") == "Say "
    assert stream.add(" sesame") == ""
    assert stream.add(" soon") == "open sesame soon"


def test_a_value_waits_and_its_name_does_not() -> None:
    stream = RedactedStream()
    assert stream.add("with password=hun") == "with password="
    assert stream.add("ter2") == ""
    assert stream.add(", yes") == "[redacted], yes"


def test_what_never_ends_is_shown_in_the_end() -> None:
    stream = RedactedStream()
    block = "-----BEGIN PRIVATE " + "KEY-----"
    assert stream.add(f"It begins with {block}, says ") == "It begins with "
    told = "".join(stream.add("a word and " * 100) for _ in range(HELD_CHARS // 1000))
    assert told.startswith(f"{block}, says a word")


def test_with_patterns_of_ones_own_lines_are_shown() -> None:
    redaction.add_pattern(r"ACME \d{4}")
    try:
        stream = RedactedStream()
        assert [stream.add("one\ntwo ACME"), stream.add(" 1234\nthree"), stream.rest()] == [
            "one\n",
            "two [redacted]\n",
            "three",
        ]
    finally:
        redaction.forget_pattern(r"ACME \d{4}")


def test_what_is_switched_off_waits_for_nothing() -> None:
    stream = RedactedStream()
    redaction.off()
    try:
        assert stream.add("sk-") == "sk-"
    finally:
        redaction.on()
