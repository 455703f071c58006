"""Delegation while the journal is away: it waits, and is done when it is back."""

import asyncio

import pytest
from waiting import until

from treadle import Agent, System
from treadle.actors import child_runs
from treadle.events.envelope import Meta
from treadle.events.errors import Unavailable
from treadle.events.journal import Append
from treadle.events.worker import TaskAccepted
from treadle.gateways import delegation
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Submission


class AwayJournal(MemoryJournal):
    """Takes nothing for streams that begin so, while that is set; counts how often it refused."""

    away = ""
    refused = 0

    def submit(self, *appends: Append) -> Submission:
        if self.away and any(append.stream.startswith(self.away) for append in appends):
            self.refused += 1
            raise Unavailable("the journal", "it is away")
        return super().submit(*appends)


@pytest.mark.parametrize("away", ["worker-", "run-task"])
async def test_a_task_whose_journal_is_away_for_a_while_is_done_when_it_is_back(
    away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegation, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(child_runs, "LOOK_EVERY_S", 0.01)
    journal = AwayJournal()
    async with System(journal=journal) as system:
        system.host(Agent(model="echo"), name="prober")
        work = system.node.services.work
        assert work is not None
        journal.away = away
        task, cause = TaskAccepted(task_id="call-1", run_id="task-1", prompt="measure"), Meta(run_id="r1")
        asking = asyncio.create_task(work.delegate("prober", task, cause))
        await until(lambda: journal.refused > 2)
        journal.away = ""
        assert (await asking).output == "Echo: measure"
        recorded = await journal.read_all(0, 1000, category="worker")
        assert [each.type for each in recorded] == ["worker.task_accepted", "worker.task_ended"]


async def test_a_task_whose_journal_stays_away_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (delegation, child_runs):
        monkeypatch.setattr(each, "PATIENCE_S", 0.05)
        monkeypatch.setattr(each, "LOOK_EVERY_S", 0.01)
    journal = AwayJournal()
    async with System(journal=journal) as system:
        system.host(Agent(model="echo"), name="prober")
        work = system.node.services.work
        assert work is not None
        journal.away = "worker-"
        with pytest.raises(Unavailable, match=r"worker 'prober' is unavailable: it is away, for 0.05 s now"):
            await work.delegate("prober", TaskAccepted(task_id="1", run_id="1", prompt="measure"), Meta())
