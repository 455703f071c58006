"""Quality gates: the evaluator decides, its critique is fed back, and what fails is never an accepted answer."""

from typing import Any

import pytest
from pydantic import BaseModel
from scripts import Script
from thinking import Parts

from treadle import (
    Agent,
    ConfigError,
    Event,
    FunctionModel,
    QualityGate,
    QualityResult,
    RunError,
    RunState,
    RunUntil,
    StopContext,
    Team,
)
from treadle.architecture import Reflexion, RouterRoute

CRITERIA = ["It has a rhyme.", "It has two lines."]


def gate(*verdicts: str, **how: Any) -> QualityGate:
    return QualityGate(CRITERIA, evaluator=Parts({"": list(verdicts)}), **how)


def agent(script: Script, quality: Any, **more: Any) -> Agent:
    return Agent("You write poems.", model=script.model, quality=quality, **more)


async def test_the_critique_of_an_answer_that_fails_is_what_the_model_is_told_next() -> None:
    script = Script("one line", "two lines")
    result = await agent(script, gate("FAIL\n- a second line", "PASS")).run("A poem.")
    assert (result.state, result.output) == (RunState.COMPLETED, "two lines")
    mend = "Your answer did not pass:\n- a second line\n\nMend that, and give the whole answer anew."
    assert script.told == ["A poem.", mend]


async def test_the_criteria_reach_the_model_and_the_evaluator() -> None:
    script, evaluator = Script("one line"), Parts({"": "PASS"})
    await agent(script, QualityGate(CRITERIA, evaluator=evaluator)).run("A poem.")
    listed = "- It has a rhyme.\n- It has two lines."
    assert script.asked[0][0].content == f"You write poems.\n\nYour answer will be judged by these criteria:\n{listed}"
    assert evaluator.messages("")[-1].content == (
        f"The criteria:\n{listed}\n\nWhat was asked for:\nA poem.\n\nThe answer:\none line\n\nDoes it meet them?"
    )


@pytest.mark.parametrize("verdict", ["FAIL\nno rhyme", "I like it.", "", "Passable, but no rhyme"])
async def test_an_answer_that_never_passes_ends_the_run_as_interrupted(verdict: str) -> None:
    script = Script("one", "two", "three")
    result = await agent(script, gate(verdict, max_retries=2)).run("A poem.")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "quality:failed")
    assert (result.output, script.calls) == ("three", 3)


async def test_what_comes_of_an_answer_that_fails_is_for_the_gate_to_say() -> None:
    async def end(on_fail: Any) -> Any:
        return await agent(Script("one", "two"), gate("FAIL\nno rhyme", on_fail=on_fail)).run("A poem.")

    reported = await end("report")
    assert (reported.state, reported.interruption_reason) == (RunState.INTERRUPTED, "quality:failed")
    assert (reported.output, reported.answered) == ("one", False)
    went_out = await end("continue")
    assert (went_out.state, went_out.output) == (RunState.DEGRADED, "one")
    assert went_out.error == "the answer did not pass the quality gate: no rhyme"
    with pytest.raises(RunError, match="QualityFailed: the answer did not pass the quality gate: no rhyme"):
        await end("fail")


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        ("score: 0.8", RunState.COMPLETED),
        ("score: 0.79\nno rhyme", RunState.INTERRUPTED),
        ("PASS", RunState.INTERRUPTED),
    ],
)
async def test_with_a_threshold_the_score_decides(verdict: str, state: RunState) -> None:
    assert (await agent(Script("one"), gate(verdict, threshold=0.8, on_fail="report")).run("A poem.")).state == state


@pytest.mark.parametrize("verdict", ["PASS?", "PASS, nearly", "PASS/FAIL", "Passed the first of them"])
async def test_a_verdict_that_says_more_than_pass_lets_nothing_pass(verdict: str) -> None:
    result = await agent(Script("one"), gate(verdict, on_fail="report")).run("A poem.")
    assert result.interruption_reason == "quality:failed"


@pytest.mark.parametrize(
    ("says", "how", "state"),
    [
        (True, {}, RunState.COMPLETED),
        (False, {}, RunState.INTERRUPTED),
        (0.9, {"threshold": 0.8}, RunState.COMPLETED),
        (1, {"threshold": 0.8}, RunState.COMPLETED),
        (0.5, {"threshold": 0.8}, RunState.INTERRUPTED),
        (QualityResult(True), {}, RunState.COMPLETED),
        (QualityResult(False, "no rhyme", 0.1), {}, RunState.INTERRUPTED),
    ],
)
async def test_a_function_may_judge(says: Any, how: dict[str, Any], state: RunState) -> None:
    async def judges(context: StopContext) -> Any:
        return says

    quality = QualityGate(evaluator=judges, on_fail="report", **how)
    assert (await agent(Script("one"), quality).run("A poem.")).state == state


def raises(context: StopContext) -> bool:
    raise OSError("no such file")


def talks(context: StopContext) -> str:
    return "fine"


@pytest.mark.parametrize(
    ("judges", "why"),
    [
        (raises, "the evaluator of the quality gate raised OSError: no such file"),
        (talks, "the evaluator of the quality gate returned 'fine'"),
    ],
)
async def test_an_evaluator_that_raises_or_says_nothing_passes_nothing(judges: Any, why: str) -> None:
    with pytest.raises(RunError, match=why):
        await agent(Script("one"), QualityGate(evaluator=judges)).run("A poem.")


async def test_what_the_evaluator_found_is_an_event() -> None:
    events: list[Event] = [event async for event in agent(Script("a", "b"), gate("FAIL\nx", "PASS")).stream("Go.")]
    assert [event.payload["value"] for event in events if event.payload.get("name") == "quality.checked"] == [
        {"passed": False, "score": None, "critique": "x", "retries": 0},
        {"passed": True, "score": None, "critique": "", "retries": 1},
    ]


class Poem(BaseModel):
    lines: list[str]


async def test_a_run_that_a_limit_ends_after_it_passed_has_the_answer_and_not_the_verdict() -> None:
    made = agent(Script("words"), gate("PASS"), output_schema=Poem, max_turns=2)
    result = await made.run("A poem.")
    assert (result.interruption_reason, result.output) == ("max_turns", "words")


async def test_an_answer_has_to_pass_all_gates_at_once() -> None:
    script = Script("one", "two", "three")
    checker = FunctionModel(lambda messages, tools: "DONE" if "one" not in messages[-1].content else "NOT_DONE\nOne.")
    made = agent(script, gate("FAIL\nMore.", "PASS"), run_until=RunUntil("it is not one", checker=checker))
    assert (await made.run("Count.")).output == "three"


async def test_it_stands_around_any_architecture_and_team() -> None:
    parts = Parts({"judge of the answer": "score: 1", "": ["one", "two"]})
    made = Agent(model=parts, architecture=Reflexion(), quality=gate("FAIL\nMore.", "PASS"))
    assert (await made.run("Count.")).output == "two"
    worker = Script("one", "two")
    routes = [RouterRoute("sums", Agent(model=worker.model, name="sums"))]
    team = Team.router(routes, model=Script("route: sums").model, quality=gate("FAIL\nMore.", "PASS"))
    assert (await team.run("Count.")).output == "two"


def test_gates_are_made_in_other_words_too() -> None:
    assert QualityGate.criteria(["a"], threshold=0.5).wanted == ("a",)
    assert "what was asked for" in QualityGate.pass_fail().told
    made = Agent("You write.", model="echo", quality={"criteria": ["a"], "on_fail": "continue"})
    assert made.spec.instructions == "You write.\n\nYour answer will be judged by these criteria:\n- a"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "a QualityGate needs criteria, or a function as its evaluator"),
        ([], "a QualityGate needs criteria"),
        (["a", " "], "must be texts that say something"),
        ({"criteria": ["a"], "on_fails": "fail"}, "quality: unknown key 'on_fails'; did you mean 'on_fail'"),
        ({"criteria": ["a"], "on_fail": "cry"}, "on_fail.='cry'; there are: retry, fail, report, continue"),
        ({"criteria": ["a"], "threshold": 2}, "threshold.=2 is no score"),
        ({"criteria": ["a"], "max_retries": -1}, "max_retries.=-1; it must be a whole number, 0 or more"),
        ({"criteria": ["a"], "evaluator": 7}, "evaluator.=7 must be a model, the name of one, or a function"),
        (7, "quality=7 is no gate"),
    ],
)
def test_what_makes_no_gate_is_refused(given: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Agent(model="echo", quality=given)
