"""Plan-and-Execute: one call for the plan, one a step, one for the answer; and plans that are none, or too long."""

import json

import pytest
from pydantic import BaseModel
from thinking import Parts

from treadle import Agent, ConfigError
from treadle.actors.strategies.plan_and_execute import PlanAndExecute, plan_in

PLANNER, EXECUTOR, WRITER = "plan the work", "You carry out a plan", "steps of your plan"


def model(plan: str) -> Parts:
    return Parts({PLANNER: plan, EXECUTOR: ["r1", "r2", "r3"], WRITER: "so"})


async def test_a_plan_of_three_steps_takes_five_calls() -> None:
    parts = model('["look", "think", "write"]')
    result = await Agent("You plan.", model=parts, architecture="plan-and-execute").run("Go.")
    assert (result.output, dict(parts.calls)) == ("so", {PLANNER: 1, EXECUTOR: 3, WRITER: 1})
    assert "Result of step 2:\nr2\n\nCarry out step 3: write" in parts.shown(EXECUTOR)
    assert "Result of step 3:\nr3" in parts.shown(WRITER)


async def test_a_plan_of_a_thousand_steps_is_cut_and_the_answer_is_told_so() -> None:
    parts = model(json.dumps([f"step {number}" for number in range(1000)]))
    agent = Agent(model=parts, architecture="plan-and-execute")
    made = [event.payload["value"] async for event in agent.stream("Go.") if event.payload.get("name") == "plan.made"]
    reason = "the plan has 1000 steps, of which only the first 8 are carried out"
    assert [(len(each["steps"]), each["asked_for"], each["reason"]) for each in made] == [(8, 1000, reason)]
    assert parts.total == 1 + 8 + 1
    assert reason in parts.shown(WRITER)


@pytest.mark.parametrize("plan", ["I would rather not.", "[]", ""])
async def test_without_a_plan_it_answers_by_itself_and_says_why(plan: str) -> None:
    parts = model(plan)
    result = await Agent(model=parts, architecture=PlanAndExecute(max_steps=3)).run("Go.")
    assert (result.output, parts.total) == ("so", 2)
    assert (result.state, result.error) == ("degraded", "plan:none: the planner gave no list of steps")
    assert "the planner gave no list of steps" in parts.shown(WRITER)


@pytest.mark.parametrize(
    "reply",
    [
        '["a", "b"]',
        'Here:\n```json\n["a", "b"]\n```',
        '{"goal": 1, "steps": ["a", "b"]}',
        "Plan:\n1. a\n2. b",
        "- a\n- b",
    ],
)
def test_a_plan_is_read_from_what_models_write(reply: str) -> None:
    assert plan_in(reply) == ["a", "b"]


class So(BaseModel):
    so: int


async def test_the_answer_may_be_typed_and_the_parts_be_played_by_other_models() -> None:
    planner, executor = Parts({"": '["a"]'}, "planner"), Parts({"": "r"}, "executor")
    writer = Parts({WRITER: ["words"], "": '{"so": 1}'}, "writer")
    architecture = PlanAndExecute(planner_model=planner, executor_model=executor, synthesizer_model=writer)
    own = Parts({"": '{"so": 2}'})
    result = await Agent(model=own, architecture=architecture, output_schema=So).run("Go.")
    assert result.parsed == So(so=2)  # corrections are the agent's own model's
    assert (planner.total, executor.total, writer.total, own.total) == (1, 1, 1, 1)
    assert "JSON" not in executor.shown("")


def test_a_plan_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"PlanAndExecute\(max_steps\)=0"):
        PlanAndExecute(max_steps=0)
