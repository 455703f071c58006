"""Every cut of a run with a plan and gates of all kinds leads to the same end, and pays nobody twice."""

from collections.abc import Sequence

from cuts import RUN_ID, Noting, fresh_node, opened, run
from scripts import Checker, Script, turn, writes

from treadle import Agent, LivingPlan, LivingPlanStep, QualityGate, RunResult, RunState, RunUntil, StopContext, tool
from treadle.actors.run_history import history_of
from treadle.events.envelope import Recorded
from treadle.events.model_step import ModelCompleted
from treadle.events.plan import RunPlan
from treadle.events.run import ValueRecorded
from treadle.gateways.node import Node

DONE_A = {"description": "a", "status": "done", "verified_by": ["look"]}
DONE_B = {"description": "b", "status": "done", "finding": "there was nothing to be seen"}


class Goal:
    """An agent whose answer its plan, a hook, a checker and a judge refuse, one after the other; and who was asked."""

    def __init__(self) -> None:
        self.script = Script(
            writes("a", "b"),
            turn("look"),
            writes(DONE_A, "b"),
            "early",  # its plan
            writes(DONE_A, DONE_B),
            "short",  # the hook
            "red",  # the checker
            "green",  # the judge
            "green and gold",
        )
        self.checker = Checker(green="DONE", red="NOT_DONE\nIt is red.")
        self.hooked = self.judged = 0

        @tool(read_only=True)
        def look() -> str:
            """Look."""
            return "a cat"

        def hook(context: StopContext) -> str | None:
            self.hooked += 1
            return "Longer." if context.output == "short" else None

        def judge(context: StopContext) -> bool:
            self.judged += 1
            return "gold" in context.output

        until = RunUntil("it is green", checker=self.checker.model)
        self.agent = Agent(
            "You plan.",
            model=self.script.model,
            name="goal",
            tools=[look],
            living_plan=True,
            stop_hooks=[hook],
            run_until=until,
            quality=QualityGate(evaluator=judge),
        )

    @property
    def paid(self) -> int:
        return self.script.calls + self.checker.calls


async def came_to(node: Node, result: RunResult) -> tuple[object, ...]:
    plan = (await history_of(node.journal, RUN_ID)).state.plan
    assert plan is not None
    return (result.state, result.output, result.plan, RunPlan(plan.plan, plan.opened, plan.revision, "", plan.used))


async def test_a_run_that_is_cut_anywhere_has_its_plan_and_asks_nobody_again() -> None:
    whole, journal = Goal(), Noting()
    async with opened(journal) as node:
        result = await run(node, whole.agent.spec, "Go.")
        end, events = await came_to(node, result), await journal.read_all(limit=1000)
    assert (result.state, result.output) == (RunState.COMPLETED, "green and gold")
    steps = (
        LivingPlanStep("a", "done", verified_by=("look#1",)),
        LivingPlanStep("b", "done", "there was nothing to be seen"),
    )
    assert result.plan == LivingPlan(steps=steps)
    assert (whole.script.calls, whole.checker.calls, whole.hooked, whole.judged) == (9, 3, 4, 2)
    for cut in range(1, len(events) + 1):
        again = Goal()
        async with fresh_node(events[:cut]) as node:
            assert await came_to(node, await run(node, again.agent.spec, "Go.")) == end, cut
        assert again.paid + answers(events[:cut]) == whole.paid, cut
        assert again.hooked + recorded_of("stop_hook.said", events[:cut]) == whole.hooked, cut
        assert again.judged + recorded_of("quality.said", events[:cut]) == whole.judged, cut


def answers(events: Sequence[Recorded]) -> int:
    return sum(isinstance(recorded.event, ModelCompleted) for recorded in events)


def recorded_of(name: str, events: Sequence[Recorded]) -> int:
    values = [recorded.event for recorded in events if isinstance(recorded.event, ValueRecorded)]
    return sum(value.name == name for value in values)
