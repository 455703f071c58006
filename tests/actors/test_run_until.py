"""`run_until`: another model says whether the condition holds; a run that stops for any other reason is interrupted."""

from collections.abc import Sequence
from typing import Any

import pytest
from scripts import Checker, Script, turn

from treadle import (
    Agent,
    ConfigError,
    Event,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    RunError,
    RunState,
    RunUntil,
    StopContext,
    Team,
    ToolSpec,
    Usage,
    tool,
)
from treadle.actors.run_until import verdict_in
from treadle.architecture import RouterRoute


def agent(script: Script, checker: Checker, *, condition: str = "the tests pass", **how: Any) -> Agent:
    until = RunUntil(condition, checker=checker.model, **how)
    return Agent("You work.", model=script.model, run_until=until)


async def test_a_run_goes_on_until_the_checker_says_done_and_is_told_what_is_missing() -> None:
    script, checker = Script("red", "green"), Checker(green="DONE", red="NOT_DONE\nOne test fails.")
    result = await agent(script, checker).run("Fix it.")
    assert (result.state, result.output, script.calls, checker.calls) == (RunState.COMPLETED, "green", 2, 2)
    assert script.told == [
        "Fix it.",
        "This is not done yet: One test fails.\n\nGo on until this holds: the tests pass",
    ]


async def test_the_checker_sees_condition_question_tool_results_and_answer_and_nothing_that_it_should_believe() -> None:
    @tool(read_only=True)
    def run_tests() -> str:
        """Run the tests."""
        return "2 passed"

    script, checker = Script(turn("run_tests"), "green"), Checker(green="DONE")
    asking = agent(script, checker).with_tool(run_tests)
    await asking.run("Fix it.")
    assert checker.asked == [
        "The condition:\nthe tests pass\n\nWhat was asked for:\nFix it.\n\nWhat tools said:\n- run_tests: 2 passed\n\n"
        "The answer:\ngreen\n\nDoes the condition hold?"
    ]


async def test_without_a_checker_the_agents_own_model_is_asked() -> None:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        return "DONE" if "You check whether" in messages[0].content else "42"

    result = await Agent("You work.", model=FunctionModel(answer), run_until="there is a number").run("How many?")
    assert (result.output, result.turns) == ("42", 2)


async def test_after_as_many_passes_as_there_may_be_it_is_interrupted() -> None:
    script, checker = Script("1", "2", "3", "4"), Checker()
    result = await agent(script, checker, max_iterations=3).run("Fix it.")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "run_until:max_iterations")
    assert (result.output, script.calls, checker.calls) == ("3", 3, 3)


async def test_passes_that_do_and_say_the_same_are_no_progress() -> None:
    script, checker = Script("1", "2"), Checker()
    result = await agent(script, checker, max_no_progress=2).run("Fix it.")
    assert result.interruption_reason == "run_until:no_progress"
    assert (script.calls, checker.calls) == (4, 3)  # 1, 2, 2 and 2: the last of them is not checked any more


async def test_the_same_words_after_other_calls_of_tools_are_progress() -> None:
    @tool(read_only=True)
    def look(page: int) -> str:
        """Look."""
        return f"page {page}"

    script = Script(*(reply for page in range(4) for reply in (turn("look", page=page), "I looked.")))
    asking = agent(script, Checker(), max_no_progress=1, max_iterations=4).with_tool(look)
    assert (await asking.run("Look.")).interruption_reason == "run_until:max_iterations"


async def test_a_run_is_not_sent_on_once_it_has_cost_what_it_may() -> None:
    class Priced(FunctionModel):
        def cost_usd(self, usage: Usage) -> float:
            return usage.output_tokens / 100

    checker = Checker()
    model = Priced(lambda messages, tools: ModelReply("x", usage=Usage(output_tokens=10, cost_usd=0.1)))
    until = RunUntil("it is right", checker=checker.model, max_cost_usd=0.25, max_no_progress=9)
    result = await Agent(model=model, run_until=until).run("Go.")
    assert result.interruption_reason == "run_until:max_cost"
    assert (result.turns - checker.calls, checker.calls) == (3, 2)


@pytest.mark.parametrize(
    ("probability", "output", "checked"), [(0.75, "1", 0), (0.25, "4", 0), (0.5, "4", 3), (0, "4", 0), (1, "1", 0)]
)
async def test_a_decider_that_is_sure_spares_the_checker(probability: float, output: str, checked: int) -> None:
    seen: list[int] = []

    def decide(context: StopContext) -> float:
        seen.append(context.iteration)
        return 1 if context.output == "4" else probability

    checker = Checker()
    result = await agent(Script("1", "2", "3", "4"), checker, decider=decide).run("Count.")
    assert (result.output, checker.calls) == (output, checked)
    assert seen == list(range(int(output)))


class Decides:
    """A decider that is an object."""

    def __init__(self, says: Any) -> None:
        self._says = says

    async def decide(self, context: StopContext) -> Any:
        return self._says


@pytest.mark.parametrize("says", [1.5, -0.1, float("nan"), "yes", None])
async def test_a_decider_that_gives_no_probability_fails_the_run(says: Any) -> None:
    with pytest.raises(RunError, match=r"the decider of run_until returned .*; it returns a number from 0 to 1"):
        await agent(Script("1"), Checker(), decider=Decides(says)).run("Go.")


async def test_a_decider_may_be_an_object_and_asynchronous() -> None:
    for says in (0.9, True):
        assert (await agent(Script("1"), Checker(), decider=Decides(says)).run("Go.")).output == "1"


NO_YES = (
    "DONE? No.",
    "DONE?",
    "DONE: NOT_DONE",
    "DONE NOT",
    "DONE - not all tests pass",
    "[ ] DONE",
    "DONE, but for the tests",
)


@pytest.mark.parametrize(
    ("text", "met", "reason"),
    [
        ("DONE", True, ""),
        ("**DONE**\nIt is there.", True, "It is there."),
        ("Done.", True, ""),
        ("**DONE**.\nIt is there.", True, "It is there."),
        ("# Done!", True, ""),
        ("DONE:\nIt is there.", True, "It is there."),
        *((said, False, f"the checker said neither DONE nor NOT_DONE, but {said!r}") for said in NO_YES),
        ("NOT_DONE", False, "the checker did not say what is missing"),
        ("NOT DONE - the link is dead", False, "the link is dead"),
        ("**NOT_DONE**\n- one\n- two", False, "- one - two"),
        ("Done with the check: two tests fail", False, "the checker said neither DONE nor NOT_DONE, but 'Done with"),
        ("I think it is DONE", False, "the checker said neither DONE nor NOT_DONE, but 'I think it is DONE'"),
        ("", False, "the checker said neither DONE nor NOT_DONE, but nothing"),
    ],
)
def test_a_checker_that_does_not_say_done_has_not_seen_that_it_is(text: str, met: bool, reason: str) -> None:
    verdict = verdict_in(text)
    assert verdict.met == met
    assert verdict.reason.startswith(reason)


async def test_what_the_checker_said_is_an_event_and_the_model_is_told() -> None:
    script, checker = Script("red", "green"), Checker(green="DONE", red="Hm.")
    events: list[Event] = [event async for event in agent(script, checker).stream("Go.")]
    checked = [event.payload["value"] for event in events if event.payload.get("name") == "run_until.checked"]
    why = "the checker said neither DONE nor NOT_DONE, but 'Hm.'"
    assert checked == [
        {"iteration": 1, "met": False, "by": "checker", "reason": why},
        {"iteration": 2, "met": True, "by": "checker", "reason": ""},
    ]
    assert why in script.told[-1]


async def test_a_run_that_a_limit_ends_says_so_and_its_output_is_no_verdict() -> None:
    script, checker = Script("1", "2", "3"), Checker()
    until = RunUntil("it is right", checker=checker.model)
    result = await Agent(model=script.model, run_until=until, max_turns=2).run("Go.")
    assert (result.interruption_reason, result.output) == ("run_until:max_turns", "1")
    budget = Limits(max_tokens=1200)
    result = await Agent(model=script.model, run_until=until, budget=budget).run("Go.")
    assert (result.interruption_reason, result.output) == ("run_until:budget:max_tokens", "1")


async def test_a_checker_that_fails_fails_the_run() -> None:
    def broken(messages: Any, tools: Any) -> str:
        raise ValueError("no idea")

    with pytest.raises(RunError, match="no idea"):
        await Agent(model="echo", run_until=RunUntil("it is right", checker=FunctionModel(broken))).run("Go.")


async def test_hooks_come_first_and_the_checker_is_not_paid_for_what_they_refuse() -> None:
    script, checker = Script("one", "two"), Checker(two="DONE")
    until = RunUntil("it counts", checker=checker.model)

    def hook(context: StopContext) -> str | None:
        return None if context.output == "two" else "Say two."

    result = await Agent(model=script.model, run_until=until, stop_hooks=[hook]).run("Count.")
    assert (result.output, checker.calls) == ("two", 1)


async def test_a_team_goes_on_until_it_holds() -> None:
    worker, checker = Script("red", "green"), Checker(green="DONE")
    team = Team.router(
        [RouterRoute("fixing", Agent(model=worker.model, name="fixer"))],
        model=Script("route: fixing").model,
        run_until=RunUntil("the tests pass", checker=checker.model),
    )
    result = await team.run("Fix it.")
    assert (result.output, worker.calls, checker.calls) == ("green", 2, 2)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"condition": ""}, "run_until='' is no condition"),
        (
            {"condition": "x", "max_iterations": 0},
            r"RunUntil\(max_iterations\)=0; it must be a whole number, 1 or more",
        ),
        ({"condition": "x", "max_no_progress": -1}, r"RunUntil\(max_no_progress\)=-1"),
        ({"condition": "x", "max_cost_usd": -1}, r"RunUntil\(max_cost_usd\)=-1 must be an amount"),
        ({"condition": "x", "checker": 7}, r"RunUntil\(checker\)=7 is no model"),
        ({"condition": "x", "decider": 7}, r"RunUntil\(decider\)=7 must be a function"),
        ({"condition": "x", "checker_prompt": " "}, r"RunUntil\(checker_prompt\) is empty"),
        ({"condition": "x", "max_iteration": 3}, "unknown key 'max_iteration'; did you mean 'max_iterations'"),
        ({"checker": "echo"}, "run_until='' is no condition"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_given(how: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Agent(model="echo", run_until=how)
    with pytest.raises(ConfigError, match="run_until=7 is no condition"):
        Agent(model="echo", run_until=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
