"""Old payloads are lifted to today's schema, one version at a time, when they are read."""

from typing import Any

import pytest

from treadle.events.envelope import decode_event
from treadle.events.event import Event, UnknownEvent
from treadle.events.upcasting import lift, upcaster


class BudgetLimited(Event, tag="testing.budget_limited", schema=3):
    scope: str
    limit_tokens: int


@upcaster("testing.budget_limited", 1)
def _name_the_scope(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"scope": f"user:{data['user']}"}


@upcaster("testing.budget_limited", 2)
def _name_the_unit(data: dict[str, Any]) -> dict[str, Any]:
    return {"scope": data["scope"], "limit_tokens": data["limit"]}


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (1, b'{"user":"alice","limit":10}'),
        (2, b'{"scope":"user:alice","limit":10}'),
        (3, b'{"scope":"user:alice","limit_tokens":10}'),
    ],
)
def test_every_form_there_ever_was_reads_as_todays(schema: int, payload: bytes) -> None:
    assert decode_event("testing.budget_limited", schema, payload) == BudgetLimited("user:alice", 10)


def test_a_form_without_a_way_to_todays_is_kept_unknown() -> None:
    assert lift("testing.budget_limited", {}, 0, 3) is None
    found = decode_event("testing.budget_limited", 0, b"{}")
    assert isinstance(found, UnknownEvent)


def test_a_step_has_one_upcaster() -> None:
    with pytest.raises(ValueError, match="schema 1"):
        upcaster("testing.budget_limited", 1)(_name_the_scope)
