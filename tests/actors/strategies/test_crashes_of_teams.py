"""Every cut of a team's history, its children's included, leads to the same end, and asks no model twice."""

from cuts import board_of, fresh_node, holds_at_every_cut, run
from members import Member

from treadle import Agent
from treadle.architecture import ActorCritic, BlackboardArchitecture, MultiAgentDebate, Router, RouterRoute
from treadle.events.blackboard import Posted
from treadle.events.envelope import Meta
from treadle.events.run import RunCompleted


def critic_of_two_drafts() -> Member:
    return Member(lambda prompt: '{"score": 0.95}' if "second" in prompt else '{"score": 0.3, "issues": ["dull"]}')


def actor_of_two_drafts() -> Member:
    return Member(lambda prompt: "the second draft" if "dull" in prompt else "the first draft")


async def test_an_actor_and_its_critic() -> None:
    actor, critic = actor_of_two_drafts(), critic_of_two_drafts()
    team = Agent(model="echo", name="pair", architecture=ActorCritic(actor.agent, critic.agent))
    result = await holds_at_every_cut(team.spec, "Write.", lambda: actor.calls + critic.calls)
    assert result.output == "the second draft"


async def test_a_router_whose_route_is_an_actor_and_its_critic() -> None:
    actor, critic = actor_of_two_drafts(), critic_of_two_drafts()
    classifier = Member("route: writing\nconfidence: 0.8")
    pair = Agent(model="echo", name="pair", architecture=ActorCritic(actor.agent, critic.agent))
    routes = [RouterRoute("writing", pair, "texts"), RouterRoute("sums", Member("4").agent, "numbers")]
    team = Agent(model=classifier.agent.spec.model, name="desk", architecture=Router(routes))
    result = await holds_at_every_cut(team.spec, "Write.", lambda: classifier.calls + actor.calls + critic.calls)
    assert result.output == "the second draft"


async def test_a_router_in_a_session_whose_specialist_has_a_session_of_its_own() -> None:
    classifier, billing = Member("route: billing"), Member("It is paid.")
    router = Router([RouterRoute("billing", billing.agent)])
    team = Agent(model=classifier.agent.spec.model, name="desk", architecture=router)
    result = await holds_at_every_cut(team.spec, "Paid?", lambda: classifier.calls + billing.calls, session_id="s")
    assert result.output == "It is paid."


async def test_a_debate_with_a_judge_in_which_one_sits_out() -> None:
    one, other, judge = Member("Final answer: 4"), Member("Final answer: 5"), Member("It is 4.")
    out = Member(ValueError("no idea"))
    debate = MultiAgentDebate([one.agent, out.agent, other.agent], judge.agent, rounds=1)
    team = Agent(model="echo", name="panel", architecture=debate)
    result = await holds_at_every_cut(team.spec, "2 + 2?", lambda: one.calls + other.calls + judge.calls)
    assert result.output == "It is 4."


def coordinator() -> Member:
    def next_one(prompt: str) -> str:
        if "a proof" in prompt:
            return '{"terminate": true}'
        return '{"next_agent": "%s", "instruction": "go on"}' % ("prover" if "a guess" in prompt else "guesser")

    return Member(next_one)


async def test_a_team_at_a_board() -> None:
    leads, decider = coordinator(), Member(lambda prompt: f"{prompt.count('[')} entries")
    guesser, prover = Member("a guess"), Member("a proof")
    agents = {"guesser": guesser.agent, "prover": prover.agent}
    board = BlackboardArchitecture(agents, leads.agent, decider.agent)
    team = Agent(model="echo", name="lab", architecture=board)
    members = (leads, decider, guesser, prover)
    result = await holds_at_every_cut(team.spec, "Why?", lambda: sum(member.calls for member in members))
    assert result.output == "4 entries"


async def test_what_was_posted_after_a_turn_had_read_the_board_is_not_read_by_its_replay() -> None:
    worker = Member("a guess")
    architecture = BlackboardArchitecture({"guesser": worker.agent}, max_rounds=2)
    team = Agent(model="echo", name="lab", architecture=architecture)
    async with fresh_node([]) as node:
        whole = await run(node, team.spec, "Why?")
        events = await node.journal.read_all(limit=10_000)
    assert isinstance(events[-1].event, RunCompleted)
    async with fresh_node(events[:-1]) as node:
        assert node.services.blackboard is not None
        late = Posted(entry_id="late", author="bob", content="It is known.", kind="answer")
        await node.services.blackboard.post("team", late, Meta())
        assert (await run(node, team.spec, "Why?")).output == whole.output == "a guess"
        assert len(await board_of(node)) == 3
    assert worker.calls == 2


async def test_a_fork_of_a_team_at_a_board_has_a_board_of_its_own() -> None:
    worker = Member("a guess")
    architecture = BlackboardArchitecture({"guesser": worker.agent}, max_rounds=2)
    async with Agent(model="echo", name="lab", architecture=architecture, runtime="memory") as team:
        first = await team.run("Why?")
        node = await team.node()
        fork = await (await team.fork(first.run_id, fork_id="other")).wait()
        assert fork.output == first.output
        ids = [[entry.entry_id for entry in await board_of(node, run_id)] for run_id in (first.run_id, "other")]
    assert [len(each) for each in ids] == [2, 2]
    assert not set(ids[0]) & set(ids[1])
