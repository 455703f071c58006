"""`Team`: each builder makes the agent that the long form makes, and costs what its architecture says."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from members import Member
from turns import Turns, calls, delegates, hands_over, results

import treadle.team
from treadle import Agent, ConfigError, Handoff, Limits, System, Team, tool
from treadle.architecture import (
    ActorCritic,
    BlackboardArchitecture,
    MultiAgentDebate,
    Router,
    RouterRoute,
    Supervisor,
    Swarm,
)
from treadle.gateways.agent_options import AgentOptions
from treadle.team import run_architecture

BUILDERS = {
    Team.supervisor: Supervisor,
    Team.swarm: Swarm,
    Team.router: Router,
    Team.actor_critic: ActorCritic,
    Team.debate: MultiAgentDebate,
    Team.blackboard: BlackboardArchitecture,
}


def test_the_options_of_agents_are_those_that_agents_take() -> None:
    taken = inspect.signature(Agent.__init__).parameters.keys() - {"self", "architecture"}
    assert AgentOptions.__annotations__.keys() == taken


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_a_builder_takes_what_its_architecture_takes_with_the_same_defaults(builder: Callable[..., Agent]) -> None:
    takes = {name: given.default for name, given in inspect.signature(builder).parameters.items()}
    wants = {name: given.default for name, given in inspect.signature(BUILDERS[builder]).parameters.items()}
    del takes["agent"]
    if builder is Team.supervisor:
        assert (takes.pop("persistent_subagents"), wants.pop("persistent_subagents")) == (True, False)
    assert takes == wants


async def test_a_supervisor_hands_the_work_out_and_what_is_said_of_its_agent_reaches_the_agent() -> None:
    @tool
    async def look() -> str:
        return "seen"

    lead, a = Turns(calls(("look", {}), ("delegate", {"worker": "a", "instructions": "count"})), results), Member("3")
    async with System() as system:
        team = Team.supervisor(
            {"a": a.agent},
            instructions="Lead.",
            model=lead.model,
            name="leaders",
            tools=[look],
            max_turns=4,
            budget=Limits(max_tokens=1_000_000),
            response_tone="legal",
        )
        result = await system.host(team).run("How many?", user_id="alice")
    assert result.output == "seen | 3"
    assert (lead.calls, a.calls) == (2, 1)
    assert (team.name, team.spec.max_turns, team.spec.manner.tone) == ("leaders", 4, "legal")
    assert team.tools_list() == ["look", "delegate", "forward_message", "send_message"]


async def test_the_workers_of_a_team_keep_a_conversation_per_user() -> None:
    lead, a = Turns(delegates(a="count"), "done"), Member("3")
    async with System() as system:
        team = system.host(Team.supervisor({"a": a.agent}, model=lead.model), name="team")
        for _ in range(2):
            await team.run("Go", user_id="alice")
    assert [len(messages) for messages in a.asked] == [2, 4]


async def test_a_swarm_costs_one_call_per_peer() -> None:
    triage, billing = Turns(hands_over("billing")), Member("Refunded.")
    async with System() as system:
        agents: dict[str, Agent | Handoff] = {"triage": Agent(model=triage.model), "billing": Handoff(billing.agent)}
        team = Team.swarm(agents, entry_agent="triage", model="echo")
        assert (await system.host(team, name="team").run("My money!")).output == "Refunded."
    assert (triage.calls, billing.calls) == (1, 1)


async def test_a_router_costs_one_call_and_one_specialist() -> None:
    classifier, tech, billing = Member("route: tech\nconfidence: 0.9"), Member("Mended."), Member("Refunded.")
    routes = [RouterRoute("tech", tech.agent, "broken things"), RouterRoute("billing", billing.agent, "money")]
    async with System() as system:
        team = Team.router(routes, model=classifier.agent.spec.model, instructions="support")
        assert (await system.host(team, name="team").run("It is broken.")).output == "Mended."
    assert (classifier.calls, tech.calls, billing.calls) == (1, 1, 0)


async def test_an_actor_and_a_critic_who_is_content_cost_one_call_each() -> None:
    actor, critic = Member("A draft."), Member('{"score": 0.95, "issues": [], "summary": "good"}')
    async with System() as system:
        team = Team.actor_critic(actor.agent, critic.agent, model="echo")
        assert (await system.host(team, name="team").run("Write.")).output == "A draft."
    assert (actor.calls, critic.calls) == (1, 1)


async def test_debaters_who_agree_at_once_are_asked_once() -> None:
    debaters = [Member("Final answer: 4"), Member("Final answer: 4")]
    async with System() as system:
        team = Team.debate([debater.agent for debater in debaters], model="echo")
        assert (await system.host(team, name="team").run("2 + 2?")).output == "Final answer: 4"
    assert [debater.calls for debater in debaters] == [1, 1]


async def test_agents_at_a_board_take_turns_until_the_decider_sums_up() -> None:
    guess, decider = Member("a guess"), Member("So be it.")
    async with System() as system:
        team = Team.blackboard({"guess": guess.agent}, decider=decider.agent, max_rounds=2, model="echo")
        assert (await system.host(team, name="team").run("Why?")).output == "So be it."
    assert (guess.calls, decider.calls) == (2, 1)


async def test_an_orchestrator_is_tried_without_an_agent_to_keep() -> None:
    lead, a = Turns(delegates(a="do the thing"), results), Member("done")
    result = await run_architecture(Supervisor({"a": a.agent}), "do the thing", model=lead.model)
    assert result.output == "done"


def test_a_team_that_is_misspelt_is_refused() -> None:
    more: Any = {"modle": "echo"}
    with pytest.raises(TypeError, match="modle"):
        Team.supervisor({"a": "a"}, **more)
    with pytest.raises(ConfigError, match="what works: model='echo'"):
        Team.supervisor({"a": "a"})


def test_what_teams_are_made_of_is_found_where_loomflow_has_it() -> None:
    assert treadle.team.Team is Team
    assert treadle.team.Handoff is Handoff
