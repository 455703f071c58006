"""Forks of runs that have asked others: all are cut at one moment, and what was done by then is not done again."""

import asyncio
import os
import random

from cuts import opened
from forked_teams import ACTORS, Twenty, check_fork

from treadle import System
from treadle.events.envelope import Recorded
from treadle.events.run import RunStarted
from treadle.gateways.forks import Moment, begin_fork

CUTS = int(os.environ.get("TREADLE_FORKS", "100"))
SEED = int(os.environ.get("SEED", "0"))


async def test_a_team_of_twenty_forked_at_random_cuts_ends_the_same_and_does_nothing_twice() -> None:
    team = Twenty()
    async with System(journal="memory", projections=False) as system:
        agent = system.host(team.agent, name="chief")
        whole = await agent.run("Go.", user_id="ann")
        before = await all_events(system)
        runs = {recorded.run_id for recorded in before if isinstance(recorded.event, RunStarted)}
        assert len({run_id.rpartition("_")[2] for run_id in runs}) == ACTORS
        total, chance = team.calls, random.Random(SEED)
        for number in range(CUTS):
            position, fork_id = chance.choice(before).position, f"fork-{number}"
            begun, at = team.calls, await system.journal.last_position()
            _, answer = await begin_fork(system.node, whole.run_id, at=Moment(position), fork_id=fork_id)
            result = await answer
            after = await all_events(system, at)
            where = f"cut {number} of seed {SEED}, after position {position}"
            shared = check_fork(before, after, whole.run_id, fork_id, position)
            assert (result.state, result.output) == (whole.state, whole.output), where
            assert team.calls - begun == total - shared, where


async def all_events(system: System, after: int = 0) -> list[Recorded]:
    found: list[Recorded] = []
    while page := await system.journal.read_all(found[-1].position if found else after, limit=5000):
        found += page
    return found
