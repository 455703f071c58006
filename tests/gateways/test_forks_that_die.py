"""Forks of trees whose process is killed: nothing of a fork is there, or all of it, and others go on with it."""

import asyncio
import os
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cuts import Noting, fresh_node, opened
from forked_teams import Twenty, all_events, check_fork

from treadle import System
from treadle.actors.run_actor import ContinueRun
from treadle.actors.run_history import RunRequest
from treadle.events.child_step import ChildEnded
from treadle.events.envelope import Recorded
from treadle.gateways.forks import Moment, begin_fork

FORK = "fork-1"
HERE = Path(__file__).parent
TESTS = HERE.parent


def middle(events: Sequence[Recorded]) -> int:
    """A position with many at work: behind the first of the reporters that has answered."""
    return next(recorded.position for recorded in events if isinstance(recorded.event, ChildEnded))


async def test_a_forked_tree_that_is_cut_after_any_append_goes_on_to_the_same_end() -> None:
    team, journal = Twenty(random.Random(3)), Noting()
    async with opened(journal) as node:
        node.host.add(team.agent.spec)
        assert node.services.children is not None
        whole = await node.services.children.run(
            team.agent.spec, RunRequest(run_id="team", prompt="Go.", user_id="ann")
        )
        before = list(await all_events(journal))
        _, answer = await begin_fork(node, "team", at=Moment(middle(before)), fork_id=FORK)
        assert (await answer).output == whole.output
        events = await all_events(journal)
    cuts = [cut for cut in journal.cuts if cut > len(before)]
    assert len(cuts) > 50
    shared = check_fork(before, events[len(before) : cuts[0]], "team", FORK, middle(before))
    assert shared
    for cut in cuts[::12]:
        async with fresh_node(events[:cut]) as node:
            node.host.add(team.agent.spec)
            result = await node.host.result(node.host.run(FORK), ContinueRun())
            assert (result.state, result.output) == (whole.state, whole.output), f"cut after event {cut}"


PROGRAM = """
import asyncio, os, random, signal, sys
from forked_teams import Twenty, all_events
from test_forks_that_die import FORK, middle
from treadle import System
from treadle.gateways.forks import Moment, begin_fork

async def main(journal, run_id, when):
    async with System(journal=journal, projections=False) as system:
        system.host(Twenty(random.Random(3)).agent, name="chief")
        submit = system.journal.submit
        def dying(*appends):
            if len(appends) < 3:
                return submit(*appends)
            if when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            pending = submit(*appends)
            if when == "after":
                asyncio.ensure_future(killed(pending))
            else:
                os.kill(os.getpid(), signal.SIGKILL)
            return pending
        async def killed(pending):
            await pending
            os.kill(os.getpid(), signal.SIGKILL)
        system.journal.submit = dying
        position = middle(await all_events(system.journal))
        _, answer = await begin_fork(system.node, run_id, at=Moment(position), fork_id=FORK)
        await answer

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_that_is_killed_around_the_append_of_a_fork_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    team = Twenty(random.Random(3))
    (tmp_path / "whole").mkdir()
    async with System(journal=f"sqlite:{tmp_path}/whole/runs.db", projections=False) as system:
        whole = await system.host(team.agent, name="chief").run("Go.", user_id="ann")
        before = await all_events(system.journal)
    killed = {when: await killed_in(tmp_path, whole.run_id, when) for when in ("before", "while", "after")}
    for when, program in killed.items():
        assert await asyncio.wait_for(program.wait(), 60) == -signal.SIGKILL
        async with System(journal=f"sqlite:{tmp_path}/{when}/runs.db", projections=False, resume=False) as system:
            system.host(team.agent, name="chief")
            after = await all_events(system.journal, before[-1].position)
            if after or when == "after":
                check_fork(before, after, whole.run_id, FORK, middle(before))
            assert not (after and when == "before")
            _, answer = await begin_fork(system.node, whole.run_id, at=Moment(middle(before)), fork_id=FORK)
            assert (await answer).output == whole.output
            after = await all_events(system.journal, before[-1].position)
            check_fork(before, after, whole.run_id, FORK, middle(before))


async def killed_in(directory: Path, run_id: str, when: str) -> asyncio.subprocess.Process:
    shutil.copytree(directory / "whole", directory / when)
    place = f"sqlite:{directory}/{when}/runs.db"
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{HERE}"}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, place, run_id, when, env=environment)
