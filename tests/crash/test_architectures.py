"""Every architecture in the crash matrix: killed at a place of each kind here, and at every place by `make crash`."""

from pathlib import Path
from random import Random

import pytest
from crash.architectures import architectures
from crash.children import Children
from crash.every_place import deaths_at, one_of_each_kind, survives, whole

from treadle import architecture
from treadle.architecture import Architecture


@pytest.mark.parametrize("program", architectures())
async def test_a_kill_at_any_kind_of_step_changes_nothing_and_pays_for_no_answer_twice(
    program: str, children: Children, tmp_path: Path
) -> None:
    random = Random(program)
    never_killed = await whole(children, program, tmp_path / "whole")
    places = one_of_each_kind(never_killed.report, random)

    for number, deaths in enumerate(deaths_at(places, random)):
        await survives(children, tmp_path / str(number), never_killed, *deaths)


def test_every_architecture_is_in_the_matrix() -> None:
    classes = {name for name in architecture.__all__ if hasattr(getattr(architecture, name), "declared_workers")}
    assert classes - {Architecture.__name__} == {name for name in architectures() if name in architecture.__all__}
