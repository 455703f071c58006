"""Self-Refine: the critic ends it, or the rounds do; a reply that says nothing spoils no answer."""

from collections.abc import Sequence

import pytest
from pydantic import BaseModel
from thinking import Parts, asks_for

from treadle import Agent, ConfigError, Message, ModelReply, RunResult, tool
from treadle.actors.strategies.self_refine import SelfRefine

CRITIC, REFINER = "reviewer of the answer", "being reviewed"


def model(critic: list[str] | str, refiner: list[str] | str = "better") -> Parts:
    return Parts({CRITIC: critic, REFINER: refiner, "": "first"})


async def answer(model: Parts, max_rounds: int = 3) -> RunResult:
    return await Agent("You write.", model=model, architecture=SelfRefine(max_rounds=max_rounds)).run("A poem.")


@pytest.mark.parametrize("review", ["no issues", "No issues.", "**No issues**\nIt is fine."])
async def test_a_happy_critic_takes_one_call_beside_the_answer(review: str) -> None:
    parts = model(review)
    result = await answer(parts)
    assert (result.output, parts.total, result.turns) == ("first", 2, 2)


async def test_each_review_with_issues_takes_two_calls() -> None:
    parts = model(["- too short", "- no issues with the rhyme, but too long", "no issues"], ["longer", "just right"])
    result = await answer(parts)
    assert (result.output, parts.total) == ("just right", 1 + 2 + 2 + 1)


async def test_a_critic_that_is_never_happy_is_asked_as_often_as_there_are_rounds() -> None:
    parts = model("- bad", ["a", "b", "c"])
    result = await answer(parts)
    assert (result.output, parts.total) == ("c", 1 + 2 * 3)
    assert (await answer(model("- bad", "a"), max_rounds=1)).turns == 3


async def test_the_refiner_sees_all_answers_and_reviews_and_the_critic_the_last_answer() -> None:
    parts = model(["- one", "- two", "no issues"], ["second", "third"])
    await answer(parts)
    talk = [message.content for message in parts.messages(REFINER)[1:]]
    assert talk == ["A poem.", "first", "- one", "second", "- two"]
    assert [message.content for message in parts.messages(CRITIC)[1:-1]] == ["A poem.", "third"]


@pytest.mark.parametrize(("critic", "refiner"), [("", "better"), ("- bad", " ")])
async def test_a_reply_that_says_nothing_ends_it_with_the_answer_before(critic: str, refiner: str) -> None:
    assert (await answer(model(critic, refiner))).output == "first"


async def test_how_it_ended_is_recorded() -> None:
    agent = Agent(model=model(""), architecture="self-refine")
    ended = [event.payload async for event in agent.stream("Go.") if event.payload.get("name") == "self_refine.ended"]
    assert [each["value"] for each in ended] == [{"rounds": 1, "reason": "the critic said nothing"}]


async def test_the_first_answer_may_take_tools_and_the_others_are_shown_none() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "a cat"

    def first(messages: Sequence[Message]) -> str | ModelReply:
        return "seen" if messages[-1].role == "tool" else asks_for("look")

    parts = Parts({CRITIC: ["- what?", "no issues"], REFINER: "a cat", "": first})
    result = await Agent("You look.", model=parts, tools=[look], architecture=SelfRefine("react")).run("What is it?")
    assert (result.output, parts.total) == ("a cat", 5)


class Poem(BaseModel):
    lines: list[str]


async def test_a_typed_answer_is_corrected_and_the_critic_is_not_held_to_the_type() -> None:
    parts = Parts(
        {
            "being reviewed": lambda messages: '{"lines": []}' if "cannot be used" in messages[-1].content else "words",
            CRITIC: ["- no lines", "no issues"],
            "": lambda messages: '{"lines": ["a"]}' if "cannot be used" in messages[-1].content else '{"lines": ["b"]}',
        }
    )
    result = await Agent(model=parts, architecture="self-refine", output_schema=Poem).run("A poem.")
    assert result.parsed == Poem(lines=["a"])
    assert "JSON" in parts.shown("being reviewed")
    assert "JSON" not in parts.shown(CRITIC)


async def test_critic_and_refiner_may_be_other_models() -> None:
    critic, refiner = Parts({"": ["- bad", "no issues"]}, "critic"), Parts({"": "better"}, "refiner")
    how = SelfRefine(critic_model=critic, refiner_model=refiner)
    assert (await Agent(model=Parts({"": "first"}), architecture=how).run("Go.")).output == "better"
    assert (critic.total, refiner.total) == (2, 1)


async def test_the_models_of_its_parts_may_be_names_and_anything_else_is_refused() -> None:
    parts = Parts({CRITIC: "no issues", "": "first"})
    agent = Agent(model=parts, architecture=SelfRefine(max_rounds=1, critic_model="echo"))
    assert (await agent.run("Go.")).turns == 3  # the echo found something to say
    assert parts.calls[CRITIC] == 0
    with pytest.raises(ConfigError, match=r"SelfRefine\(critic_model\)=7 is no model"):
        SelfRefine(critic_model=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_rounds_are_counted_from_one() -> None:
    with pytest.raises(ConfigError, match=r"SelfRefine\(max_rounds\)=0"):
        SelfRefine(max_rounds=0)
