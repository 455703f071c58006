"""The crash matrix: every program, killed at every place it comes by, ends as if it had never been killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.afterwards import afterwards
from crash.children import Children, Life
from crash.programs import programs


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children() as made:
        yield made


@pytest.mark.parametrize("program", programs())
async def test_a_kill_at_any_place_changes_nothing_but_the_attempts(
    program: str, children: Children, tmp_path: Path
) -> None:
    (whole := tmp_path / "whole").mkdir()
    report = children.live(Life(program=program, directory=str(whole)))
    story = await afterwards(whole)

    assert len(report.places) == len(set(report.places)) > 8
    for number, place in enumerate(report.places):
        (directory := tmp_path / str(number)).mkdir()
        assert children.die(Life(program=program, directory=str(directory), kill=place)), place
        resumed = children.live(Life(program=program, directory=str(directory), name="2", resume=True))
        await afterwards(directory, story)
        assert resumed.answers == report.answers, place
