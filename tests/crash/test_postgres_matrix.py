"""The crash matrix on PostgreSQL: the same programs, killed at the same places, on a journal that nodes share."""

import math
from pathlib import Path

import pytest
from crash.afterwards import afterwards
from crash.children import Children, Life
from crash.databases import directory
from postgres import PostgresServer

PLACES = 8
"""How many places of each program are tried, spread over all: a database for each life takes its time."""


@pytest.mark.parametrize("program", ["plain", "destructive", "parallel", "prompts", "Supervisor"])
async def test_a_kill_at_any_place_changes_nothing_but_the_attempts(
    program: str, children: Children, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    whole = directory(tmp_path, "whole", postgres_server)
    report = children.live(Life(program=program, directory=str(whole)))
    story = await afterwards(whole)
    assert len(report.places) > 5

    for number, place in enumerate(report.places[:: math.ceil(len(report.places) / PLACES)]):
        where = directory(tmp_path, number, postgres_server)
        assert children.die(Life(program=program, directory=str(where), kill=place)), place
        resumed = children.live(Life(program=program, directory=str(where), name="2", resume=True))
        await afterwards(where, story)
        assert resumed.answers == report.answers, place
