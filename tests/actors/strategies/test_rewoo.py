"""ReWOO: two model calls and the tools of the plan; what depends on what, and what is not called and why."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel
from thinking import Parts

from treadle import Agent, ConfigError, tool
from treadle.actors.strategies.rewoo import ReWOO
from treadle.actors.strategies.rewoo_plan import Plan

PLANNER, SOLVER = "plan which tools", "tools of your plan"


def planned(*calls: tuple[str, str, dict[str, Any]]) -> str:
    return json.dumps([{"id": id_, "tool": name, "args": args} for id_, name, args in calls])


def model(plan: str) -> Parts:
    return Parts({PLANNER: plan, SOLVER: "so"})


class Desk:
    """Tools, and what they were called with."""

    def __init__(self, together: int = 1) -> None:
        self.called: list[object] = []
        self.most = 0
        self._going = 0
        self._barrier = asyncio.Barrier(together)

        @tool(read_only=True)
        async def look(where: str) -> str:
            """Look somewhere."""
            self.called.append(where)
            self._going += 1
            self.most = max(self.most, self._going)
            async with asyncio.timeout(5):
                await self._barrier.wait()
            self._going -= 1
            if where == "nowhere":
                raise ValueError("there is nothing")
            return f"<{where}>"

        @tool(read_only=True)
        def count(things: list[int], label: str | None = None) -> dict[str, int]:
            """Count things."""
            self.called.append((things, label))
            return {"number": len(things)}

        @tool(read_only=True)
        def primes() -> list[int]:
            """The first primes."""
            self.called.append("primes")
            return [2, 3, 5]

        self.tools = [look, count, primes]


async def solve(plan: str, desk: Desk, **how: Any) -> Parts:
    parts = model(plan)
    result = await Agent(model=parts, tools=desk.tools, architecture=ReWOO(**how)).run("Go.")
    assert result.output == "so"
    return parts


async def test_two_model_calls_and_as_many_tools_as_planned() -> None:
    desk, plan = Desk(), planned(("E1", "look", {"where": "a"}), ("E2", "look", {"where": "in {{E1}}"}))
    parts = await solve(plan, desk)
    assert (dict(parts.calls), desk.called) == ({PLANNER: 1, SOLVER: 1}, ["a", "in <a>"])
    assert "E2 (look): <in <a>>" in parts.shown(SOLVER)
    assert '"where"' in parts.shown(PLANNER)


@pytest.mark.parametrize("placeholder", ["{{E1}}", "{{ E1 }}", "{E1}", "#E1"])
async def test_each_form_of_a_placeholder_is_filled_in(placeholder: str) -> None:
    desk = Desk()
    await solve(planned(("E2", "look", {"where": f"{placeholder}!"}), ("E1", "look", {"where": "a"})), desk)
    assert desk.called == ["a", "<a>!"]


async def test_a_whole_argument_becomes_the_result_as_it_is_unless_the_tool_wants_a_text() -> None:
    desk = Desk()
    await solve(planned(("E1", "primes", {}), ("E2", "count", {"things": "#E1", "label": "#E1"})), desk)
    assert desk.called == ["primes", ([2, 3, 5], "[2,3,5]")]


async def test_calls_that_do_not_need_one_another_go_on_at_the_same_time() -> None:
    plan = planned(("E1", "look", {"where": "a"}), ("E2", "look", {"where": "b"}))
    together, apart = Desk(together=2), Desk()
    await solve(plan, together)
    await solve(plan, apart, parallel_levels=False)
    assert (together.most, apart.most) == (2, 1)


async def test_what_depends_on_a_failed_or_an_unknown_input_is_skipped_and_the_rest_goes_on() -> None:
    desk = Desk()
    plan = planned(
        ("E1", "look", {"where": "nowhere"}),
        ("E2", "look", {"where": "{E1}"}),
        ("E3", "look", {"where": "{E2}"}),
        ("E4", "look", {"where": "#E9"}),
        ("E5", "guess", {}),
        ("E6", "look", {"where": "b"}),
    )
    parts = await solve(plan, desk)
    assert desk.called == ["nowhere", "b"]
    told = parts.shown(SOLVER)
    assert "E1 (look): ERROR: ValueError: there is nothing" in told
    assert "E2 (look) was not called: its input E1 is missing." in told
    assert "E3 (look) was not called: its input E2 is missing." in told
    assert "E4 (look) was not called: its input E9 is not in the plan." in told
    assert "E5 (guess): ERROR: there is no tool 'guess'" in told


async def test_a_circle_stops_the_plan_and_says_so() -> None:
    desk = Desk()
    plan = planned(("E1", "look", {"where": "a"}), ("E2", "look", {"where": "#E3"}), ("E3", "look", {"where": "#E2"}))
    agent = Agent(model=(parts := model(plan)), tools=desk.tools, architecture="rewoo")
    done = [event.payload async for event in agent.stream("Go.") if event.payload.get("name") == "rewoo.executed"]
    circle = "it waits for calls that wait for one another, in a circle"
    assert [each["value"] for each in done] == [{"done": ["E1"], "failed": [], "skipped": {"E2": circle, "E3": circle}}]
    assert f"E3 (look) was not called: {circle}." in parts.shown(SOLVER)
    assert desk.called == ["a"]
    result = await Agent(model=model(plan), tools=Desk().tools, architecture="rewoo").run("Go.")
    assert (result.state, result.error) == ("degraded", "rewoo:plan: E2, E3 wait for one another, in a circle")


async def test_a_plan_of_a_thousand_calls_is_cut_and_the_answer_is_told_so() -> None:
    desk = Desk()
    parts = await solve(planned(*((f"E{n}", "look", {"where": str(n)}) for n in range(1, 1001))), desk)
    assert desk.called == [str(number) for number in range(1, 9)]
    assert "the plan has 1000 steps, of which only the first 8 are looked at" in parts.shown(SOLVER)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("I would rather not.", "the planner gave no JSON array of calls"),
        ("[]", "none: no tool was called"),
        ('[{"id": "E1"}, 7]', "step 2 names no tool with arguments"),
        ('{"plan": [{"tool": "look", "args": {"where": "a"}}]}', "E1 (look): <a>"),
        ('[{"id":"E1","tool":"primes"},{"id":"#E1","tool":"primes"}]', "step 2 has the id E1 of another step"),
    ],
)
async def test_the_answer_is_told_what_of_a_plan_could_not_be_used(plan: str, told: str) -> None:
    parts = await solve(plan, Desk())
    assert (parts.total, told in parts.shown(SOLVER)) == (2, True)


def test_placeholders_are_found_at_any_depth_and_other_braces_are_left_alone() -> None:
    plan = Plan('[{"id": "first", "tool": "a", "args": {"q": {"deep": ["{first}", "{name} #E12 #Else"]}}}]', 8)
    assert plan.inputs(plan.calls["first"]) == {"first", "E12"}


async def test_a_tool_that_ends_the_turn_is_the_answer() -> None:
    @tool(ends_turn=True)
    def done() -> str:
        """Done."""
        return "done"

    parts = model(planned(("E1", "done", {})))
    assert (await Agent(model=parts, tools=[done], architecture="rewoo").run("Go.")).output == "done"
    assert parts.total == 1


class So(BaseModel):
    so: int


async def test_the_answer_may_be_typed() -> None:
    parts = Parts({PLANNER: "[]", SOLVER: ["words", '{"so": 1}'], "": '{"so": 1}'})
    assert (await Agent(model=parts, architecture="rewoo", output_schema=So).run("Go.")).parsed == So(so=1)
    assert "JSON Schema:" not in parts.shown(PLANNER).split("Tools:")[0]


def test_a_plan_without_calls_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ReWOO\(max_steps\)=0"):
        ReWOO(max_steps=0)
