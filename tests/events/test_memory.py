from collections.abc import Iterable
from datetime import UTC, datetime
from functools import reduce

from treadle.events.event import Event
from treadle.events.memory import (
    KEPT_CLAIMS,
    KEPT_EPISODES,
    BlockUpdated,
    EpisodeRemembered,
    FactAsserted,
    FactRetracted,
    Memory,
    assert_fact,
    evolve,
    remember_episode,
    retract_fact,
    update_block,
)


def fold(events: Iterable[Event]) -> Memory:
    return reduce(evolve, events, Memory())


def lives(fact_id: str, city: str, year: int = 2020, subject: str = "alice") -> FactAsserted:
    begins = datetime(year, 1, 1, tzinfo=UTC)
    return FactAsserted(fact_id=fact_id, subject=subject, predicate="lives_in", object=city, valid_from=begins)


def episode(episode_id: str) -> EpisodeRemembered:
    return EpisodeRemembered(
        episode_id=episode_id, agent="support", session_id="conv-1", input="Where is my parcel?", output="In Bern."
    )


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_a_block_gets_its_content() -> None:
    given = fold([])
    events = update_block("persona", "Speaks briefly.", given)
    assert events == [BlockUpdated(name="persona", content="Speaks briefly.")]


def test_a_block_that_has_its_content_is_not_updated() -> None:
    given = fold([BlockUpdated(name="persona", content="Speaks briefly.")])
    events = update_block("persona", "Speaks briefly.", given)
    assert events == []


def test_an_empty_block_is_removed_once() -> None:
    given = fold([BlockUpdated(name="persona", content="Speaks briefly.")])
    removed = update_block("persona", "", given)
    assert removed == [BlockUpdated(name="persona", content="")]
    assert update_block("persona", "", reduce(evolve, removed, given)) == []
    assert given.blocks == {}


# --- episodes --------------------------------------------------------------------------------------------------------


def test_an_episode_is_remembered() -> None:
    given = fold([])
    events = remember_episode(episode("r1"), given)
    assert events == [episode("r1")]


def test_an_episode_is_remembered_once() -> None:
    given = fold([episode("r1")])
    events = remember_episode(episode("r1"), given)
    assert events == []


def test_the_newest_episodes_are_kept_and_all_are_counted() -> None:
    given = fold(episode(f"r{number}") for number in range(KEPT_EPISODES + 3))
    assert (len(given.episodes), given.episodes_total) == (KEPT_EPISODES, KEPT_EPISODES + 3)
    assert given.episodes[0].episode_id == "r3"


# --- facts -----------------------------------------------------------------------------------------------------------


def test_a_claim_is_asserted() -> None:
    given = fold([])
    events = assert_fact(lives("f1", "Bern"), given)
    assert events == [lives("f1", "Bern")]


def test_a_claim_that_is_believed_is_not_asserted_again_under_whatever_id() -> None:
    given = fold([lives("f1", "Bern")])
    assert assert_fact(lives("f1", "Bern"), given) == []
    assert assert_fact(lives("f2", "Bern", 2025), given) == []


def test_a_contradicting_claim_takes_the_place_of_the_one_before() -> None:
    given = fold([lives("f1", "Bern"), *assert_fact(lives("f2", "Rome", 2025), fold([lives("f1", "Bern")]))])
    assert [fact.object for fact in given.facts] == ["Rome"]


def test_claims_about_others_stand_beside_it() -> None:
    given = fold([lives("f1", "Bern")])
    events = assert_fact(lives("f2", "Rome", subject="bob"), given)
    assert events == [lives("f2", "Rome", subject="bob")]


def test_a_claim_is_retracted() -> None:
    given = fold([lives("f1", "Bern")])
    events = retract_fact("f1", "a typo", given)
    assert events == [FactRetracted(fact_id="f1", reason="a typo")]


def test_a_claim_is_retracted_once() -> None:
    given = fold([lives("f1", "Bern"), FactRetracted(fact_id="f1")])
    events = retract_fact("f1", "a typo", given)
    assert events == []


def test_a_claim_that_was_never_made_is_not_retracted() -> None:
    given = fold([lives("f1", "Bern")])
    events = retract_fact("f9", "a typo", given)
    assert events == []


def test_the_newest_facts_are_kept_and_all_are_counted() -> None:
    given = fold(lives(f"f{number}", "Bern", subject=f"user-{number}") for number in range(KEPT_CLAIMS + 1))
    assert (len(given.facts), given.facts_total) == (KEPT_CLAIMS, KEPT_CLAIMS + 1)
    assert "f0" not in {fact.fact_id for fact in given.facts}


def test_a_fact_that_is_reported_late_does_not_take_the_place_of_a_newer_one() -> None:
    given = fold([lives("f2", "Rome", 2025), lives("f1", "Bern")])
    assert [fact.object for fact in given.facts] == ["Rome"]


def test_retracting_a_fact_brings_back_the_one_before_it() -> None:
    given = fold([lives("f1", "Bern"), lives("f2", "Rome", 2025), FactRetracted(fact_id="f2")])
    assert [fact.object for fact in given.facts] == ["Bern"]
