"""The stored form, its hash, and the chain: what anybody can check with JSON and SHA-256."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.events.envelope import (
    EMPTY,
    GENESIS,
    Envelope,
    Head,
    Meta,
    Recorded,
    blob_of,
    decode_event,
    envelopes,
    hash_of,
    link,
    read_stored,
    verify_chain,
    verify_read,
)
from treadle.events.errors import CorruptEvent, Undecodable
from treadle.events.event import Event, UnknownEvent, event_type, event_types
from treadle.events.journal import BLOB_LIMIT_BYTES

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


class CallMade(Event, tag="testing.call_made"):
    call_id: str
    arguments: Any = None


class BudgetOpened(Event, tag="testing.budget_opened", schema=3):
    limit_tokens: int


texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
events = st.builds(CallMade, call_id=texts, arguments=json_values)
metas = st.builds(Meta, texts, texts, texts, texts, texts, texts, st.integers(0, 2**53))


def stored_forms(
    *given: Event, stream: str = "run-1", head: Head = EMPTY, meta: Meta | None = None, limit: int = BLOB_LIMIT_BYTES
) -> list[bytes]:
    ids = [f"event-{n}" for n in range(len(given))]
    rows, _, _ = envelopes(stream, head, given, meta or Meta(), ids, NOW, limit)
    return [row[3] for row in rows]


def recorded(*given: Event) -> list[Recorded]:
    return [read_stored(stored, n) for n, stored in enumerate(stored_forms(*given), 1)]


def test_the_stored_form_is_what_the_documentation_shows() -> None:
    (stored,) = stored_forms(CallMade("call-1", {"amount": 12}), meta=Meta(user_id="alice", run_id="1", epoch=2))
    assert list(json.loads(stored)) == [
        "id", "stream", "version", "type", "schema", "at", "user_id", "session_id", "run_id", "correlation_id",
        "causation_id", "traceparent", "epoch", "key_id", "prev_hash", "data", "hash",
    ]  # fmt: skip
    assert json.loads(stored) | {"hash": ""} == {
        "id": "event-0", "stream": "run-1", "version": 1, "type": "testing.call_made", "schema": 1,
        "at": "2026-05-04T12:30:00Z", "user_id": "alice", "session_id": "", "run_id": "1", "correlation_id": "",
        "causation_id": "", "traceparent": "", "epoch": 2, "key_id": "", "prev_hash": GENESIS,
        "data": {"call_id": "call-1", "arguments": {"amount": 12}}, "hash": "",
    }  # fmt: skip


def test_the_bytes_of_today_are_the_bytes_of_tomorrow() -> None:
    # Journals hold these bytes for ever: a change of this hash is a new format.
    (stored,) = stored_forms(CallMade("call-1"), meta=Meta(user_id="alice"))
    assert json.loads(stored)["hash"] == "e62a3d676bddec1095f212d516afc1917d1d77a022f1d925d48627f4dbc07fef"


@given(st.lists(events, min_size=1, max_size=4), metas, texts)
def test_anybody_can_verify_a_stream_with_json_and_sha256(given: list[CallMade], meta: Meta, stream: str) -> None:
    before = GENESIS
    for stored in stored_forms(*given, stream=stream, meta=meta):
        body, _, tail = stored.rpartition(b',"hash":"')
        assert hashlib.sha256(body + b"}").hexdigest() == json.loads(stored)["hash"] == tail[:64].decode()
        assert json.loads(stored)["prev_hash"] == before
        before = json.loads(stored)["hash"]


@given(events, metas, texts)
def test_what_is_stored_comes_back(event: CallMade, meta: Meta, stream: str) -> None:
    (stored,) = stored_forms(event, stream=stream, meta=meta)
    found = read_stored(stored, 7, stream=stream, version=1)
    assert found.event == event
    assert (found.stream, found.position, found.at, found.stored) == (stream, 7, NOW, stored)
    assert Meta(**{field: getattr(found, field) for field in Meta.__struct_fields__}) == meta
    assert found.event is found.event


@given(events, st.data())
def test_no_byte_can_be_changed_unnoticed(event: CallMade, data: st.DataObject) -> None:
    (stored,) = stored_forms(event)
    at = data.draw(st.integers(0, len(stored) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != stored[at]))
    with pytest.raises(CorruptEvent):
        read_stored(stored[:at] + bytes([byte]) + stored[at + 1 :], 1, stream="run-1", version=1)


@given(st.binary(max_size=300))
def test_junk_is_corrupt_and_named(junk: bytes) -> None:
    with pytest.raises(CorruptEvent) as caught:
        read_stored(junk, 9, stream="run-1", version=4)
    assert (caught.value.stream, caught.value.version, caught.value.position) == ("run-1", 4, 9)


def test_an_event_in_another_events_place_is_corrupt() -> None:
    first, second = stored_forms(CallMade("a"), CallMade("b"))
    with pytest.raises(CorruptEvent, match="holds event 2 of 'run-1'"):
        read_stored(second, 1, stream="run-1", version=1)
    with pytest.raises(CorruptEvent, match="holds event 1 of 'run-1'"):
        read_stored(first, 1, stream="run-2", version=1)


def test_a_time_with_another_offset_keeps_its_instant() -> None:
    at = datetime(2026, 5, 4, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    rows, _, _ = envelopes("run-1", EMPTY, [CallMade("a")], Meta(), ["1"], at, 1000)
    assert read_stored(rows[0][3], 1).at == NOW


# The chain


def test_a_chain_goes_on_where_it_was_left() -> None:
    first = stored_forms(CallMade("a"))
    head = verify_chain([read_stored(first[0], 1)])
    (second,) = stored_forms(CallMade("b"), head=head)
    assert verify_chain([read_stored(second, 2)], head).version == 2


@given(st.integers(0, 4), st.integers(0, 4))
def test_a_chain_notices_removal_reordering_and_repetition(one: int, other: int) -> None:
    chain = recorded(*[CallMade(str(n)) for n in range(5)])
    assert verify_chain(chain).version == 5
    without = chain[:one] + chain[one + 1 :]
    if one < 4:
        with pytest.raises(CorruptEvent):
            verify_chain(without)
    if one != other:
        swapped = list(chain)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        with pytest.raises(CorruptEvent):
            verify_chain(swapped)
    with pytest.raises(CorruptEvent):
        verify_chain([*chain[: one + 1], *chain[one:]])


def test_a_chain_notices_an_event_that_was_made_anew() -> None:
    first, second = recorded(CallMade("a"), CallMade("b"))
    forged = read_stored(stored_forms(CallMade("A"))[0], 1)
    with pytest.raises(CorruptEvent, match="was chained to"):
        verify_chain([forged, second])
    assert verify_chain([first, second]).version == 2


def test_what_is_read_follows_what_was_read_before() -> None:
    chain = recorded(CallMade("a"), CallMade("b"), CallMade("c"))
    verify_read(chain[1:], after=1)
    verify_read([], after=1)
    with pytest.raises(CorruptEvent, match="events are missing"):
        verify_read(chain[2:], after=1)


# Claim checks


@given(st.integers(0, 400))
def test_a_payload_over_the_limit_is_kept_beside_the_event(length: int) -> None:
    event = CallMade("x" * length)
    rows, _, blobs = envelopes("run-1", EMPTY, [event], Meta(), ["1"], NOW, 200)
    stored = rows[0][3]
    payload = msgspec.json.encode(event)
    assert blobs == ([(hashlib.sha256(payload).hexdigest(), payload)] if len(payload) > 200 else [])
    assert blob_of(stored) == "".join(digest for digest, _ in blobs)
    assert hash_of(stored) == json.loads(stored)["hash"]
    assert read_stored(stored, 1, payload).event == event


@pytest.mark.parametrize("blob", [None, b"{}", b""])
def test_a_missing_or_changed_blob_is_corrupt(blob: bytes | None) -> None:
    rows, _, _ = envelopes("run-1", EMPTY, [CallMade("x" * 300)], Meta(), ["1"], NOW, 200)
    with pytest.raises(CorruptEvent, match="blob"):
        read_stored(rows[0][3], 1, blob)


@given(json_values)
def test_no_payload_is_taken_for_a_blob(value: Any) -> None:
    digest = "f" * 64
    for arguments in (value, {"blob": digest}, f'","blob":"{digest}', [{"blob": digest}]):
        (stored,) = stored_forms(CallMade("a", arguments))
        assert blob_of(stored) == ""
    (stored,) = stored_forms(UnknownEvent("testing.raw", 1, msgspec.Raw(b'{"a":1,"blob":"%b"}' % digest.encode())))
    assert blob_of(stored) == ""


# Types


def test_a_type_that_is_not_known_here_is_kept_and_written_as_it_was() -> None:
    raw = b'{"speed": [88, 1.0e3]}'
    unknown = UnknownEvent("testing.from_the_future", 7, msgspec.Raw(raw))
    (stored,) = stored_forms(unknown)
    found = read_stored(stored, 1)
    assert (found.type, found.schema, found.data) == ("testing.from_the_future", 7, raw)
    assert found.event == unknown
    assert stored_forms(found.event) == [stored]


def test_a_schema_that_is_newer_than_ours_is_kept_unknown() -> None:
    found = decode_event("testing.budget_opened", 4, b'{"limit":1}')
    assert isinstance(found, UnknownEvent)
    assert (found.type, found.schema) == ("testing.budget_opened", 4)


def test_a_payload_that_does_not_fit_its_type_cannot_be_decoded() -> None:
    with pytest.raises(Undecodable, match="limit_tokens"):
        decode_event("testing.budget_opened", 3, b"{}")
    envelope = msgspec.convert(
        json.loads(stored_forms(BudgetOpened(10))[0]) | {"data": {"limit_tokens": "ten"}}, Envelope
    )
    found = read_stored(link(envelope)[0], 5)
    with pytest.raises(CorruptEvent) as caught:
        _ = found.event
    assert (caught.value.stream, caught.value.version, caught.value.position) == ("run-1", 1, 5)


def test_a_tag_belongs_to_one_type_for_ever() -> None:
    with pytest.raises(TypeError, match="taken by CallMade"):
        type("Other", (Event,), {}, tag="testing.call_made")
    assert event_type("testing.call_made") is CallMade
    assert event_types()["testing.budget_opened"] is BudgetOpened


def test_an_event_without_a_tag_is_not_stored() -> None:
    class Untagged(Event):
        pass

    with pytest.raises(TypeError, match="Untagged has no tag"):
        stored_forms(Untagged())


def test_events_are_immutable() -> None:
    with pytest.raises(AttributeError):
        setattr(CallMade("a"), "call_id", "b")  # noqa: B010, the checkers would refuse the assignment
