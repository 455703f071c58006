"""The script of a storm: the same for the same seed, and with a way back from all of it."""

import pytest
from cluster.disturbances import ACTS, SERVERS, brief, script

SECONDS = 600.0


@pytest.mark.parametrize("seed", range(20))
def test_a_script_leaves_a_way_back_from_everything_it_does(seed: int) -> None:
    disturbances = script(seed, SECONDS)

    assert disturbances == script(seed, SECONDS) != script(seed + 1, SECONDS)
    assert len(disturbances) > 2 * len(ACTS)
    for number, this in enumerate(disturbances):
        before = disturbances[:number]
        assert this.at_s <= SECONDS
        assert before == [] or before[-1].at_s < this.at_s
        away = {name for other in before if other.at_s + other.for_s > this.at_s for name in other.whom}
        assert not away & set(this.whom)  # nobody is killed who is paused
        assert this.whom[0] not in SERVERS or not away & set(SERVERS)


@pytest.mark.parametrize("seed", range(20))
def test_a_script_does_everything_once_before_it_does_anything_twice(seed: int) -> None:
    first = {(act.what, act.whom[0].partition("-")[0], len(act.whom)) for act in script(seed, SECONDS)[: len(ACTS)]}
    assert first == {(act.what, act.kind, act.how_many) for act in ACTS}


def test_the_short_storm_is_the_same_for_the_same_seed() -> None:
    assert brief(7) == brief(7) != brief(8)
