"""The crash matrix: every program, killed at every place it comes by, ends as if it had never been killed."""

import math
from pathlib import Path

import pytest
from crash.afterwards import afterwards
from crash.children import Children, Life
from crash.programs import OVER_NATS, programs

SECOND_KILLS = 8
"""In how many places of each program the first of two kills falls, spread over all: each costs three lives."""


def directory(parent: Path, name: object) -> str:
    made = parent / str(name)
    made.mkdir()
    return str(made)


@pytest.mark.parametrize("program", sorted(programs().keys() - {OVER_NATS}))
async def test_a_kill_at_any_place_changes_nothing_but_the_attempts(
    program: str, children: Children, tmp_path: Path
) -> None:
    whole = directory(tmp_path, "whole")
    report = children.live(Life(program=program, directory=whole))
    story = await afterwards(Path(whole))

    assert len(report.places) == len(set(report.places)) > 5
    for number, place in enumerate(report.places):
        where = directory(tmp_path, number)
        assert children.die(Life(program=program, directory=where, kill=place)), place
        resumed = children.live(Life(program=program, directory=where, name="2", resume=True))
        await afterwards(Path(where), story)
        assert resumed.answers == report.answers, place


@pytest.mark.parametrize("program", sorted(programs().keys() - {OVER_NATS}))
async def test_a_second_kill_while_the_first_is_made_good_changes_nothing_either(
    program: str, children: Children, tmp_path: Path
) -> None:
    whole = directory(tmp_path, "whole")
    report = children.live(Life(program=program, directory=whole))
    story = await afterwards(Path(whole))
    deaths = 0

    for number, place in enumerate(report.places[:: math.ceil(len(report.places) / SECOND_KILLS)]):
        where = directory(tmp_path, number)
        assert children.die(Life(program=program, directory=where, kill=place)), place
        # Another place of the second life each time; the last lives are too short for some of them.
        second = Life(program=program, directory=where, name="2", resume=True, kill=f"#{1 + number * 5 % 11}")
        deaths += children.die(second)
        resumed = children.live(Life(program=program, directory=where, name="3", resume=True))
        await afterwards(Path(where), story)
        assert resumed.answers == report.answers, place
    assert deaths > 2
