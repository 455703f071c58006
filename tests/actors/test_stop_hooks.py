"""Stop hooks: the first that says something sends the run on, in the same conversation, and not for ever."""

from typing import Any

import pytest
from pydantic import BaseModel
from scripts import Script, turn
from thinking import Parts

from treadle import Agent, Event, RunError, RunState, StopContext, StopHookResult, Team, Tuning, tool
from treadle.architecture import Reflexion, RouterRoute
from treadle.team import run_architecture


def wants(words: str) -> Any:
    """A hook that wants these words in the answer."""

    def hook(context: StopContext) -> str | None:
        return None if words in context.output else f"Say {words}."

    return hook


def agent(script: Script, *hooks: Any, **more: Any) -> Agent:
    return Agent("You answer.", model=script.model, stop_hooks=list(hooks), **more)


async def test_a_hook_that_objects_is_heard_as_a_turn_of_the_user_in_the_same_conversation() -> None:
    script = Script("one", "one and two")
    result = await agent(script, wants("two")).run("Count.")
    assert (result.state, result.output, result.turns) == (RunState.COMPLETED, "one and two", 2)
    assert [(message.role, message.content) for message in script.asked[-1][1:]] == [
        ("user", "Count."),
        ("assistant", "one"),
        ("user", "Say two."),
    ]


async def test_the_first_hook_that_says_something_wins_and_the_others_are_asked_again() -> None:
    asked: list[str] = []

    async def first(context: StopContext) -> StopHookResult | None:
        asked.append(f"first {context.iteration}")
        return StopHookResult("Say two.", reason="two is missing") if "two" not in context.output else None

    def second(context: StopContext) -> str | None:
        asked.append(f"second {context.iteration}")
        return "Say three." if "three" not in context.output else None

    result = await agent(Script("1", "two", "two three"), first, second).run("Count.")
    assert result.output == "two three"
    assert asked == ["first 0", "first 1", "second 1", "first 2", "second 2"]


async def test_a_hook_sees_the_run_that_is_about_to_end() -> None:
    seen: list[StopContext] = []

    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "a cat"

    asking = agent(Script(turn("look"), "It is a cat."), seen.append, tools=[look], name="seer")
    await asking.run("What is it?", user_id="ann", session_id="s")
    (context,) = seen
    assert (context.agent, context.user_id, context.session_id, context.turns) == ("seer", "ann", "s", 2)
    assert (context.prompt, context.output, context.plan) == ("What is it?", "It is a cat.", None)
    assert [message.role for message in context.messages] == ["user", "assistant", "tool", "assistant"]
    assert context.usage.input_tokens == 200


async def test_hooks_that_are_never_content_end_the_run_as_interrupted() -> None:
    script = Script("no")
    result = await agent(script, wants("yes"), tuning=Tuning(max_stop_hook_iterations=2)).run("Agree.")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "stop_hook_iterations_exhausted")
    assert (result.output, script.calls) == ("no", 3)
    assert (await agent(Script("no"), wants("yes")).run("Agree.")).turns == 16


async def test_hooks_of_tuning_are_asked_where_the_agent_has_none_of_its_own() -> None:
    tuning = Tuning(stop_hooks=[wants("two")], max_stop_hook_iterations=0)
    assert (await Agent(model=Script("one").model, tuning=tuning).run("Count.")).interrupted
    assert not (await Agent(model=Script("one").model, tuning=tuning, stop_hooks=[]).run("Count.")).interrupted


async def test_what_a_hook_said_is_an_event() -> None:
    def wants_more(context: StopContext) -> StopHookResult | None:
        return StopHookResult("More.", reason="too short") if context.iteration == 0 else None

    events: list[Event] = [event async for event in agent(Script("a", "b"), wants_more).stream("Go.")]
    said = [event.payload["value"] for event in events if event.payload.get("name") == "stop_hook.said"]
    assert said == [{"hook": "wants_more", "message": "More.", "reason": "too short"}, None]
    assert events[-1].payload["output"] == "b"


def raises(context: StopContext) -> str | None:
    raise OSError("no such file")


def says(what: Any) -> Any:
    def hook(context: StopContext) -> Any:
        return what

    return hook


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (raises, "stop hook 'raises' raised OSError: no such file"),
        (says(7), "stop hook 'hook' returned 7; it returns None, a text, or StopHookResult"),
        (says(" "), "stop hook 'hook' returned ' '; it returns"),
    ],
)
async def test_a_hook_that_raises_or_says_nothing_fails_the_run_by_its_name(hook: Any, why: str) -> None:
    with pytest.raises(RunError, match=why):
        await agent(Script("a"), hook).run("Go.")


class Answer(BaseModel):
    words: list[str]


async def test_a_typed_answer_is_corrected_after_the_hooks_are_content() -> None:
    script = Script("one", "two", '{"words": ["two"]}')
    result = await agent(script, wants("two"), output_schema=Answer).run("Count.")
    assert result.parsed == Answer(words=["two"])
    assert script.told[:2] == ["Count.", "Say two."]
    assert "cannot be used" in script.told[-1]


async def test_an_answer_without_words_is_none_that_a_provider_would_refuse() -> None:
    script = Script("", "two")
    await agent(script, wants("two")).run("Count.")
    assert script.asked[-1][-2].content == "(nothing)"


async def test_hooks_stand_around_any_architecture() -> None:
    parts = Parts({"judge of the answer": "score: 1", "": ["one", "two"]})
    result = await Agent(model=parts, stop_hooks=[wants("two")], architecture=Reflexion()).run("Count.")
    assert (result.output, result.turns) == ("two", 4)
    assert [message.content for message in parts.messages("")[-3:]] == ["Count.", "one", "Say two."]

    worker = Script("one", "two")
    desk = Script("route: sums")
    team = Team.router(
        [RouterRoute("sums", Agent(model=worker.model, name="sums"))], model=desk.model, stop_hooks=[wants("two")]
    )
    assert (await team.run("Count.")).output == "two"
    assert worker.told == ["Count.", "Say two."]


async def test_an_agent_that_is_asked_by_another_has_its_own_hooks() -> None:
    asked = agent(Script("one", "two"), wants("two"), name="counter")

    async def asks(steps: Any) -> str:
        return str((await steps.agent(asked, "Count.")).output)

    assert (await run_architecture(asks, "Go.", model="echo")).output == "two"
