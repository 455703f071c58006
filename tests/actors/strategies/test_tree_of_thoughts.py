"""Tree of Thoughts: how wide and how deep it searches, what ends it, and what a score that nobody gave is worth."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from thinking import Parts

from treadle import Agent, ConfigError, Message, RunState
from treadle.actors.strategies.tree_of_thoughts import TreeOfThoughts

PROPOSER, JUDGE, WRITER = "think ahead", "judge a line of thought", "thought about this"


def proposes(messages: Sequence[Message]) -> str:
    """Three thoughts, which name where they go on from."""
    so_far = [line.split(". ")[1] for line in messages[2].content.splitlines()[1:]] if len(messages) > 2 else []
    prefix = so_far[-1] if so_far else "t"
    return "\n".join(f"{number}. {prefix}{number}" for number in (1, 2, 3))


def last_thought(messages: Sequence[Message]) -> str:
    return messages[2].content.splitlines()[-1].split(". ")[1]


def model(scores: dict[str, float], otherwise: str = "score: 0.5", proposer: str | None = None) -> Parts:
    def judge(messages: Sequence[Message]) -> str:
        given = scores.get(last_thought(messages))
        return otherwise if given is None else f"score: {given}"

    return Parts({PROPOSER: proposer if proposer is not None else proposes, JUDGE: judge, WRITER: "so"})


async def levels(agent: Agent) -> list[dict[str, object]]:
    return [event.payload["value"] async for event in agent.stream("Go.") if event.payload.get("name") == "tot.level"]


async def test_a_whole_search_takes_21_calls_and_goes_on_from_the_best_of_each_level() -> None:
    parts = model({"t2": 0.9, "t3": 0.7, "t31": 0.8, "t312": 0.95})
    result = await Agent(model=parts, architecture="tree-of-thoughts").run("Go.")
    assert (result.output, result.turns) == ("so", 21)
    assert dict(parts.calls) == {PROPOSER: 1 + 2 + 2, JUDGE: 3 + 6 + 6, WRITER: 1}
    assert parts.messages(WRITER)[2].content == "1. t3\n2. t31\n3. t312"


async def test_levels_are_recorded_with_the_places_of_their_thoughts() -> None:
    agent = Agent(model=model({"t2": 0.9, "t21": 1.0}), architecture=TreeOfThoughts(beam_width=1))
    assert await levels(agent) == [
        {"depth": 1, "scores": {"1": 0.5, "2": 0.9, "3": 0.5}, "kept": ["2"], "reason": ""},
        {"depth": 2, "scores": {"2.1": 1.0, "2.2": 0.5, "2.3": 0.5}, "kept": ["2.1"], "reason": "solved"},
    ]


async def test_a_solved_thought_ends_the_search() -> None:
    parts = model({"t1": 0.9})
    architecture = TreeOfThoughts(solved_threshold=0.9, synthesize_final=False)
    result = await Agent(model=parts, architecture=architecture).run("Go.")
    assert (result.output, parts.total) == ("t1", 4)


async def test_thoughts_below_the_floor_are_not_gone_on_from() -> None:
    parts = model({"t1": 0.6}, "score: 0.1")
    agent = Agent(model=parts, architecture=TreeOfThoughts(min_score=0.5))
    assert [each["reason"] for each in await levels(agent)] == ["", "no thought has min_score"]
    assert dict(parts.calls) == {PROPOSER: 2, JUDGE: 6, WRITER: 1}
    assert parts.messages(WRITER)[2].content == "1. t1"


async def test_without_any_score_the_search_ends_at_the_first_thought_and_says_so() -> None:
    parts = model({}, "Who knows.")
    agent = Agent(model=parts, architecture="tree-of-thoughts")
    assert await levels(agent) == [
        {
            "depth": 1,
            "scores": {"1": None, "2": None, "3": None},
            "kept": ["1"],
            "reason": "the evaluator gave no score",
        }
    ]
    assert parts.messages(WRITER)[2].content == "1. t1"


async def test_a_search_without_any_score_is_interrupted_with_the_answer_for_an_output() -> None:
    result = await Agent(model=model({}, "Who knows."), architecture="tree-of-thoughts").run("Go.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "so")
    assert result.interruption_reason == "tot:no_score: the evaluator gave no score"


async def test_a_later_level_without_a_score_leaves_the_run_degraded() -> None:
    parts = model({"t1": 0.5, "t2": 0.5, "t3": 0.5}, "Who knows.")
    result = await Agent(model=parts, architecture="tree-of-thoughts").run("Go.")
    assert (result.state, result.error) == (
        RunState.DEGRADED,
        "tot:no_score: the evaluator gave no score, in level 2",
    )


async def test_a_thought_without_a_score_is_dropped_beside_others_that_have_one() -> None:
    agent = Agent(model=model({"t3": 0.1}, "Hm."), architecture=TreeOfThoughts(max_depth=1))
    assert [each["kept"] for each in await levels(agent)] == [["3"]]


async def test_without_thoughts_it_answers_by_itself() -> None:
    parts = model({}, proposer=" ")
    agent = Agent(model=parts, architecture=TreeOfThoughts(synthesize_final=False))
    result = await agent.run("Go.")
    assert (result.output, result.error) == ("so", "tot:no_thought: the proposer gave no thoughts, in level 1")
    assert dict(parts.calls) == {PROPOSER: 1, WRITER: 1}


async def test_more_thoughts_than_were_asked_for_are_left_out() -> None:
    parts = model({}, proposer="\n".join(f"{number}. t{number}" for number in range(1, 9)))
    await Agent(model=parts, architecture=TreeOfThoughts(branch_factor=2, max_depth=1)).run("Go.")
    assert parts.calls[JUDGE] == 2


@pytest.mark.parametrize("parallel", [True, False])
async def test_calls_of_a_level_go_on_beside_one_another_if_they_may(parallel: bool) -> None:
    parts = model({"t1": 0.9})
    architecture = TreeOfThoughts(parallel=parallel, max_depth=2, beam_width=2)
    await Agent(model=parts, architecture=architecture).run("Go.")
    second = [part for part, _ in parts.seen][4:-1]
    assert (second[:2] == [PROPOSER, PROPOSER]) is parallel
    assert sorted(second) == sorted([PROPOSER, JUDGE, JUDGE, JUDGE] * 2)


class So(BaseModel):
    so: int


async def test_the_answer_may_be_typed() -> None:
    parts = Parts({PROPOSER: "1. t", JUDGE: "score: 1", WRITER: ["words", '{"so": 1}'], "": '{"so": 2}'})
    agent = Agent(model=parts, architecture="tree-of-thoughts", output_schema=So)
    assert (await agent.run("Go.")).parsed == So(so=1)
    assert "JSON" not in parts.shown(PROPOSER)


def test_numbers_that_make_no_sense_are_refused() -> None:
    wrong: dict[str, Any] = {"branch_factor": 0, "max_depth": 0, "beam_width": -1, "min_score": 2}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=rf"TreeOfThoughts\({name}\)={value}"):
            TreeOfThoughts(**{name: value})
