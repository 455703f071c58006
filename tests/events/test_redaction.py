"""What is masked, and what is not."""

import base64
import hashlib
import json
import logging
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from secret_samples import ASSIGNED, KEYS, ORDINARY

from treadle.events import secret_shapes, secret_signs
from treadle.events.logs import get_logger
from treadle.events.message import Image, Message, ModelReply, ToolCall, ToolSpec
from treadle.events.model_step import ModelCompleted
from treadle.events.redaction import (
    SECRET_LENGTH,
    Redaction,
    learn_secret,
    redact,
    redact_bytes,
    redacted,
    redaction,
)
from treadle.events.run import RunCompleted, RunStarted
from treadle.events.secret_signs import BEARER, KEY, NAME, URL
from treadle.events.tool_step import ApprovalRequested, ToolCompleted, ToolRequested

AROUND = {
    "nothing": "{}",
    "a sentence": "My key is {}, please use it.",
    "quotes": 'key="{}"',
    "brackets": "<{}>",
    "a line of its own": "first\n{}\nlast",
    "json": '{{"a": "{}"}}',
    "a colour": "\x1b[1;32m{}\x1b[0m",
    "a colour in json": "\\u001b[32m{}\\u001b[0m",
    "a quote in json": "\\u0022{}\\u0022",
    "a url in a url": "key%3D{}%26",
    "json in json": '{{\\"a\\": \\"x\\n{}\\"}}',
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_that_a_provider_marks_is_masked_wherever_it_stands(key: str, around: str) -> None:
    masked = redact(around.format(key))
    assert masked == around.format("[redacted]")


@pytest.mark.parametrize(("text", "value"), ASSIGNED)
def test_a_value_that_is_named_a_secret_is_masked_and_its_name_stays(text: str, value: str) -> None:
    assert redact(text.format(value)) == text.format("[redacted]")


@pytest.mark.parametrize("text", ORDINARY)
def test_a_text_without_secrets_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.text())
def test_words_are_left_as_they_are(text: str) -> None:
    """What hypothesis comes up with holds no secret: it would have to guess a prefix and twenty characters."""
    assert redact(text) == text


@given(st.uuids(), st.binary(max_size=2000))
def test_ids_digests_and_pictures_are_left_as_they_are(made: uuid.UUID, data: bytes) -> None:
    digest, picture = hashlib.sha256(data), base64.b64encode(data).decode()
    for text in (str(made), made.hex, digest.hexdigest(), picture, f"data:image/png;base64,{picture}"):
        assert redact(text) == text
    image = Message("user", "Look.", images=(Image("image/png", picture),))
    assert redacted(image) is image


PIECES = [
    *KEYS.values(), *(text.format(value) for text, value in ASSIGNED), *ORDINARY,
    " ", "\n", "\"", "'", "\\", "=", ":", "@", "://", "-", "sk-", "password", "token=", "Bearer ", "[redacted]",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=6))
@example(["password=", "[redacted]"])
@example(["postgres://user:", "[redacted]", "@host"])
def test_masking_twice_masks_once(pieces: list[str]) -> None:
    once = redact("".join(pieces))
    assert redact(once) == once


LETTERS_AND_DIGITS = st.text("abcdefXYZ0123456789", min_size=40, max_size=60).filter(
    lambda made: made[:16].isalnum() and any(map(str.isdigit, made[:10]))
)
"""What is behind the prefix of a key."""


@given(
    st.lists(
        st.sampled_from([*PIECES, "broken ", "the key ", "a secret\u2028", "\t", "api", "_", "--token "])
        | st.builds(
            "{}{}".format,
            st.sampled_from(["sk_live_", "ghp_", "gsk_", "r8_", "pypi-", "xai-", "SG.a."]),
            LETTERS_AND_DIGITS,
        )
        | st.text(max_size=5),
        max_size=8,
    ),
    st.booleans(),
)
def test_what_is_looked_for_by_signs_is_what_is_looked_for_everywhere(pieces: list[str], encoded: bool) -> None:
    text = "".join(pieces)
    if encoded:
        text = json.dumps({"said": text}, ensure_ascii=False)
    masked = secret_shapes.mask_shapes(text, KEY | BEARER | URL | NAME)
    assert redact(text) == masked
    inner = msgspec.json.encode([text])
    assert (masked == text) or secret_signs.signs_in(inner), "it is passed over in an event"


@given(st.sampled_from(list(KEYS.values())), st.text(), st.text())
def test_no_key_is_left_between_any_words(key: str, before: str, after: str) -> None:
    assert key not in redact(f"{before} {key} {after}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(list(KEYS.values())),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_a_value_is_masked_in_every_text_and_stays_the_same_otherwise(value: Any) -> None:
    masked = redacted(value)
    written = msgspec.json.encode(masked).decode()
    assert not any(msgspec.json.encode(key).decode()[1:-1] in written for key in KEYS.values())
    assert redacted(masked) == masked
    assert _shape(masked) == _shape(value)


def _shape(value: Any) -> Any:
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return [_shape(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def test_an_object_is_masked_by_the_names_of_its_members() -> None:
    given = {"user": "alice", "password": "swordfish", "auth": {"api_key": "abcd1234efgh"}, "key": "abcd1234efgh"}
    assert redacted(given) == {
        "user": "alice",
        "password": "[redacted]",
        "auth": {"api_key": "[redacted]"},
        "key": "abcd1234efgh",
    }


def test_an_event_is_masked_in_all_its_texts_and_stays_that_event() -> None:
    key = KEYS["openai"]
    spec = ToolSpec("look", "Looks.", msgspec.Raw(json.dumps({"default": key}).encode()))
    started = RunStarted(
        agent="desk", prompt=f"Use {key}", owner="h", model="m", tools=(spec,), shown={"inputs": [key]}
    )
    masked = redacted(started)
    assert (masked.prompt, masked.shown) == ("Use [redacted]", {"inputs": ["[redacted]"]})
    assert bytes(masked.tools[0].parameters) == b'{"default":"[redacted]"}'
    assert masked.tools[0].name == "look"
    reply = ModelReply("ok", (ToolCall("1", "look", {"at": key}),))
    done = redacted(ModelCompleted(step="1", call_id="c", reply=reply))
    assert done.reply.tool_calls[0].args == {"at": "[redacted]"}


ARGUMENTS = {
    "user": "bob",
    "password": "hunter22",
    "token": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "nested": [{"pwd": "/home/alice/project2", "line": "psql password=hunter22"}],
}
"""Which only their names call secrets."""


def test_arguments_of_a_call_are_not_masked_by_their_names() -> None:
    call = ToolCall("1", "login", ARGUMENTS)
    for said in (
        call,
        ModelReply("ok", (call,)),
        Message("assistant", tool_calls=(call,)),
        ModelCompleted(step="1", call_id="c", reply=ModelReply(tool_calls=(call,))),
        ToolRequested(step="1", call_id="c", tool="login", args=ARGUMENTS),
        ApprovalRequested(step="1", call_id="c", tool="login", reason="destructive", args=ARGUMENTS),
    ):
        assert redacted(said) is said
    assert redacted({"args": ARGUMENTS}) != {"args": ARGUMENTS}, "these are of no call"


def test_arguments_of_a_call_are_masked_by_shapes_and_known_secrets(secret: str) -> None:
    given = {
        **ARGUMENTS,
        "at": KEYS["openai"],
        "url": "pg://a:pw@b",
        "x": [secret],
        "auth": "Bearer abc.def-1234567890",
    }
    masked = redacted(ToolCall("1", "login", given))
    assert masked.args == {
        **ARGUMENTS, "at": "[redacted]", "url": "pg://a:[redacted]@b", "x": ["[redacted]"], "auth": "Bearer [redacted]",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```"])
def test_an_answer_that_a_program_reads_is_masked_by_shapes_alone(form: str) -> None:
    text = form.replace("{}", '{"api_token": "abcd1234efgh", "password": "hunter22"}')
    reply = ModelReply(text)
    assert redacted(reply) is reply
    done = ModelCompleted(step="1", call_id="c", reply=reply)
    assert redacted(done) is done
    completed = RunCompleted(output=text)
    assert redacted(completed) is completed
    key = KEYS["openai"]
    assert key not in redacted(ModelReply(form.replace("{}", f'{{"api_token": "{key}"}}'))).text
    assert redacted(ModelReply("It is password=hunter22")).text == "It is password=[redacted]"
    assert redacted(ToolCompleted(call_id="c", output=text)).output == text.replace(
        "abcd1234efgh", "[redacted]"
    ).replace("hunter22", "[redacted]")


def test_members_whose_names_are_secrets_are_all_kept() -> None:
    one, two = KEYS["openai"], KEYS["github"]
    masked = redacted({one: 1, two: 2, "[redacted]": 3, "x": {f"of {one}": 4, f"of {two}": 5}})
    assert masked == {
        "[redacted 2]": 1, "[redacted 3]": 2, "[redacted]": 3, "x": {"of [redacted]": 4, "of [redacted 2]": 5},
    }  # fmt: skip
    assert redacted(masked) == masked


def test_what_holds_no_secret_is_the_same_object() -> None:
    event = ModelCompleted(step="1", call_id=str(uuid.uuid4()), reply=ModelReply("It is near."))
    assert redacted(event) is event


def test_bytes_that_are_no_text_are_masked_where_they_are() -> None:
    data = b"\xff\xfe password=hunter2 \x00"
    assert redact_bytes(data) == b"\xff\xfe password=[redacted] \x00"
    assert redact_bytes(bytes(range(256))) == bytes(range(256))


# --- what programs add -----------------------------------------------------------------------------------------------


@pytest.fixture
def secret() -> Iterator[str]:
    value = 'open "sesame" ünd\nmore'
    redaction.add_secret(value)
    yield value
    redaction.forget_secret(value)


def test_a_known_secret_is_masked_whatever_it_looks_like(secret: str) -> None:
    assert redact(f"say {secret}!") == "say [redacted]!"
    assert redacted({"said": f"say {secret}!"}) == {"said": "say [redacted]!"}
    assert redacted(ModelReply(secret)).text == "[redacted]"


def test_a_secret_that_is_forgotten_is_masked_no_more(secret: str) -> None:
    redaction.forget_secret(secret)
    assert redact(secret) == secret


def test_a_secret_that_is_a_part_of_another_does_not_uncover_it(secret: str) -> None:
    redaction.add_secret(secret + "-longer")
    assert redact(secret + "-longer") == "[redacted]"
    redaction.forget_secret(secret + "-longer")


def test_a_secret_of_a_few_letters_is_refused() -> None:
    with pytest.raises(ValueError, match=f"{SECRET_LENGTH} is the least"):
        redaction.add_secret("hunter2")


@pytest.mark.parametrize("word", ["anything", "not-needed", "EMPTY", "ollama", "no key needed"])
def test_a_key_that_is_a_mere_word_is_no_secret(word: str) -> None:
    learn_secret(word)
    assert redact(f"It is {word}.") == f"It is {word}."


def test_patterns_of_ones_own_are_masked_for_one_call_or_for_all() -> None:
    assert redact("badge ACME-12345678", r"ACME-\d{8}") == "badge [redacted]"
    assert redact("badge ACME-12345678") == "badge ACME-12345678"
    pattern = re.compile(r"ACME-\d{8}")
    redaction.add_pattern(pattern)
    try:
        assert redacted({"badge": "ACME-12345678"}) == {"badge": "[redacted]"}
    finally:
        redaction.forget_pattern(pattern)
    assert redact("badge ACME-12345678") == "badge ACME-12345678"


def test_what_is_switched_off_masks_nothing() -> None:
    key = KEYS["github"]
    redaction.off()
    try:
        assert redact(key) == key
        assert redacted({"key": key}) == {"key": key}
    finally:
        redaction.on()
    assert redact(key) == "[redacted]"


def test_no_repr_shows_a_secret(secret: str) -> None:
    assert "<Redaction on, " in repr(redaction)
    assert secret not in repr(redaction)


# --- logs ------------------------------------------------------------------------------------------------------------


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What a handler of the user's has, which is on the logger above."""
    handler, above = _Kept(), logging.getLogger("treadle")
    above.addHandler(handler)
    yield handler.lines
    above.removeHandler(handler)


def test_a_log_record_is_masked_in_its_words_its_arguments_and_its_exception(heard: list[str]) -> None:
    key, log = KEYS["anthropic"], get_logger("treadle.test.below")
    log.warning("asked with %s", key)
    log.warning("password=hunter2")
    try:
        raise ConnectionError(f"401: the key {key} is not valid")
    except ConnectionError:
        log.exception("model %r", {"api_key": "abcd1234efgh"})
    said = "\n".join(heard)
    assert "asked with [redacted]" in said
    assert "password=[redacted]" in said
    assert "ConnectionError: 401: the key [redacted] is not valid" in said
    assert "Traceback" in said
    assert key not in said
    assert "abcd1234efgh" not in said


def test_a_log_record_without_a_secret_keeps_its_parts(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("treadle.test.below").warning("run %s of %s", "r-1", "alice")
    (record,) = caplog.records
    assert (record.msg, record.args) == ("run %s of %s", ("r-1", "alice"))


# --- speed -----------------------------------------------------------------------------------------------------------

PATHOLOGICAL = [
    "token=", "api_key=", "api_key=%", "secret:", "x_token=a", "password=", "password=pass", "password='pass",
    "DB_PASSWORD='passpass' ", "api_key: '", "key_token=", "passwd: ", "pwd=/", "token:    ", "next_token=",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "eyJhbGciOiJ.", "eyJ", "://a:", "postgres://a:", "a@b ://x:y",
    "sk-proj-", "\x1b[32msk-", "hf_aaaaaaaaaaaaaaaaaaaa", "SG.aaaaaaaaaaaaaaaaa.", "Bearer ", "Authorization: Basic ",
    "--password ", "--token a", "curl -u ", "curl -u a", "sig=", "hooks.slack.com/services/", "whsec_", "token ", "=",
]  # fmt: skip


@pytest.mark.parametrize("piece", PATHOLOGICAL)
def test_twice_the_text_takes_about_twice_the_time(piece: str) -> None:
    """What goes over a text again from each place in it would take four times as long."""
    whole = (piece * (1 << 16))[: 1 << 16]
    assert _seconds(whole) < 3.2 * _seconds(whole[: len(whole) // 2]) + 0.3


def test_a_key_at_the_end_of_what_is_looked_through_slowly_is_found() -> None:
    assert redact("token=" * 10_000 + "abcd1234efgh5678").endswith("[redacted]")
    assert redact("password=" + "a1" * 5000 + " x") == "password=[redacted] x"


def _seconds(text: str) -> float:
    """The least of some: whatever else the machine does comes on top."""
    took: list[float] = []
    while sum(took) < 0.1 and len(took) < 3:
        begun = time.process_time()
        redact(text)
        took.append(time.process_time() - begun)
    return min(took)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_pictures_bytes_stay_as_they_are_and_its_address_and_prompt_are_masked() -> None:
    data = base64.b64encode(KEYS["aws"].encode() * 400).decode() + KEYS["aws"]
    pictures = (Image("image/png", data), Image(url="https://me:hunter22x@example.org/a.png"))
    clean = Message("user", "What is this?", images=pictures[:1])
    assert redacted(clean) is clean
    masked = redacted(structs.replace(clean, content=f"Use {KEYS['aws']}.", images=pictures))
    assert masked.content == "Use [redacted]."
    assert masked.images == (pictures[0], Image(url="https://me:[redacted]@example.org/a.png"))


@pytest.mark.parametrize("text", ["iVBORw0KGgo" * 400 + KEYS["aws"] + "==", "A" * 4096])
def test_a_long_file_in_base64_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert redacted({"file": text, "by": [text]}) == {"file": text, "by": [text]}


def test_a_key_beside_a_long_file_in_base64_is_masked() -> None:
    file = "iVBORw0KGgo" * 400
    assert redact(f"{file} {KEYS['aws']}") == f"{file} [redacted]"
    assert redacted([file, KEYS["aws"]]) == [file, "[redacted]"]


def test_pictures_are_passed_over_and_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    signs_in = secret_signs.signs_in

    def watched(data: bytes) -> int:
        searched.append(len(data))
        return signs_in(data)

    monkeypatch.setattr("treadle.events.redaction.signs_in", watched)
    redacted(Message("user", "What is this?", images=(Image("image/png", "iVBORw0KGgo" * 400),)))
    assert searched
    assert max(searched) < 200


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*each: Callable[[], None]) -> None:
    threads = [threading.Thread(target=one) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("hasty")
def test_secrets_that_are_learned_in_many_threads_at_once_are_all_masked() -> None:
    mine = Redaction()
    names = [[f"the-key-{thread}-{number:03}" for number in range(60)] for thread in range(8)]

    def learn(some: list[str]) -> None:
        for name in some:
            mine.add_secret(name)
            mine.add_pattern(f"<{name}>")

    at_once(*[partial(learn, some) for some in names])
    every = [name for some in names for name in some]
    assert [name for name in every if name in mine.text(f"use {name} here")] == []
    assert [name for name in every if name in mine.value({"a": name})["a"]] == []
    assert repr(mine) == f"<Redaction on, {len(every)} secrets, {len(every)} patterns of its own>"


@pytest.mark.usefixtures("hasty")
def test_a_secret_is_masked_while_another_one_is_forgotten() -> None:
    mine = Redaction()
    for number in range(200):
        mine.add_secret(f"the-secret-{number:03}")
    forgotten, shown = threading.Event(), 0

    def forget() -> None:
        for number in range(100, 130):
            mine.forget_secret(f"the-secret-{number:03}")
        forgotten.set()

    def mask() -> None:
        nonlocal shown
        while not forgotten.is_set():
            shown += "the-secret-007" in mine.text("use the-secret-007 here")
            shown += mine.longest != len("the-secret-007")

    at_once(mask, forget)
    assert shown == 0
    assert "the-secret-120" in mine.text("use the-secret-120 here")
