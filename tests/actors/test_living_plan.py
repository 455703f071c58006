"""The living plan of a run is in its events: whoever goes on with it has it, and the run is held to it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from scripts import Script, turn, writes

from treadle import (
    Agent,
    ConfigError,
    Event,
    LivingPlan,
    LivingPlanStep,
    Message,
    RunState,
    Team,
    Tool,
    tool,
)
from treadle.architecture import Reflexion, Router, RouterRoute, Supervisor
from treadle.tools import (
    LivingPlanPolicy,
    PlanNote,
    get_active_plan,
    living_plan_prompt_section,
    make_plan_tools,
    resolve_living_plan,
)

DONE_A = {"description": "a", "status": "done", "verified_by": ["look"]}
DONE_B = {"description": "b", "status": "done", "finding": "b came to nothing at all"}

WORKER = Agent(model="echo")
ROUTES = [RouterRoute("a", WORKER)]


@tool(read_only=True)
def look() -> str:
    """Look."""
    return "a cat"


def agent(script: Script, living_plan: Any = True, **more: Any) -> Agent:
    return Agent("You plan.", model=script.model, tools=[look], living_plan=living_plan, **more)


def said_by_tools(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if message.role == "tool"]


async def test_a_plan_is_written_read_and_in_the_result() -> None:
    script = Script(
        writes("a", "b"), turn("look"), writes(DONE_A, "b"), writes(DONE_A, DONE_B), turn("plan_read"), "ok"
    )
    result = await agent(script).run("Go.")
    steps = (
        LivingPlanStep("a", "done", verified_by=("look#1",)),
        LivingPlanStep("b", "done", "b came to nothing at all"),
    )
    assert result.plan == LivingPlan(steps=steps)
    shown = said_by_tools(script.asked[-1])
    assert shown[0] == "Plan, 0 of 2 steps done:\n1. [ ] a\n2. [ ] b\n\nCalls that can show a step: none so far."
    assert shown[-1] == shown[-2]
    assert shown[-1].startswith("Plan, 2 of 2 steps done:\n1. [x] a (done): verified by look#1\n")


async def test_a_step_without_anything_to_show_changes_nothing_and_the_model_is_told_what_would() -> None:
    script = Script(writes("a"), turn("look"), writes({"title": "a", "status": "finished"}), turn("plan_read"), "ok")
    result = await agent(script, {"auto_stop_hook": False}).run("Go.")
    assert result.plan == LivingPlan(steps=(LivingPlanStep("a"),))
    refused = said_by_tools(script.asked[-1])[2]
    assert refused.startswith("ERROR: PlanRefused: the plan is not changed: step 1 ('a')")
    assert refused.endswith("Calls that can show a step: look#1.")


async def test_a_call_of_the_same_turn_can_show_a_step() -> None:
    both = writes(DONE_A)
    both = type(both)(tool_calls=(*both.tool_calls, *turn("look").tool_calls))  # the plan first, and yet after it
    result = await agent(Script(both, "ok")).run("Go.")
    assert result.plan is not None
    assert result.plan.steps[0].verified_by == ("look#1",)


async def test_each_writing_is_an_event_beside_its_calls_end() -> None:
    events: list[Event] = [
        event async for event in agent(Script(writes({"title": "a", "status": "skip"}), "ok")).stream("Go.")
    ]
    types = [event.type for event in events]
    assert types[:2] == ["run.started", "plan.opened"]
    written = types.index("plan.written")
    assert types[written + 1] == "tool.completed"
    assert events[written].payload["plan"]["steps"] == [
        {"description": "a", "status": "skipped", "finding": "", "verified_by": []}
    ]


async def test_a_run_is_sent_on_while_a_step_is_open() -> None:
    script = Script(writes("a", "b"), "early", writes({"title": "a", "status": "skipped"}, DONE_B), "ready")
    result = await agent(script).run("Go.")
    assert (result.state, result.output) == (RunState.COMPLETED, "ready")
    assert script.told[-1].startswith("Your plan has open steps:\n- a (todo)\n- b (todo)\n\nGo on with them.")


async def test_a_plan_that_stays_open_ends_the_run_as_interrupted_and_says_so() -> None:
    result = await agent(Script(writes("a"), "no")).run("Go.")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "living_plan:unfinished")
    assert (result.output, result.turns) == ("no", 5)
    assert result.plan == LivingPlan(steps=(LivingPlanStep("a"),))


async def test_reminders_that_lead_to_other_plans_are_bounded_too() -> None:
    replies = [reply for number in range(40) for reply in (writes(f"step {number}"), "later")]
    result = await agent(Script(*replies)).run("Go.")
    assert (result.interruption_reason, result.turns) == ("living_plan:unfinished", 32)


async def test_a_model_that_never_plans_is_not_held_to_a_plan() -> None:
    result = await agent(Script("It is 4.")).run("2 + 2?")
    assert (result.output, result.plan, result.turns) == ("It is 4.", LivingPlan(), 1)
    assert (await Agent(model="echo").run("Hi.")).plan is None


async def test_the_model_is_told_how_to_plan_and_with_what_it_begins() -> None:
    script = Script("ok")
    await agent(script, {"auto_stop_hook": False, "goal": "a release", "steps": ["build", {"title": "ship"}]}).run(
        "Go."
    )
    system = script.asked[0][0].content
    assert system.startswith(
        f"You plan.\n\n{living_plan_prompt_section()}\n\nYour plan as it stands:\nGoal: a release\n"
    )
    assert system.endswith("1. [ ] build\n2. [ ] ship")


async def test_a_tool_can_ask_for_the_plan_and_other_runs_have_their_own() -> None:
    seen: list[LivingPlan | None] = []

    @tool
    async def peek() -> str:
        """Peek."""
        seen.append(get_active_plan())
        await Agent(model=Script(turn("spy"), "ok").model, tools=[spy]).run("Go.")
        return "peeked"

    @tool
    def spy() -> str:
        """Spy."""
        seen.append(get_active_plan())
        return "spied"

    script = Script(writes({"title": "a", "status": "skipped"}), turn("peek"), turn("spy"), "ok")
    await agent(script).with_tool(peek).with_tool(spy).run("Go.")
    a = LivingPlan(steps=(LivingPlanStep("a", "skipped"),))
    assert seen == [a, None, a]
    assert get_active_plan() is None


async def test_tools_may_be_had_without_the_rest() -> None:
    result = await Agent(model=Script(writes("a"), "ok").model, tools=make_plan_tools()).run("Go.")
    assert (result.state, result.plan) == (RunState.COMPLETED, LivingPlan(steps=(LivingPlanStep("a"),)))


# --- beyond a run ----------------------------------------------------------------------------------------------------


async def test_a_session_goes_on_with_an_unfinished_plan_and_not_with_a_finished_one() -> None:
    first = Script(writes("a", "b"), turn("look"), writes(DONE_A, "b"), "more tomorrow")
    one = agent(first, {"auto_stop_hook": False}, name="planner")
    before = await one.run("Go.", session_id="s")

    again = agent(Script("and?"), {"auto_stop_hook": False}, name="planner")
    middle = await again.run("Go on.", session_id="s")
    carried = LivingPlanStep("a", "done", verified_by=(f"{before.run_id}:look#1",))
    assert middle.plan == LivingPlan(steps=(carried, LivingPlanStep("b")))

    script = Script("x", "x", "x", "x", writes({"title": "a", "status": "done"}, DONE_B), "ready")
    last = agent(script, name="planner")
    result = await last.run("End it.", session_id="s")
    system = script.asked[0][0].content
    assert "The plan that the run before this one left unfinished" in system
    assert system.endswith(f"1. [x] a (done): verified by {before.run_id}:look#1\n2. [ ] b")
    assert result.plan is not None
    assert result.plan.finished
    assert (await agent(Script("hi"), name="planner").run("Hi.", session_id="s")).plan == LivingPlan()


async def test_a_session_begins_anew_where_it_is_told_to() -> None:
    how = {"auto_stop_hook": False, "carry_on": False}
    await agent(Script(writes("a"), "later"), how, name="fresh").run("Go.", session_id="s")
    assert (await agent(Script("hi"), how, name="fresh").run("Hi.", session_id="s")).plan == LivingPlan()


async def test_a_fork_has_the_plan_and_what_showed_its_steps() -> None:
    script = Script(writes("a", "b"), turn("look"), writes(DONE_A, "b"), writes(DONE_A, DONE_B), "ready")
    run = await agent(script, {"auto_stop_hook": False}).session("s").start("Go.")
    assert (await run.wait()).output == "ready"
    written = [event.version for event in await run.transcript() if event.type == "plan.written"]
    other = Script("x", "x", "x", writes(DONE_A, {**DONE_B, "finding": "", "verified_by": "look#1"}), "ended")
    fork = await (await run.fork(at=written[1] + 1, model=other.model)).wait()
    assert fork.output == "ended"
    assert "names look#1, which shows already that 'a' is done" in said_by_tools(other.asked[-1])[-1]
    assert fork.plan == LivingPlan(steps=(LivingPlanStep("a", "done", verified_by=("look#1",)), LivingPlanStep("b")))


async def test_whoever_mirrors_plans_is_given_each_and_a_mirror_that_fails_keeps_the_plan_as_it_was() -> None:
    notes: list[PlanNote] = []

    async def mirror(note: PlanNote) -> None:
        if len(note.plan.steps) > 1:
            raise OSError("no room")
        notes.append(note)

    script = Script(writes("a"), writes("a", "b"), "ok")
    policy = LivingPlanPolicy(mirror=mirror, auto_stop_hook=False)
    result = await agent(script, policy, name="planner").run("Go.", user_id="ann")
    assert result.plan == LivingPlan(steps=(LivingPlanStep("a"),))
    assert [(note.plan, note.agent, note.user_id, note.run_id) for note in notes] == [
        (result.plan, "planner", "ann", result.run_id)
    ]
    assert said_by_tools(script.asked[-1])[1] == "ERROR: OSError: no room"


# --- what is given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"autostop_hook": True}, "living_plan: unknown key 'autostop_hook'; did you mean 'auto_stop_hook'"),
        ({"colour": "red"}, "unknown key 'colour'; known: enabled, goal, steps"),
        ({"enabled": "yes"}, "enabled='yes' must be True or False"),
        ({"mirror": "file"}, "mirror='file' must be a function of a PlanNote"),
        ({"goal": 7}, "goal=7 must be a text"),
        ({"steps": ["a", {"status": "done"}]}, "living_plan: step 2 has no description"),
        ({"steps": [f"step {number}" for number in range(1000)]}, "a plan has 100 steps at most, and this one 1000"),
        (LivingPlan(steps=(LivingPlanStep(" "),)), "step 1 has no description"),
        (LivingPlan(steps=(LivingPlanStep("a", "perhaps"),)), "perhaps"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ("workspace", "living_plan='workspace' keeps plans in a workspace, and there is none"),
        (7, "living_plan=7 is no plan"),
    ],
)
def test_what_makes_no_plan_is_refused(given: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Agent(model="echo", living_plan=given)


@pytest.mark.parametrize(
    ("team", "name"),
    [
        (lambda: Team.router(ROUTES, model="echo", living_plan=["a"]), "router"),
        (lambda: Team.debate([WORKER, WORKER], model="echo", living_plan=True), "debate"),
        (lambda: Team.swarm({"a": WORKER}, "a", model="echo", living_plan=True), "swarm"),
        (lambda: Team.actor_critic(WORKER, WORKER, model="echo", living_plan=True), "actor_critic"),
        (lambda: Team.blackboard({"a": WORKER}, model="echo", living_plan=True), "blackboard"),
        (lambda: Agent(model="echo", architecture="plan-and-execute", living_plan=True), "plan-and-execute"),
        (lambda: Agent(model="echo", architecture="tree-of-thoughts", living_plan=True), "tree-of-thoughts"),
        (lambda: Agent(model="echo", architecture=Reflexion(base=Router(ROUTES)), living_plan=True), "reflexion"),
    ],
)
def test_a_plan_that_nobody_could_write_is_refused(team: Callable[[], Agent], name: str) -> None:
    with pytest.raises(ConfigError, match=f"needs a model that has tools, and '{name}' calls none"):
        team()


def test_an_architecture_that_calls_tools_may_have_a_plan() -> None:
    for architecture in ("react", "rewoo", "reflexion", "self-refine", Supervisor({"a": WORKER})):
        assert Agent(model="echo", architecture=architecture, living_plan=["a"]).spec.living_plan is not None


def test_what_makes_a_plan() -> None:
    a = LivingPlan(steps=(LivingPlanStep("a"),))
    for given in (a, ["a"], {"steps": "a"}, LivingPlan(steps=[LivingPlanStep("a")])):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        found = resolve_living_plan(given)
        assert found is not None
        assert found.seed == a
    for none in (None, False, {"enabled": False}):
        assert resolve_living_plan(none) is None
    assert resolve_living_plan(True) == resolve_living_plan("memory") == resolve_living_plan({}) == LivingPlanPolicy()


def test_an_agent_has_one_tool_of_a_name() -> None:
    mine: list[Tool] = make_plan_tools()
    with pytest.raises(ConfigError, match="two tools are called 'plan_write'"):
        Agent(model="echo", tools=mine, living_plan=True)
