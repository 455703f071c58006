"""Code that an architecture is given raises: the run says whose it was, and loses no answer that does not need it."""

from collections.abc import Sequence
from typing import Any

import pytest
from members import Member
from thinking import JUDGE, REFLECTOR, Parts
from turns import Turns, hands_over

from treadle import Agent, Handoff, Message, RunError, RunResult, RunState, Unavailable
from treadle.actors.decider import Question
from treadle.architecture import Decision, Reflexion, Router, RouterRoute, Swarm, TreeOfThoughts


def divides(*given: Any) -> Any:
    return 1 / 0


async def divides_later(*given: Any) -> Any:
    return 1 / 0


class Divides:
    def decide(self, question: Question) -> Decision:
        return Decision(1 / 0)


def router(decider: Any) -> Agent:
    return Agent(model="echo", architecture=Router([RouterRoute("a", Member("by a").agent)], decider=decider))


def thinker(decider: Any) -> Agent:
    parts = Parts({"think ahead": '["x"]', "": "y"})
    return Agent(model=parts, architecture=TreeOfThoughts(max_depth=1, evaluator_decider=decider))


def filtered(keep: Any) -> Agent:
    entry = Agent("You are a peer.", model=Turns(hands_over("b")).model)
    return Agent(
        model="echo", architecture=Swarm({"a": entry, "b": Handoff(Member("by b").agent, input_filter=keep)}, "a")
    )


@pytest.mark.parametrize(
    ("agent", "who"),
    [
        (router(divides), "decider of Router"),
        (router(divides_later), "decider of Router"),
        (router(Divides()), "decider of Router"),
        (thinker(divides), "evaluator_decider of TreeOfThoughts"),
        (thinker(Divides()), "evaluator_decider of TreeOfThoughts"),
        (filtered(divides), "input_filter of the handoff to 'b'"),
    ],
)
async def test_the_error_of_a_run_names_the_code_that_raised(agent: Agent, who: str) -> None:
    async with agent:
        with pytest.raises(RunError, match=f"{who} raised ZeroDivisionError: division by zero") as failed:
            await agent.run("Go.")
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_a_filter_that_returns_no_messages_is_named() -> None:
    def texts(history: list[Message]) -> Any:
        return ["hello"]

    async with filtered(texts) as agent:
        with pytest.raises(RunError, match="input_filter of the handoff to 'b' returned 'hello' among the messages"):
            await agent.run("Go.")


async def test_a_decider_that_decides_nothing_is_named() -> None:
    class Undecided:
        def decide(self, question: Question) -> Any:
            return "a"

    async with router(Undecided()) as agent:
        with pytest.raises(RunError, match=r"decider of Router returned 'a'; decide\(\) returns a Decision"):
            await agent.run("Go.")


class Store:
    """Lessons, as long as nothing is said to be wrong."""

    def __init__(self, search: Exception | None = None, add: Exception | None = None, found: Any = ()) -> None:
        self._search, self._add, self._found = search, add, found

    async def search(self, user_id: str, prompt: str, k: int) -> Sequence[str]:
        if self._search is not None:
            raise self._search
        found: Sequence[str] = self._found
        return found

    async def add(self, user_id: str, text: str) -> None:
        if self._add is not None:
            raise self._add


async def reflected(store: Store) -> RunResult:
    parts = Parts({JUDGE: ["score: 0.2", "score: 0.9"], REFLECTOR: "Be brief.", "": ["long", "short"]})
    async with Agent(model=parts, architecture=Reflexion(lesson_store=store)) as agent:
        result = await agent.run("Go.")
    assert "- Be brief." in parts.shown("")
    return result


@pytest.mark.parametrize(
    ("store", "why"),
    [
        (
            Store(search=OSError("it is away")),
            "reflexion:not_recalled: lesson_store of Reflexion raised OSError: it",
        ),
        (
            Store(search=Unavailable("notes", "away")),
            "reflexion:not_recalled: lesson_store of Reflexion raised Un",
        ),
        (Store(found=[1]), "reflexion:not_recalled: lesson_store of Reflexion returned [1]; search"),
        (Store(found=None), "reflexion:not_recalled: lesson_store of Reflexion raised TypeError"),
        (Store(add=OSError("full")), "reflexion:not_kept: lesson_store of Reflexion raised OSError: full"),
    ],
)
async def test_a_lesson_store_that_fails_costs_no_answer(store: Store, why: str) -> None:
    result = await reflected(store)
    assert (result.output, result.state) == ("short", RunState.DEGRADED)
    assert result.error.startswith(why)


async def test_a_lesson_store_that_works_leaves_the_answer_whole() -> None:
    assert (await reflected(Store(found=["Be kind."]))).state == RunState.COMPLETED
