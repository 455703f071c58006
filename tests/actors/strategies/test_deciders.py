"""Deciders: rules in the place of a model. What they decide is recorded, and what is no decision is refused."""

from collections.abc import Sequence
from typing import Any

import pytest
from members import Member
from thinking import Parts

from treadle import Agent, RunError
from treadle.actors.decider import Question
from treadle.architecture import Choice, Decider, Decision, Router, RouterRoute, Score, TreeOfThoughts


class Rules:
    """Decides at once, and notes what it was asked."""

    def __init__(self, answer: str | float, confidence: float = 1.0) -> None:
        self.asked: list[Question] = []
        self._decision = Decision(answer, confidence)

    def decide(self, question: Question) -> Decision:
        self.asked.append(question)
        return self._decision


class SlowRules:
    """The same, async."""

    def __init__(self, answer: str | float) -> None:
        self._decision = Decision(answer)

    async def decide(self, question: Question) -> Decision:
        return self._decision


def by_hand(prompt: str, thoughts: Sequence[str]) -> float:
    return 1.0


def desk(decider: Decider, **how: Any) -> tuple[Agent, Member, Member]:
    a, b = Member("by a"), Member("by b")
    routes = [RouterRoute("a", a.agent, "first things"), RouterRoute("b", b.agent)]
    return Agent(model="echo", architecture=Router(routes, decider=decider, **how)), a, b


async def test_a_decider_is_asked_who_is_to_answer() -> None:
    rules = Rules("b")
    agent, *_ = desk(rules)
    assert (await agent.run("Go.")).output == "by b"
    assert rules.asked == [Choice("Who is to answer?", "Go.", {"a": "first things", "b": ""})]
    assert (await desk(SlowRules("a"))[0].run("Go.")).output == "by a"


async def test_a_decider_that_is_not_sure_enough_sends_nobody() -> None:
    agent, a, b = desk(Rules("b", 0.4), require_confidence_above=0.5)
    result = await agent.run("Go.")
    assert result.interruption_reason.startswith(
        "router:no_route: the classifier said 'b', which is a confidence of 0.4"
    )
    assert a.calls + b.calls == 0


async def test_what_was_decided_is_in_the_run() -> None:
    agent, *_ = desk(Rules("b", 0.75))
    values = [event.payload async for event in agent.stream("Go.") if event.payload.get("name") == "router.decided"]
    assert [each["value"] for each in values] == [{"answer": "b", "confidence": 0.75}]


@pytest.mark.parametrize("decider", [Rules(1.0), SlowRules(1.0), by_hand])
async def test_thoughts_are_scored_without_a_call(decider: Decider) -> None:
    parts = Parts({"think ahead": "1. North.\n2. South.", "": "North it is."})
    thinks = TreeOfThoughts(branch_factor=2, evaluator_decider=decider)
    assert (await Agent(model=parts, architecture=thinks).run("Where?")).output == "North it is."
    assert parts.total == 2  # the proposer and the answer
    if isinstance(decider, Rules):
        assert isinstance(decider.asked[0], Score)
        assert decider.asked[0].about == "Where?\n\n1. North."


@pytest.mark.parametrize("score", [7, True, "good", float("nan")])
async def test_what_is_no_score_is_refused_and_named(score: float) -> None:
    parts = Parts({"think ahead": "1. North.", "": "North."})
    with pytest.raises(RunError, match="scores are numbers from 0 to 1"):
        await Agent(model=parts, architecture=TreeOfThoughts(evaluator_decider=Rules(score))).run("Where?")
