"""Open work: what nobody is at any more is gone on with, by the node whose it is."""

import asyncio
from collections.abc import Sequence

import pytest
from hosting import WITHIN_S

from treadle import Agent, RunState, System, Unavailable
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.events.journal import Append
from treadle.events.run import RunCompleted
from treadle.gateways import open_work
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Submission, prepare
from treadle.gateways.open_work import OpenWork
from treadle.projections.runs import RunRow


class _LosesAnEnd(MemoryJournal):
    """Is not there when the first run ends, and comes back at once."""

    lost = False

    def submit(self, *appends: Append) -> Submission:
        if not self.lost and any(isinstance(event, RunCompleted) for append in appends for event in append.events):
            self.lost = True
            submission = prepare(appends, SYSTEM_CLOCK.new_ids)
            submission.fail(Unavailable("the journal", "on purpose"))
            return submission
        return super().submit(*appends)


async def open_runs(system: System) -> Sequence[RunRow]:
    await system.projections.catch_up()
    return await system.projections.runs.open_runs()


async def test_a_node_ends_the_runs_that_it_owns_when_their_signals_go_elsewhere_by_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_work, "LOOK_EVERY_S", 0.01)
    async with System(journal=_LosesAnEnd()) as system:
        desk = system.host(Agent(model="echo"), name="desk")
        with pytest.raises(Unavailable):
            await desk.session("conv-1", user_id="alice").run("Look.")
        [row] = await open_runs(system)
        assert row.owner == system.journal.owner

        work = OpenWork(system.node.host, system.projections, is_ours=lambda address: False)
        work.keep_looking()
        async with asyncio.timeout(WITHIN_S):
            while await open_runs(system):  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.01)
        await work.close()
        [run] = await system.projections.runs.list()
        assert (run.run_id, run.state, run.output) == (row.run_id, RunState.COMPLETED, "Echo: Look.")
