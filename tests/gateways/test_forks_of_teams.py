"""Forks of runs that have asked others: all are cut at one moment, and what was done by then is not done again."""

import os
import random

import pytest
from forked_teams import ACTORS, Twenty, all_events, check_fork
from members import Member, calls_of
from turns import Turns, calls, delegates, results

from treadle import Agent, Blackboard, ConfigError, Run, System, Team, Workflow, tool
from treadle.architecture import BlackboardArchitecture, Supervisor
from treadle.events.run import RunStarted
from treadle.gateways.fork_changes import Changes
from treadle.gateways.forks import Moment, begin_fork

TEAMS, CUTS = int(os.environ.get("TREADLE_FORK_TEAMS", "5")), 20
SEED = int(os.environ.get("SEED", "0"))


@pytest.mark.parametrize("team_number", range(TEAMS))
async def test_a_team_of_twenty_forked_at_random_cuts_ends_the_same_and_does_nothing_twice(team_number: int) -> None:
    """`make forks` cuts a thousand times. Every fifth fork is forked itself: in what it shares, or behind that."""
    chance = random.Random(f"{SEED} {team_number}")
    team = Twenty(chance)
    async with System(journal="memory", projections=False) as system:
        agent = system.host(team.agent, name="chief")
        whole = await agent.run("Go.", user_id="ann" if team_number % 2 else None)
        before, total = await all_events(system.journal), team.calls
        runs = [recorded.run_id for recorded in before if isinstance(recorded.event, RunStarted)]
        assert len({run_id.rpartition("_")[2] for run_id in runs}) == ACTORS
        for number in range(CUTS):
            position, fork_id = chance.choice(before).position, f"fork-{number}"
            begun, at = team.calls, await system.journal.last_position()
            _, answer = await begin_fork(system.node, whole.run_id, at=Moment(position), fork_id=fork_id)
            own = await system.journal.last_position()
            result = await answer
            where = f"cut {number} of team {team_number} of seed {SEED}, after position {position}"
            fork = await all_events(system.journal, at)
            shared = check_fork(before, fork, whole.run_id, fork_id, position)
            assert (result.state, result.output) == (whole.state, whole.output), where
            assert team.calls - begun == total - shared, where
            if number % 5:
                continue
            first = before[0].position
            for again in (chance.randint(first, position), chance.randint(own, fork[-1].position)):
                begun, at = team.calls, await system.journal.last_position()
                _, answer = await begin_fork(system.node, fork_id, at=Moment(again), fork_id=f"{again}-of-{fork_id}")
                result = await answer
                after = await all_events(system.journal, at)
                if again <= position:
                    shared = check_fork(before, after, whole.run_id, f"{again}-of-{fork_id}", again, of=fork_id)
                else:
                    shared = check_fork(fork, after, fork_id, f"{again}-of-{fork_id}", again)
                assert (result.state, result.output) == (whole.state, whole.output), f"{where}, then {again}"
                assert team.calls - begun == total - shared, f"{where}, then {again}"


# --- where, and with what --------------------------------------------------------------------------------------------


async def led(system: System, lead: Turns, **workers: Agent) -> Agent:
    return system.host(Agent("You lead.", model=lead.model, architecture=Supervisor(workers)), name="lead")


async def children_of(run: Run) -> dict[str, Run]:
    """The runs that it asked, by their roles."""
    asked = [event.payload for event in await run.transcript() if event.type == "child.requested"]
    return {each["role"]: Run(run._node, each["run_id"]) for each in asked}  # pyright: ignore[reportPrivateUsage]


async def test_an_event_of_an_asked_run_cuts_the_whole_tree_at_that_moment() -> None:
    one, two = Member("1"), Member(lambda prompt: f"2 {prompt}")
    pair = Agent(
        "You ask two.",
        model=Turns(delegates(one="a"), delegates(two="b"), results).model,
        architecture=Supervisor({"one": one.agent, "two": two.agent}),
    )
    async with System(journal="memory", projections=False) as system:
        agent = await led(system, Turns(delegates(pair="Go."), results), pair=pair)
        result = await agent.run("Go.")
        run = Run(system.node, result.run_id)
        middle = (await children_of(run))["pair"]
        [first, _] = [event for event in await middle.transcript() if event.type == "child.ended"]
        fork = await run.fork(first)
        assert (await fork.wait()).output == result.output == "2 b"
        assert calls_of(one, two) == [1, 2]
        forked = Run(system.node, middle.id.replace(run.id, fork.id))
        started = (await forked.transcript())[0].payload
        assert (started["forked_from"], started["parent_run_id"]) == (middle.id, fork.id)
        with pytest.raises(ConfigError, match="which it has not asked"):
            await run.fork((await fork.transcript())[0])
        # And a fork of that is cut in the same way.
        [asked] = [event for event in await forked.transcript() if event.type == "child.requested"]
        assert (await (await fork.fork(asked)).wait()).output == "2 b"
        assert calls_of(one, two) == [1, 3]


async def test_another_model_answers_for_a_role_from_the_cut_on_in_all_depths() -> None:
    one, two, other = Member("one"), Member("two"), Member("other")
    pair = Agent(
        "You ask two.",
        model=Turns(delegates(one="a"), delegates(two="b"), results).model,
        architecture=Supervisor({"one": one.agent, "two": two.agent}),
    )
    async with System(journal="memory", projections=False) as system:
        lead = Turns(delegates(pair="Go."), delegates(pair="Again."), results)
        result = await (agent := await led(system, lead, pair=pair)).run("Go.")
        fork = await agent.fork(result.run_id, "1-2", models={"two": other.agent.spec.model})
        assert (await fork.wait()).output == "other"
        assert calls_of(one, two, other) == [3, 2, 1]
        with pytest.raises(ConfigError, match="no-such-model"):
            await agent.fork(result.run_id, models={"two": "no-such-model"})


async def test_another_question_is_asked_at_the_beginning_and_said_further_later() -> None:
    worker = Member(lambda prompt: f"did {prompt}")
    lead = Turns(delegates(worker="a"), delegates(worker="b"), results)
    async with System(journal="memory", projections=False) as system:
        agent = await led(system, lead, worker=worker.agent)
        result = await agent.run("First?")
        asked = len(lead.asked)
        await (await agent.fork(result.run_id, prompt="Second?")).wait()
        assert [messages[1].content for messages in lead.asked[asked:]] == ["Second?"] * 3
        asked = len(lead.asked)
        fork = await agent.fork(result.run_id, "1-2", prompt="Be quick.", instructions="You lead well.")
        await fork.wait()
        said = [[message.content for message in messages] for messages in lead.asked[asked:]]
        assert all(each[0].startswith("You lead well.\n") for each in said)
        assert [each[1:5] for each in said] == [["First?", "", "did a", "Be quick."]] * 3
        # A fork of the fork knows what it was told, each where it was told.
        asked = len(lead.asked)
        again = await fork.fork("1-4", prompt="Be quicker.")
        await again.wait()
        said = [[message.content for message in messages][1:7] for messages in lead.asked[asked:]]
        assert said == [["First?", "", "did a", "Be quick.", "", "did a"]] * len(said)
        assert [message.content for message in lead.asked[asked]][7:] == ["Be quicker."]
        asked = len(lead.asked)
        await (await fork.fork("1-1")).wait()
        assert "Be quick." not in str(lead.asked[asked:])  # that was said later


async def test_other_tools_from_the_cut_on() -> None:
    @tool
    def old() -> str:
        """Old."""
        return "old"

    @tool
    def new() -> str:
        """New."""
        return "new"

    lead = Turns(calls(("old", {})), calls(("new", {})), results)
    async with System(journal="memory", projections=False) as system:
        agent = system.host(Agent("You work.", model=lead.model, tools=[old], living_plan=True), name="worker")
        result = await agent.run("Go.")
        assert "there is no tool 'new'" in result.output
        fork = await agent.fork(result.run_id, "2", tools=[new])
        assert (await fork.wait()).output == "new"
        assert [[each.name for each in shown] for shown in lead.shown[-2:]] == [["new", "plan_write", "plan_read"]] * 2
        assert (await (await fork.fork("2")).wait()).output == "new"


async def test_a_fork_has_conversations_of_its_own_as_they_were_at_the_cut() -> None:
    """The reporter remembers what it was told before the cut, and nothing that came after it elsewhere."""
    reporter = Member("noted")
    async with System(journal="memory", projections=False) as system:
        turns = Turns(delegates(reporter="one"), delegates(reporter="two"), results)
        team = Team.supervisor(workers={"reporter": reporter.agent}, model=turns.model, name="team")
        agent = system.host(team, name="team")
        result = await agent.run("Go.", user_id="ann")
        for _ in range(2):
            fork = await agent.fork(result.run_id, "1-2")
            await fork.wait()
            told = [message.content for message in reporter.asked[-1] if message.role == "user"]
            assert told == ["one", "two"]
        await agent.run("Go.", user_id="ann")
        told = [message.content for message in reporter.asked[-1] if message.role == "user"]
        assert told == ["one", "two", "one", "two"]  # of the forks it knows nothing


async def test_a_workflow_forked_anywhere_between_and_within_its_nodes_ends_the_same() -> None:
    left, right, last = (
        Member(lambda said: f"left {said}"),
        Member(lambda said: f"right {said}"),
        Member(lambda said: said),
    )
    flow = Workflow("diamond").add_node("split", lambda text: text.upper())
    for name, member in (("left", left), ("right", right), ("last", last)):
        flow.add_node(name, member.agent)
    flow.set_start("split").add_edge("split", "left").add_edge("split", "right")
    flow.add_edge("left", "last").add_edge("right", "last")
    async with System(journal="memory", projections=False) as system:
        await system.host(flow).run("go", session_id="conv", user_id="ann")
        whole = await flow.run("on", session_id="conv", user_id="ann")
        before, total = await all_events(system.journal), 3
        begun = [each.position for each in before if each.run_id == whole.run_id]
        outputs: set[str] = set()
        for position in range(begun[0], begun[-1] + 1):
            asked, at = sum(calls_of(left, right, last)), await system.journal.last_position()
            _, answer = await begin_fork(system.node, whole.run_id, at=Moment(position), fork_id=f"fork-{position}")
            outputs.add((await answer).output)
            after = await all_events(system.journal, at)
            shared = check_fork(before, after, whole.run_id, f"fork-{position}", position)
            assert sum(calls_of(left, right, last)) - asked == total - shared
        assert outputs == {whole.output}
        for change in (Changes(model="echo"), Changes(instructions="You split."), Changes(tools=[])):
            with pytest.raises(ConfigError, match="which only its nodes have"):
                await begin_fork(system.node, whole.run_id, changes=change)


async def test_what_is_said_further_reaches_the_agents_of_a_team_that_nobody_leads() -> None:
    worker = Member("a guess")
    board = BlackboardArchitecture({"guesser": worker.agent}, max_rounds=2)
    async with System(journal="memory", projections=False) as system:
        agent = system.host(Agent(model="echo", architecture=board), name="lab")
        result = await agent.run("Why?")
        [first, _] = [
            event for event in await Run(system.node, result.run_id).transcript() if event.type == "child.ended"
        ]
        fork = await agent.fork(result.run_id, first, prompt="Think of the moon.")
        await fork.wait()
        assert worker.calls == 3
        assert "Think of the moon." in worker.prompts[2]
        # It reads what was there at the cut, once, and nobody reads it twice.
        assert worker.prompts[2].count("[contribution of guesser]") == 1
        assert len(await Blackboard(fork.id, system).read()) == 2
        [*_, last] = [event for event in await fork.transcript() if event.type == "child.ended"]
        again = await fork.fork(last)  # a fork of the fork asks as that one had asked
        assert ((await again.wait()).output, worker.calls) == ("a guess", 3)


async def test_a_worker_that_is_asked_by_its_name_goes_on_with_what_it_had_done_at_the_cut() -> None:
    mind = Turns(calls(("look", {})), results)

    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "It is empty."

    async with System(journal="memory", projections=False) as system:
        system.host(Agent("You look.", model=mind.model, tools=[look]), name="clerk")
        lead = Turns(delegates(clerk="Look."), results)
        team = Agent("You lead.", model=lead.model, architecture=Supervisor({"clerk": "clerk"}))
        agent = system.host(team, name="lead")
        result = await agent.run("Go.")
        clerk = (await children_of(Run(system.node, result.run_id)))["clerk"]
        [looked] = [event for event in await clerk.transcript() if event.type == "tool.completed"]
        fork = await agent.fork(result.run_id, looked)
        assert (await fork.wait()).output == result.output == "It is empty."
        assert (mind.calls, lead.calls) == (3, 3)
        other = await agent.fork(result.run_id, models={"clerk": "echo"})
        assert "models= cannot change it" in (await other.wait()).output
