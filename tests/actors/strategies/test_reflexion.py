"""Reflexion: attempts until one is good enough; what was learned stays, and no score is made up."""

from collections.abc import Sequence
from typing import Any

import pytest
from members import Member
from pydantic import BaseModel
from thinking import EXECUTOR, STEPS, Parts, asks_for

from treadle import Agent, ConfigError, CorruptEvent, HashEmbedder, Memory, Message, ModelReply, RunState, tool
from treadle.actors.memory import MemoryPartitions
from treadle.actors.strategies.actor_critic import ActorCritic
from treadle.actors.strategies.plan_and_execute import PlanAndExecute
from treadle.actors.strategies.react import ReAct
from treadle.actors.strategies.reflexion import Reflexion
from treadle.actors.strategies.rewoo import ReWOO
from treadle.vectorstore import Chunk, InMemoryVectorStore

JUDGE, REFLECTOR = "judge of the answer", "look back on an attempt"


def model(judge: list[str] | str, answers: list[str] | str = "answer", lessons: list[str] | str = "Be brief.") -> Parts:
    return Parts({JUDGE: judge, REFLECTOR: lessons, "": answers})


async def values(agent: Agent, name: str) -> list[Any]:
    """What an agent's run recorded under a name."""
    return [event.payload["value"] async for event in agent.stream("Go.") if event.payload.get("name") == name]


async def test_a_good_first_attempt_takes_one_call_beside_it() -> None:
    parts = model("score: 0.8")
    result = await Agent(model=parts, architecture="reflexion").run("Go.")
    assert (result.output, parts.total) == ("answer", 2)


async def test_a_failed_attempt_leads_to_a_lesson_that_the_next_is_told() -> None:
    parts = model(["score: 0.2\nToo long.", "score: 0.9"], ["long", "short"])
    result = await Agent("You answer.", model=parts, architecture="reflexion").run("Go.")
    assert (result.output, parts.total) == ("short", 3 + 2)
    assert "Too long." in parts.shown(REFLECTOR)
    assert "- Be brief." in parts.shown("")


async def test_the_best_attempt_is_the_answer_when_none_is_good_enough() -> None:
    parts = model(["score: 0.3", "score: 0.7", "score: 0.5"], ["a", "b", "c"])
    result = await Agent(model=parts, architecture="reflexion").run("Go.")
    assert (result.output, parts.total) == ("b", 3 + 3 + 2)  # a lesson of the last attempt would serve nobody


async def test_an_evaluator_that_never_gives_a_score_interrupts_the_run_with_the_last_attempt() -> None:
    parts = model("Splendid!", ["a", "b", "c"])
    agent = Agent(model=parts, architecture="reflexion")
    scored = await values(agent, "reflexion.scored")
    assert [(each["score"], each["reason"]) for each in scored] == [(None, "the evaluator gave no score")] * 3
    assert parts.calls[""] == 3
    result = await Agent(model=model("Hm.", ["a", "b", "c"]), architecture="reflexion").run("Go.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "c")
    said = "reflexion:no_score: in 3 attempts the evaluator gave no score; last: 'Hm.'"
    assert result.interruption_reason == said


async def test_one_score_is_enough_for_a_verdict_and_the_attempt_that_has_it_is_the_answer() -> None:
    result = await Agent(model=model(["Hm.", "score: 0.1", "Hm."], ["a", "b", "c"]), architecture="reflexion").run(
        "Go."
    )
    assert (result.state, result.output) == (RunState.COMPLETED, "b")


async def test_an_attempt_that_its_architecture_gives_up_has_failed_and_the_next_is_made() -> None:
    critic = Member(lambda prompt: '{"score": 1}' if "BRIEF" in prompt else "Hm.")
    base = ActorCritic(Member(lambda prompt: "BRIEF" if "Be brief." in prompt else "bad").agent, critic.agent, 1)
    agent = Agent(model=model("score: 1"), architecture=Reflexion(base))
    scored = await values(agent, "reflexion.scored")
    assert [each["score"] for each in scored] == [0.0, 1.0]
    assert scored[0]["reason"].startswith("actor_critic:no_score: ")


async def test_when_every_attempt_is_given_up_the_run_ends_with_the_reason_and_the_output_of_the_last() -> None:
    base = ActorCritic(Member("draft").agent, Member("Hm.").agent, 1)
    result = await Agent(model=model("never asked"), architecture=Reflexion(base, 2)).run("Go.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "draft")
    assert result.interruption_reason.startswith("actor_critic:no_score: in 1 round the critic gave no score")


@pytest.mark.parametrize(("scores", "state"), [(["score: 0.3", "score: 1"], "completed"), (["score: 1"], "degraded")])
async def test_a_plan_that_was_cut_counts_only_where_its_attempt_is_the_answer(scores: list[str], state: str) -> None:
    plans = Parts({JUDGE: scores, REFLECTOR: "Plan less.", STEPS: ['["a", "b"]', '["a"]'], EXECUTOR: "x", "": "so"})
    result = await Agent(model=plans, architecture=Reflexion(PlanAndExecute(max_steps=1))).run("Go.")
    assert result.state == state


async def test_an_attempt_that_runs_out_of_turns_is_scored_zero_without_a_judge() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "a cat"

    def restless(messages: Sequence[Message]) -> str | ModelReply:
        return "a cat" if "Do not look twice." in messages[0].content else asks_for("look")

    parts = Parts({JUDGE: "score: 1", REFLECTOR: "Do not look twice.", "": restless})
    architecture = Reflexion(ReAct(max_turns=2))
    agent = Agent("You look.", model=parts, tools=[look], architecture=architecture)
    scored = await values(agent, "reflexion.scored")
    assert dict(parts.calls) == {"": 3, REFLECTOR: 1, JUDGE: 1}
    assert [(each["score"], each["reason"]) for each in scored] == [(0.0, "it ran out of turns"), (1.0, "")]
    assert "look(): a cat" in parts.shown(REFLECTOR)


async def test_a_run_without_any_answer_is_interrupted() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "a cat"

    parts = Parts({REFLECTOR: "Hm.", "": asks_for("look")})
    result = await Agent(model=parts, tools=[look], architecture=Reflexion(ReAct(max_turns=1), 2)).run("What is it?")
    assert (result.interrupted, result.interruption_reason) == (True, "max_turns")


async def test_the_runs_own_limit_ends_all_attempts_and_the_best_until_then_is_no_answer() -> None:
    agent = Agent(model=model("score: 0"), architecture="reflexion", max_turns=4)
    result = await agent.run("Go.")
    assert (result.turns, result.interruption_reason) == (4, "max_turns")


async def test_judge_and_reflector_know_the_conversation_and_not_the_lessons() -> None:
    parts = model(["score: 1", "score: 0", "score: 1"], ["Kiel", "Paris", "Lyon"])
    session = Agent("You know towns.", model=parts, architecture="reflexion").session("s")
    await session.run("Where?")
    await session.run("And then?")
    conversation = ["Where?", "Kiel", "And then?"]
    for part, last in ((JUDGE, "Lyon"), (REFLECTOR, "Paris")):
        assert [message.content for message in parts.messages(part)[1:-1]] == [*conversation, last]
        assert "Be brief." not in parts.messages(part)[0].content
    assert parts.messages("")[0].content == "You know towns.\n\nLessons from earlier attempts; heed them:\n- Be brief."


# --- lessons for later runs ---


class Notes:
    """A store in memory."""

    def __init__(self, *known: str) -> None:
        self.kept = {"ann": list(known)}
        self.asked: list[tuple[str, str, int]] = []

    async def add(self, user_id: str, text: str) -> None:
        self.kept.setdefault(user_id, []).append(text)

    async def search(self, user_id: str, prompt: str, k: int) -> list[str]:
        self.asked.append((user_id, prompt, k))
        return self.kept.get(user_id, [])[:k]


async def test_lessons_are_recalled_from_a_store_and_added_to_it_after_the_last_attempt_too() -> None:
    notes = Notes("Count first.")
    parts = model("score: 0", lessons=["One.", "Two."])
    await Agent(model=parts, architecture=Reflexion(max_attempts=2, lesson_store=notes)).run("Go.", user_id="ann")
    assert notes.asked == [("ann", "Go.", 5)]
    assert notes.kept == {"ann": ["Count first.", "One.", "Two."]}
    told = [messages[0].content for part, messages in parts.seen if part == ""]
    assert [text.count("\n- ") for text in told] == [1, 2]


async def test_lessons_are_kept_in_a_vector_store_by_user_and_once() -> None:
    store = InMemoryVectorStore(embedder=HashEmbedder())
    await store.add([Chunk("Go by train.", {"user_id": "ann"})])  # of another part of the program
    parts = model("score: 0", lessons=["Look at the map before you go.", "Ask twice.", "Ask twice.", "Ask twice."])
    agent = Agent(model=parts, architecture=Reflexion(max_attempts=2, lesson_store=store, top_k_lessons=1))
    await agent.run("Go by the map.", user_id="ann")
    await agent.run("Go by the map.", user_id="ann")
    assert await store.count() == 1 + 2
    recalled = "Lessons from earlier attempts; heed them:\n- Look at the map before you go."
    assert [messages[0].content for part, messages in parts.seen if part == ""][2] == recalled
    await agent.run("Go by the map.", user_id="bob")
    assert "map before" not in parts.messages("")[0].content


async def test_lessons_stand_in_a_block_of_the_users_memory_once_and_only_the_newest() -> None:
    parts = model("score: 0", lessons=["One.", "Two.", "Two.", "Three."])
    architecture = Reflexion(max_attempts=2, max_lessons=2)
    async with Agent(model=parts, architecture=architecture, memory=True) as agent:
        for _ in range(2):
            await agent.run("Go.", user_id="ann")
        assert await Memory(agent).working(user_id="ann") == {"reflexion_lessons": "- Two.\n- Three."}
        assert await Memory(agent).working(user_id="bob") == {}
    assert "<reflexion_lessons>\n- One.\n- Two." in parts.shown("")


async def test_a_memory_that_cannot_be_read_costs_a_run_the_place_for_its_lessons_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(self: MemoryPartitions, user_id: str) -> None:
        raise CorruptEvent("memory-ann", 3, 7, "its hash does not match")

    monkeypatch.setattr(MemoryPartitions, "state", broken)
    parts = model(["score: 0", "score: 1"])
    learned = await values(Agent(model=parts, architecture="reflexion", memory=True), "reflexion.learned")
    assert [(each["kept"], "event 3 of stream 'memory-ann'" in each["reason"]) for each in learned] == [("run", True)]
    assert "- Be brief." in parts.shown("")


async def test_a_reflector_that_says_nothing_teaches_nothing() -> None:
    parts = model(["score: 0", "score: 1"], lessons=" ")
    agent = Agent(model=parts, architecture="reflexion")
    assert await values(agent, "reflexion.learned") == [
        {"lesson": "", "kept": "", "reason": "the reflector said nothing"}
    ]


# --- nested ---


class Animal(BaseModel):
    name: str


async def test_attempts_may_be_plans_of_tool_calls_and_the_answer_typed() -> None:
    @tool(read_only=True)
    def look(where: str) -> str:
        """Look."""
        return f"a cat in {where}"

    plan = '[{"id": "E1", "tool": "look", "args": {"where": "the garden"}}]'
    parts = Parts(
        {
            "plan which tools": plan,
            "tools of your plan": ["no JSON", '{"name": "cat"}'],
            JUDGE: ["score: 0.1", "score: 1"],
            REFLECTOR: "Answer in JSON.",
        }
    )
    agent = Agent(model=parts, tools=[look], architecture=Reflexion("rewoo"), output_schema=Animal)
    result = await agent.run("What is it?")
    assert (result.parsed, parts.total) == (Animal(name="cat"), (2 + 1) * 2 + 1)
    assert "Answer in JSON." in parts.shown("plan which tools")


def test_tools_and_workers_of_the_base_are_its_own() -> None:
    @tool
    def look() -> str:
        """Look."""
        return "a cat"

    class Base:
        name = "base"
        tools = (look,)

        async def run(self, steps: object) -> str:
            return ""

        def declared_workers(self) -> dict[str, str]:
            return {"a": "worker"}

    made = Reflexion(Base())
    assert (made.tools, made.declared_workers()) == ((look,), {"a": "worker"})
    assert Reflexion(ReWOO()).tools == ()


def test_numbers_that_make_no_sense_are_refused() -> None:
    wrong: dict[str, Any] = {"max_attempts": 0, "threshold": 1.5, "top_k_lessons": 0, "max_lessons": True}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=rf"Reflexion\({name}\)={value}"):
            Reflexion(**{name: value})
    with pytest.raises(ConfigError, match="there is no architecture 'guess'"):
        Reflexion("guess")
