"""Architectures that are cut after each of their events: whoever goes on ends the same and asks nothing again."""

from collections.abc import Callable, Sequence

import pytest
from lives import lives
from thinking import (
    CALLS,
    CRITIC,
    EXECUTOR,
    JUDGE,
    PROPOSER,
    REFINER,
    REFLECTOR,
    SCORER,
    SOLVER,
    STEPS,
    SYNTHESIZER,
    WRITER,
    Parts,
    asks_for,
)

from treadle import Agent, Message, ModelReply, tool
from treadle.actors.strategies import PlanAndExecute, Reflexion, SelfRefine, TreeOfThoughts
from treadle.actors.strategies.architecture import GivenArchitecture
from treadle.events.model_step import ModelCompleted
from treadle.events.tool_step import ToolCompleted

PLAN = (
    '[{"id": "E1", "tool": "look", "args": {"where": "a"}}, {"id": "E2", "tool": "look", "args": {"where": "b"}}, '
    '{"id": "E3", "tool": "look", "args": {"where": "#E1 and #E2"}}]'
)


def of(text: str) -> Callable[[Sequence[Message]], str]:
    """Says how much it was shown, which a replay shows again."""
    return lambda messages: f"{text} after {sum(len(message.content) for message in messages)}"


def looks(messages: Sequence[Message]) -> str | ModelReply:
    return "a cat" if messages[-1].role == "tool" else asks_for("look", where="a")


def reviews(messages: Sequence[Message]) -> str:
    return "no issues" if "twice" in messages[-2].content else "- say it twice"


def judges(messages: Sequence[Message]) -> str:
    return "score: 0.9" if "lesson" in messages[-2].content else "score: 0.2"


def solves(messages: Sequence[Message]) -> str:
    return "with the lesson" if "Count them." in messages[0].content else "without"


def model() -> Parts:
    """Plays all parts of all of them, as functions of what it is shown."""
    return Parts(
        {
            CRITIC: reviews,
            REFINER: of("twice"),
            JUDGE: judges,
            REFLECTOR: "Count them.",
            PROPOSER: lambda messages: f"1. a{len(messages)}\n2. b{len(messages)}",
            SCORER: lambda messages: f"score: 0.{len(messages[-2].content) % 10}",
            WRITER: of("thought"),
            STEPS: '["one", "two"]',
            EXECUTOR: of("result"),
            SYNTHESIZER: of("answer"),
            CALLS: PLAN,
            SOLVER: solves,
            "": looks,
        }
    )


class Notes:
    """A store that a crash leaves as it was."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    async def add(self, user_id: str, text: str) -> None:
        self.kept = [*dict.fromkeys([*self.kept, text])]

    async def search(self, user_id: str, prompt: str, k: int) -> list[str]:
        return self.kept[:k]


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(SelfRefine, id="SelfRefine of ReAct"),
        pytest.param(lambda: Reflexion("rewoo"), id="Reflexion of ReWOO"),
        pytest.param(lambda: Reflexion("rewoo", lesson_store=Notes()), id="Reflexion with a store"),
        pytest.param(lambda: Reflexion(SelfRefine("plan-and-execute"), 2), id="Reflexion of SelfRefine"),
        pytest.param(lambda: TreeOfThoughts(2, 2), id="TreeOfThoughts"),
        pytest.param(PlanAndExecute, id="PlanAndExecute"),
        pytest.param(lambda: "rewoo", id="ReWOO"),
    ],
)
async def test_a_run_that_is_cut_anywhere_ends_as_it_would_have_and_asks_nothing_twice(
    architecture: Callable[[], GivenArchitecture],
) -> None:
    played: list[Parts] = []
    looked: list[list[str]] = []

    def make() -> Agent:
        seen: list[str] = []

        @tool(read_only=True)
        async def look(where: str) -> str:
            """Look somewhere."""
            seen.append(where)
            return f"a cat in {where}"

        played.append(model())
        looked.append(seen)
        return Agent("You look.", model=played[-1], tools=[look], architecture=architecture(), memory=True, name="desk")

    ends: list[tuple[str, dict[str, str]]] = []
    async for life in lives(make, "What is in the garden?"):
        ends.append((life.result.output, life.blocks))
        assert life.result.turns == played[0].total
        assert played[-1].total == played[0].total - life.told_of(ModelCompleted)
        assert len(looked[-1]) == len(looked[0]) - life.told_of(ToolCompleted)
    assert ends == [ends[0]] * len(ends)
    assert len(ends) > 2 * played[0].total


async def test_a_lesson_is_written_into_the_users_memory_once_wherever_the_run_is_cut() -> None:
    def make() -> Agent:
        return Agent(model=model(), architecture=Reflexion("plan-and-execute"), memory=True, name="desk")

    # Two of its three attempts fail, and teach the same.
    async for life in lives(make, "What is in the garden?"):
        assert life.blocks == {"reflexion_lessons": "- Count them."}


async def test_what_was_recalled_stays_what_it_was_and_a_lesson_is_kept_once() -> None:
    notes = Notes()
    outputs: list[str] = []

    def make() -> Agent:
        return Agent(model=model(), architecture=Reflexion("plan-and-execute", lesson_store=notes), name="desk")

    async for life in lives(make, "What is in the garden?"):
        recalled = [each for each in life.told if getattr(each.event, "name", "") == "reflexion.recalled"]
        if recalled or not life.told:
            outputs.append(life.result.output)  # of those that were not told, the store had learned meanwhile
    assert len(outputs) > 10
    assert len(set(outputs)) == 1
    assert notes.kept == ["Count them."]
