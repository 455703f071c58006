"""What models send as a plan is read as what it means, and refused where it means nothing."""

from typing import Any

import pytest

from treadle.actors.plan_drafts import plan_in
from treadle.actors.tool import BadArguments
from treadle.events.plan import LivingPlanStep

STEPS = [LivingPlanStep("build", "done", "it builds"), LivingPlanStep("test", "doing"), LivingPlanStep("ship")]


@pytest.mark.parametrize(
    "given",
    [
        {
            "steps": [
                {"description": "build", "status": "done", "finding": "it builds"},
                {"description": "test", "status": "doing"},
                {"description": "ship", "status": "todo"},
            ]
        },
        {
            "plan": [
                {"title": "build", "status": "completed", "result": "it builds"},
                {"step": "test", "status": "in-progress"},
                "ship",
            ]
        },
        {
            "todos": '[{"content": "build", "state": "Finished", "notes": "it builds"},'
            ' {"task": "test", "status": "In Progress"}, {"name": "ship", "status": null}]'
        },
        {"steps": {"steps": [{"text": "build", "status": "ok", "evidence": "it builds"}, "2. [~] test", "- [ ] ship"]}},
    ],
)
def test_a_plan_in_other_words_is_the_same_plan(given: dict[str, Any]) -> None:
    assert list(plan_in(given).steps) == STEPS


def test_a_text_has_a_step_in_each_line() -> None:
    steps = plan_in({"steps": "- [x] build\n\n* test\n3) [-] ship it\n[>] tell them"}).steps
    assert [(step.description, step.status) for step in steps] == [
        ("build", "done"),
        ("test", "todo"),
        ("ship it", "skipped"),
        ("tell them", "doing"),
    ]


def test_one_step_need_not_stand_in_a_list() -> None:
    assert plan_in({"steps": {"title": "build"}}).steps == (LivingPlanStep("build"),)
    assert plan_in({"goal": " a release ", "steps": "build"}).goal == "a release"


@pytest.mark.parametrize("given", ["look#1, look#2", ["look#1", " look#2 "]])
def test_calls_are_a_list_or_a_text(given: Any) -> None:
    (step,) = plan_in({"steps": [{"description": "a", "status": "done", "verified_by": given}]}).steps
    assert step.verified_by == ("look#1", "look#2")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "steps are missing"),
        ({"_invalid": "{steps"}, "the arguments are not a JSON object"),
        ({"steps": 7}, "steps must be a list, not 7"),
        ({"steps": ["a", 7]}, "step 2 must be an object"),
        ({"steps": [{"status": "done"}]}, "step 1 has no description"),
        ({"steps": [{"description": "  "}]}, "step 1 has no description"),
        ({"steps": [{"description": "a", "status": "perhaps"}]}, "status 'perhaps'; there are: todo, doing, done"),
        ({"steps": [{"description": "a", "verified_by": [7]}]}, "verified_by of step 1 must be a list of calls"),
        ({"steps": [{"description": "a", "finding": 7}]}, "finding of step 1 must be a text"),
        ({"steps": ["a"], "goal": 7}, "goal must be a text"),
    ],
)
def test_what_means_nothing_is_refused_with_the_step(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadArguments, match=why):
        plan_in(given)
