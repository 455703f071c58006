"""Two runs side by side."""

import msgspec
import pytest
from members import Member
from turns import Turns, delegates, results

from treadle import Agent, NotFound, Run, System
from treadle.architecture import Supervisor
from treadle.gateways.diff import RunDiff


async def two_runs(system: System) -> tuple[Run, Run]:
    """A run of a team, and a fork of it where another model answers for one of its workers."""
    one, two = Member(lambda prompt: f"one of {prompt}"), Member(lambda prompt: f"two of {prompt}")
    lead = Turns(delegates(one="a"), delegates(two="b"), results)
    team = Agent("You lead.", model=lead.model, architecture=Supervisor({"one": one.agent, "two": two.agent}))
    agent = system.host(team, name="lead")
    result = await agent.run("Go.")
    fork = await agent.fork(result.run_id, "1-2", models={"two": Member("Otherwise.").agent.spec.model})
    await fork.wait()
    return Run(system.node, result.run_id), fork


async def test_a_fork_and_its_run_side_by_side() -> None:
    async with System(journal="memory", projections=False) as system:
        run, fork = await two_runs(system)
        found = await run.diff(fork.id)
        assert (found.first.run_id, found.second.run_id) == (run.id, fork.id)
        assert found.shared_versions == (await fork.transcript())[0].payload["forked_at"]
        assert found.saved.total_tokens == 110 + 11  # the lead's first call and the first worker's
        assert found.second.tokens == found.first.tokens - found.saved.total_tokens
        marks = {step.name: step.mark for step in found.steps}
        assert marks == {
            "1-1": "shared", "1-2_0": "shared", "1-2_0 one": "shared",
            "1-3": "same", "1-4_0": "other", "1-4_0 two": "other", "1-5": "other",
        }  # fmt: skip
        first = found.first_difference
        assert first is not None and first.name == "1-4_0"
        within = next(step.children for step in found.steps if step.name == "1-4_0 two")
        assert within is not None and within.first_difference is not None
        assert (within.first_difference.first, within.first_difference.second) == ("two of b", "Otherwise.")
        assert msgspec.json.decode(msgspec.json.encode(found), type=RunDiff) == found


async def test_a_fork_of_a_fork_beside_the_first_run_and_beside_another_fork_of_it() -> None:
    async with System(journal="memory", projections=False) as system:
        run, fork = await two_runs(system)
        again, other = await fork.fork("1-4"), await run.fork("1-1")
        for each in (again, other):
            await each.wait()
        found = await run.diff(again.id)
        shared = ["1-1", "1-2_0", "1-2_0 one"]
        assert [step.name for step in found.steps if step.mark == "shared"] == shared
        # Of the fork it has more: also what that did by itself.
        assert (await run.diff(fork.id)).shared_versions == found.shared_versions > 0
        assert (await run.diff(fork.id)).shared_records == found.shared_records
        assert found.saved.total_tokens > (await fork.diff(run.id)).saved.total_tokens == 0
        own = [step.name for step in (await fork.diff(again.id)).steps if step.mark == "shared"]
        assert own == [*shared, "1-3", "1-4_0", "1-4_0 two"]
        beside = await other.diff(again.id)
        assert [step.name for step in beside.steps if step.mark == "shared"] == ["1-1"]
        assert (beside.shared_versions, beside.shared_records) == (3, 2)


async def test_its_text_says_what_is_shared_and_where_they_first_differ() -> None:
    async with System(journal="memory", projections=False) as system:
        run, fork = await two_runs(system)
        text = str(await run.diff(fork.id))
        assert "121 tokens were not spent again\nfirst difference: step 1-4_0, delegate" in text
        assert "~ 1-4_0 two  asks two\n    -completed: two of b\n    +completed: Otherwise.\n" in text
        assert text.endswith("output\n    -two of b\n    +Otherwise.")


async def test_any_two_runs_side_by_side_share_nothing_and_may_do_the_same() -> None:
    async with System(journal="memory", projections=False) as system:
        agent = system.host(Agent("You echo.", model="echo"), name="echo")
        one, two, other = [(await agent.run(prompt)).run_id for prompt in ("Hello.", "Hello.", "Bye.")]
        same = await agent.diff(one, two)
        assert (same.shared_records, same.first_difference) == (0, None)
        assert "nothing is shared\nfirst difference: none, they did the same" in str(same)
        differs = (await agent.diff(one, other)).first_difference
        assert differs is not None and (differs.first, differs.second) == ("Echo: Hello.", "Echo: Bye.")
        with pytest.raises(NotFound, match="no-such-run"):
            await agent.diff(one, "no-such-run")
