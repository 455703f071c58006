"""Forks of forked teams: a moment that both share is the same one in the fork, and nothing of it is done again."""

from turns import Turns, calls, delegates, results

from treadle import Agent, Event, NotAForkPoint, Run, System, tool
from treadle.architecture import Supervisor
from treadle.events.run import run_stream
from treadle.gateways.cli.family import Family
from treadle.gateways.cli.following import OverJournal
from treadle.gateways.cli.narration import told
from treadle.gateways.forks import begin_fork


async def test_a_fork_of_a_forked_team_is_cut_where_it_was_asked_to_be_and_does_nothing_again() -> None:
    paid: list[str] = []

    @tool
    def pay(to: str) -> str:
        """Pay."""
        paid.append(to)
        return f"paid {to}"

    worker = Turns(calls(("pay", {"to": "ann"})), results)
    lead = Turns(delegates(worker="one"), delegates(worker="two"), results)
    async with System(journal="memory", projections=False) as system:
        boss = Agent(
            "You lead.",
            model=lead.model,
            architecture=Supervisor({"worker": Agent("You pay.", model=worker.model, tools=[pay])}),
        )
        agent = system.host(boss, name="boss")
        whole = Run(system.node, (await agent.run("Go.", user_id="ann")).run_id)
        one = await whole.fork("1-4")
        result = await one.wait()
        assert paid == ["ann", "ann"]
        # At each version of what is shared, and behind it.
        history, shared = await one.transcript(), 0
        for event in history:
            version = event.version
            before = paid.copy(), lead.calls, worker.calls
            try:
                two = await one.fork(version)
            except NotAForkPoint:
                continue
            assert (await two.wait()).output == result.output
            assert (await two.transcript())[0].payload["forked_at"] == version
            # As a fork of the first run at that step does: what had been done by then is not done again.
            done = [each.payload["type"] if each.type == "run.copied" else each.type for each in history[:version]]
            answered, ended = done.count("model.completed"), done.count("child.ended")
            assert len(paid) - len(before[0]) == 2 - ended, f"version {version}"
            assert (lead.calls - before[1], worker.calls - before[2]) == (3 - answered, 4 - 2 * ended)
            shared += 1
        assert shared >= 8
        # And so on: a fork of a fork of a fork.
        three = await (await one.fork("1-4")).fork("1-2")
        await three.wait()
        assert paid[-1:] == ["ann"] and len(await three.transcript()) == len(history)


async def test_whoever_watches_a_fork_sees_the_runs_that_it_shares() -> None:
    quick, slow = Turns(lambda _: "quick"), Turns(lambda _: "slow")
    lead = Turns(delegates(one="a", two="b"), delegates(one="c"), results)
    workers = {"one": Agent("You work.", model=quick.model), "two": Agent("You work.", model=slow.model)}
    async with System(journal="memory", projections=False) as system:
        agent = system.host(Agent("You lead.", model=lead.model, architecture=Supervisor(workers)), name="lead")
        whole = Run(system.node, (await agent.run("Go.")).run_id)
        [first, *_] = [event for event in await whole.transcript() if event.type == "child.ended"]
        fork = await whole.fork(first)  # one of them had answered, and the other was at work
        await fork.wait()
        watched = [event async for event in fork.events(children=True)]
        followed: list[Event] = []
        await Family(OverJournal(system.journal)).run(fork.id, 0, followed.append)
        for events in (watched, followed):
            seen: dict[str, list[int]] = {}
            for event in events:
                seen.setdefault(event.run_id, []).append(event.version)
            assert len(seen) == 4
            for run_id, versions in seen.items():
                assert versions == [each.version for each in await system.journal.read(run_stream(run_id))]
        types = [(event.role, event.payload.get("type", event.type)) for event in watched]
        assert types.index(("", "child.requested")) < types.index(("one", "run.started"))
        assert types.index(("one", "run.completed")) < types.index(("", "child.ended"))
        # Also by whoever comes later, and knows the questions.
        asked = types.index(("", "child.requested"))
        later = [event async for event in fork.events(watched[asked].version, children=True)]
        assert {(event.run_id, event.version) for event in later} == {
            (event.run_id, event.version) for event in watched[asked + 1 :]
        }


async def test_a_fork_waits_for_the_approvals_of_its_own_workers_and_says_so() -> None:
    @tool(destructive=True)
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        return f"wiped {disk}"

    worker = Turns(calls(("wipe", {"disk": "sda"})), results)
    lead = Turns(delegates(worker="Wipe."), results)
    workers = {"worker": Agent("You wipe.", model=worker.model, tools=[wipe], approval_handler="wait")}
    async with System(journal="memory", projections=False) as system:
        agent = system.host(Agent("You lead.", model=lead.model, architecture=Supervisor(workers)), name="lead")
        waiting = await agent.run("Go.")
        [first] = waiting.waiting_for
        run = Run(system.node, waiting.run_id)
        waits = (await run.transcript())[-1]
        assert waits.type == "child.waits"
        assert told(waits) == f'for an approval of wipe(disk="sda") (destructive), call {first.call_id}'
        fork_id, answer = await begin_fork(system.node, run.id, at=waits)
        fork, [asked] = Run(system.node, fork_id), (await answer).waiting_for
        assert asked.call_id == first.call_id.replace(run.id, fork.id)
        # What the other run waits for is nothing that the fork has to be told.
        assert run.id not in str([event.payload for event in await fork.transcript() if event.type == "run.copied"])
        await fork.approve(asked.call_id)
        assert (await fork.wait()).output == "wiped sda"
        assert (await run.result()).waiting_for == [first]
