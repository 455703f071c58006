"""What of a run reaches its members: the tone those who speak, the form who answers, the pictures who is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from members import Member
from pydantic import BaseModel

from treadle import Agent, FunctionModel, ModelReply, System, ToolCall
from treadle.architecture import (
    ActorCritic,
    Architecture,
    BlackboardArchitecture,
    MultiAgentDebate,
    Router,
    RouterRoute,
    Supervisor,
    Swarm,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


class Found(BaseModel):
    animal: str


CAT = json.dumps({"animal": "cat"})


class Team:
    """A team of two, of whom one speaks to the user and the other one does not."""

    def __init__(self, speaks: Member, silent: Member | None, architecture: Architecture, lead: Any = "echo") -> None:
        self.speaks, self.silent = speaks, silent
        self.agent = Agent(model=lead, architecture=architecture)


def routed() -> Team:
    a, b = Member(CAT), Member(CAT)
    return Team(
        a, None, Router([RouterRoute("a", a.agent), RouterRoute("b", b.agent)], decider=lambda prompt, routes: "a")
    )


def criticised() -> Team:
    a, b = Member(CAT), Member('{"score": 1}')
    return Team(a, b, ActorCritic(a.agent, b.agent))


def debated() -> Team:
    judge, a, b = Member(CAT), Member("a dog"), Member("a cow")
    return Team(judge, None, MultiAgentDebate([a.agent, b.agent], judge=judge.agent, rounds=0))


def at_a_board() -> Team:
    decider, agent = Member(CAT), Member("It has whiskers.")
    return Team(decider, agent, BlackboardArchitecture({"a": agent.agent}, decider=decider.agent, max_rounds=1))


def swarming() -> Team:
    a = Member(CAT)
    return Team(a, None, Swarm({"a": a.agent}, "a"))


TEAMS = [routed, criticised, debated, at_a_board, swarming]


@pytest.mark.parametrize("made", TEAMS, ids=lambda made: str(made.__name__))
async def test_who_answers_is_told_the_tone_and_the_form_and_sees_the_pictures(made: Callable[[], Team]) -> None:
    team = made()
    result = await team.agent.run("What is this?", images=[PNG], response_tone="casual", output_schema=Found)
    assert result.value == Found(animal="cat")
    system, *_, question = team.speaks.asked[-1]
    assert "casual: relaxed" in system.content
    assert "STRUCTURED OUTPUT REQUIRED" in system.content
    assert len(question.images) == 1
    assert team.speaks.calls == 1  # nobody had to correct it


@pytest.mark.parametrize("made", [criticised, at_a_board], ids=lambda made: str(made.__name__))
async def test_who_advises_sees_the_pictures_and_phrases_things_in_its_own_way(made: Callable[[], Team]) -> None:
    team = made()
    await team.agent.run("What is this?", images=[PNG], response_tone="casual", output_schema=Found)
    assert team.silent is not None
    system, *_, question = team.silent.asked[-1]
    assert system.content == "You work in a team."
    assert len(question.images) == 1


async def test_debaters_speak_in_the_tone_and_answer_freely() -> None:
    debaters = [Member("a cat\nFinal answer: a cat") for _ in range(2)]
    agent = Agent(
        model=FunctionModel(lambda messages, tools: CAT),
        architecture=MultiAgentDebate([each.agent for each in debaters]),
    )
    result = await agent.run("What is this?", response_tone="casual", output_schema=Found)
    assert result.value == Found(animal="cat")  # the team's own model has brought it into the form
    ((system, _),) = debaters[0].asked
    assert "casual: relaxed" in system.content
    assert "STRUCTURED OUTPUT" not in system.content


async def test_agents_at_a_board_without_a_decider_speak_in_the_tone() -> None:
    member = Member("It is a cat.")
    team = Agent(model="echo", architecture=BlackboardArchitecture({"a": member.agent}, max_rounds=1))
    await team.run("What is this?", response_tone="casual")
    assert "casual: relaxed" in member.asked[0][0].content


async def test_a_worker_whose_answer_may_be_handed_on_speaks_in_the_tone_unless_it_has_its_own() -> None:
    def lead(messages: Any, tools: Any) -> ModelReply | str:
        if any(message.role == "tool" for message in messages):
            return "Done."
        calls = [ToolCall(role, "delegate", {"worker": role, "instructions": "Go."}) for role in ("plain", "stiff")]
        return ModelReply(tool_calls=tuple(calls))

    plain, stiff = Member("ok"), Member("ok", response_tone="legal")
    team = Agent(model=FunctionModel(lead), architecture=Supervisor({"plain": plain.agent, "stiff": stiff.agent}))
    await team.run("Go.", response_tone="casual")
    assert "casual: relaxed" in plain.asked[0][0].content
    assert "legal: careful" in stiff.asked[0][0].content
    assert "casual" not in stiff.asked[0][0].content


async def test_a_member_that_is_hosted_under_its_name_is_told_the_same() -> None:
    member = Member(CAT)
    async with System() as system:
        system.host(member.agent, name="expert")
        desk = Router([RouterRoute("a", "expert")], decider=lambda prompt, routes: "a")
        team = system.host(Agent(model="echo", architecture=desk), name="desk")
        await system.start_hosting()
        result = await team.run("What is this?", images=[PNG], response_tone="casual", output_schema=Found)
    assert result.value == Found(animal="cat")
    system_message, question = member.asked[0]
    assert "casual: relaxed" in system_message.content
    assert "STRUCTURED OUTPUT REQUIRED" in system_message.content
    assert len(question.images) == 1


async def test_the_form_of_the_team_wins_over_that_of_who_answers() -> None:
    class Other(BaseModel):
        plant: str

    member = Member(CAT, output_schema=Other)
    desk = Agent(
        model="echo", architecture=Router([RouterRoute("a", member.agent)], decider=lambda prompt, routes: "a")
    )
    assert (await desk.run("What is this?", output_schema=Found)).value == Found(animal="cat")
