"""Forks of forked teams: a moment that both share is the same one in the fork, and nothing of it is done again."""

from turns import Turns, calls, delegates, results

from treadle import Agent, NotAForkPoint, Run, System, tool
from treadle.architecture import Supervisor


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
