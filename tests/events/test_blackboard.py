from collections.abc import Iterable
from functools import reduce

from treadle.events.blackboard import KEPT_ENTRIES, Blackboard, Posted, evolve, post
from treadle.events.event import Event


def fold(events: Iterable[Event]) -> Blackboard:
    return reduce(evolve, events, Blackboard())


def posted(entry_id: str, content: str = "The load is high.") -> Posted:
    return Posted(entry_id=entry_id, author="support", content=content)


def test_an_entry_is_posted() -> None:
    given = fold([])
    events = post(posted("e1"), given)
    assert events == [posted("e1")]


def test_an_entry_is_posted_once() -> None:
    given = fold([posted("e1")])
    events = post(posted("e1", "The load is low."), given)
    assert events == []


def test_another_entry_with_the_same_content_is_posted() -> None:
    given = fold([posted("e1")])
    events = post(posted("e2"), given)
    assert events == [posted("e2")]


def test_the_newest_entries_are_kept_and_all_are_counted() -> None:
    given = fold(posted(f"e{number}") for number in range(KEPT_ENTRIES + 2))
    assert (len(given.entries), given.total) == (KEPT_ENTRIES, KEPT_ENTRIES + 2)
    assert given.entries[0].entry_id == "e2"
