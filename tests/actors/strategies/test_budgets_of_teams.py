"""A budget that a team shares: when it is used up, every architecture ends the same way, with what there is."""

from collections.abc import Callable, Sequence

import pytest

from treadle import Agent, FunctionModel, Limits, Message, ModelReply, RunState, ToolCall, ToolSpec, Usage
from treadle.architecture import (
    ActorCritic,
    Architecture,
    BlackboardArchitecture,
    MultiAgentDebate,
    Reflexion,
    Router,
    RouterRoute,
    Supervisor,
    Swarm,
)

ONE_CALL = Limits(max_tokens=1300)
"""Enough for what is set aside for a call of these tests, and not for that beside what an answer costs."""

Says = Callable[[Sequence[Message]], str | ModelReply]


def model(says: str | Says = "A draft.") -> FunctionModel:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        said = says if isinstance(says, str) else says(messages)
        reply = said if isinstance(said, ModelReply) else ModelReply(said)
        return ModelReply(reply.text, tool_calls=reply.tool_calls, usage=Usage(input_tokens=400, output_tokens=100))

    return FunctionModel(answer)


def member(says: str | Says = "A draft.", budget: Limits | None = None) -> Agent:
    return Agent(model=model(says), budget=budget)


def leads(messages: Sequence[Message]) -> ModelReply:
    return ModelReply(tool_calls=(ToolCall("1", "delegate", {"worker": "a", "instructions": "Do."}),))


def teams() -> dict[str, Architecture]:
    pair = {"a": member(), "b": member()}
    return {
        "router": Router([RouterRoute("a", pair["a"])], decider=lambda prompt, routes: "a"),
        "swarm": Swarm(pair, "a"),
        "actor_critic": ActorCritic(pair["a"], pair["b"]),
        "debate": MultiAgentDebate([pair["a"], pair["b"]]),
        "blackboard": BlackboardArchitecture(pair),
        "blackboard with a coordinator": BlackboardArchitecture(pair, coordinator=member()),
        "supervisor": Supervisor(pair),
        "reflexion": Reflexion(ActorCritic(pair["a"], pair["b"])),
    }


@pytest.mark.parametrize("name", teams())
async def test_a_team_without_any_budget_left_is_interrupted_by_the_budget_whatever_its_architecture(name: str) -> None:
    async with Agent(model=model(leads), architecture=teams()[name], budget=Limits(max_tokens=2)) as agent:
        result = await agent.run("Go.")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "budget:max_tokens")


@pytest.mark.parametrize("name", ["actor_critic", "blackboard"])
async def test_what_there_is_when_the_budget_is_used_up_is_the_output(name: str) -> None:
    async with Agent(model="echo", architecture=teams()[name], budget=ONE_CALL) as agent:
        result = await agent.run("Go.")
    assert (result.interruption_reason, result.output) == ("budget:max_tokens", "A draft.")


async def test_a_debate_whose_budget_is_used_up_ends_with_what_was_held() -> None:
    debate = MultiAgentDebate([member("Final answer: 4"), member("Final answer: 5")])
    async with Agent(model="echo", architecture=debate, budget=Limits(max_tokens=2300)) as agent:
        result = await agent.run("Go.")
    assert (result.interruption_reason, result.output) == ("budget:max_tokens", "Final answer: 4")


async def test_a_debate_whose_debaters_all_reach_limits_of_their_own_has_not_failed() -> None:
    debate = MultiAgentDebate([member(budget=Limits(max_tokens=2)), member(budget=Limits(max_tokens=2))])
    async with Agent(model="echo", architecture=debate) as agent:
        result = await agent.run("Go.")
    assert result.state == RunState.INTERRUPTED
    assert result.interruption_reason.startswith("debate:all_interrupted: in round 0 debater_1 gave no answer")


async def test_a_budget_of_a_member_alone_ends_the_team_with_a_reason_that_names_the_member() -> None:
    router = Router([RouterRoute("a", member(budget=Limits(max_tokens=2)))], decider=lambda prompt, routes: "a")
    async with Agent(model="echo", architecture=router) as agent:
        result = await agent.run("Go.")
    assert result.interruption_reason.startswith("router:specialist_interrupted: the specialist 'a'")
    assert result.interruption_reason.endswith("budget:max_tokens")


async def test_a_debater_without_a_budget_of_its_own_left_sits_out() -> None:
    debate = MultiAgentDebate([member(budget=Limits(max_tokens=2)), member("Final answer: 5")])
    async with Agent(model="echo", architecture=debate, budget=Limits(max_cost_usd=1)) as agent:
        result = await agent.run("Go.")
    assert (result.state, result.output) == (RunState.COMPLETED, "Final answer: 5")
