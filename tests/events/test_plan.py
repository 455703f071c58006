"""The plan of a run: written whole, with something to show for each step that becomes done."""

import pytest

from treadle.events.event import Event
from treadle.events.plan import (
    LivingPlan,
    LivingPlanStep,
    PlanOpened,
    PlanWritten,
    check_plan,
    open_plan,
    unused_calls,
    write_plan,
)
from treadle.events.plan_evidence import PlanRefused
from treadle.events.run import Run, evolve
from treadle.events.tool_step import ToolCompleted, ToolFailed, ToolRequested


def fold(*events: Event) -> Run:
    state = Run()
    for event in events:
        evolve(state, event)
    return state


def call(slot: int, tool: str, *, fails: bool = False, named: str = "") -> list[Event]:
    call_id = f"r1_{slot}_0"
    ended = ToolFailed(call_id=call_id, error="no") if fails else ToolCompleted(call_id=call_id)
    return [ToolRequested(step=str(slot), call_id=call_id, tool=tool, model_call_id=named), ended]


def done(description: str, *verified_by: str, finding: str = "") -> LivingPlanStep:
    return LivingPlanStep(description, "done", finding, verified_by)


def plan(*steps: LivingPlanStep | str, goal: str = "") -> LivingPlan:
    return LivingPlan(goal, tuple(LivingPlanStep(step) if isinstance(step, str) else step for step in steps))


def written(state: Run, *steps: LivingPlanStep | str) -> LivingPlan:
    (event,) = write_plan("r1_9_0", plan(*steps), state)
    return event.plan


def test_a_plan_is_written_once_by_a_call() -> None:
    first = write_plan("r1_9_0", plan("build", "test"), fold())
    assert first == [PlanWritten(call_id="r1_9_0", plan=plan("build", "test"))]
    assert write_plan("r1_9_0", plan("something else"), fold(*first)) == []


def test_a_step_that_was_left_out_is_none_any_more_and_the_goal_stays() -> None:
    state = fold(PlanWritten(call_id="r1_1_0", plan=plan("build", "test", goal="a release")))
    assert written(state, "test") == plan("test", goal="a release")


@pytest.mark.parametrize("spoken", ["run_tests#2", "run_tests", "toolu_2", "r1_2_0"])
def test_a_call_may_be_named_by_number_by_tool_by_the_providers_id_and_by_treadles(spoken: str) -> None:
    state = fold(*call(1, "run_tests", named="toolu_1"), *call(2, "run_tests", named="toolu_2"))
    assert written(state, done("test", spoken)).steps[0].verified_by == ("run_tests#2",)


def test_a_tool_names_its_last_call_that_shows_nothing_yet() -> None:
    state = fold(*call(1, "run_tests"), *call(2, "run_tests"))
    steps = written(state, done("test a", "run_tests"), done("test b", "run_tests")).steps
    assert [step.verified_by for step in steps] == [("run_tests#2",), ("run_tests#1",)]


def test_a_call_shows_one_step() -> None:
    state = fold(*call(1, "run_tests"))
    with pytest.raises(PlanRefused, match=r"step 2 \('b'\) names run_tests#1, which shows already that 'a' is done"):
        write_plan("r1_9_0", plan(done("a", "run_tests#1"), done("b", "run_tests#1")), state)
    state = fold(*call(1, "run_tests"), PlanWritten(call_id="r1_8_0", plan=plan(done("a", "run_tests#1"))))
    with pytest.raises(PlanRefused, match="shows already that 'a' is done"):  # also when that step is gone
        write_plan("r1_9_0", plan(done("b", "run_tests#1")), state)
    assert unused_calls(state) == []


@pytest.mark.parametrize(
    ("spoken", "why"),
    [
        ("deploy", "names 'deploy', and this run has made no such call"),
        ("run_tests#1", "names run_tests#1, which has not completed"),
        ("plan_write", "names 'plan_write', and this run has made no such call"),
    ],
)
def test_a_call_that_failed_or_was_never_made_or_wrote_the_plan_shows_nothing(spoken: str, why: str) -> None:
    state = fold(*call(1, "run_tests", fails=True), *call(2, "plan_write"), *call(3, "look"))
    with pytest.raises(PlanRefused, match=why) as refused:
        write_plan("r1_9_0", plan(done("test", spoken)), state)
    assert "Calls that can show a step: look#1." in str(refused.value)


def test_a_finding_of_twenty_characters_shows_a_step_and_a_shorter_one_does_not() -> None:
    assert written(fold(), done("think", finding="x" * 20)).steps[0].status == "done"
    with pytest.raises(PlanRefused, match="neither verified_by nor such a finding"):
        write_plan("r1_9_0", plan(done("think", finding="x" * 19)), fold())


def test_a_step_that_is_done_stays_shown_and_one_that_was_taken_back_needs_it_anew() -> None:
    state = fold(*call(1, "look"), PlanWritten(call_id="r1_8_0", plan=plan(done("a", "look#1"), "b")))
    again = written(state, done("A ", "look", finding="it was there"), "b")
    assert again.steps[0] == done("A ", "look#1", finding="it was there")
    state = fold(*call(1, "look"), PlanWritten(call_id="r1_8_0", plan=plan(done("a", finding="y" * 20))))
    evolve(state, PlanWritten(call_id="r1_8_1", plan=plan(LivingPlanStep("a", "doing"))))
    with pytest.raises(PlanRefused, match="neither verified_by"):
        write_plan("r1_9_0", plan(done("a")), state)


def test_what_is_refused_names_every_step_that_is_wrong() -> None:
    with pytest.raises(PlanRefused, match=r"step 1 \('a'\).*step 3 \('c'\)"):
        write_plan("r1_9_0", plan(done("a"), "b", done("c")), fold())


def test_a_plan_opens_once_and_what_showed_a_step_in_another_run_is_named_with_it() -> None:
    opened = open_plan(plan(done("a", "look#1"), "b"), "r0", fold())
    assert opened == [PlanOpened(plan=plan(done("a", "r0:look#1"), "b"), from_run_id="r0")]
    state = fold(*opened, *call(1, "look"))
    assert open_plan(plan("c"), "", state) == []
    assert open_plan(opened[0].plan, "r1", fold())[0].plan == opened[0].plan
    assert written(state, done("a"), done("b", "look#1")).steps[1].verified_by == ("look#1",)


def test_a_plan_that_nobody_could_work_with_is_refused_with_the_numbers() -> None:
    for bad, why in (
        (plan(*map(str, range(1000))), "100 steps at most, and this one 1000"),
        (plan("a", " "), "step 2 has no description"),
        (plan("a", "b", " A"), "steps 1 and 3 have the same description"),
        (plan("x" * 501), "description of step 1 has 501 characters, the most are 500"),
        (plan(LivingPlanStep("a", finding="x" * 4001)), "finding of step 1 has 4001 characters, the most are 4000"),
    ):
        with pytest.raises(PlanRefused, match=why):
            check_plan(bad)
    check_plan(plan(*map(str, range(100))))


def test_a_plan_is_read_with_its_statuses_and_what_shows_them() -> None:
    steps = (done("a", "look#1"), LivingPlanStep("b", "doing"), LivingPlanStep("c", "blocked", "no key"), "d")
    assert plan(*steps, goal="all").render().splitlines() == [
        "Goal: all",
        "Plan, 1 of 4 steps done:",
        "1. [x] a (done): verified by look#1",
        "2. [~] b (doing)",
        "3. [!] c (blocked): no key",
        "4. [ ] d",
    ]
    assert [step.description for step in plan(*steps).open_steps] == ["b", "d"]
    assert plan().finished
