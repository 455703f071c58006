"""Plan-and-Execute: plan once, carry out the steps one after the other, put the results together.

Source: Wang et al., "Plan-and-Solve Prompting: Improving Zero-Shot Chain-of-Thought Reasoning by Large Language
Models", 2023 (arXiv:2305.04091), with a call of its own for each step.
"""

from collections.abc import Mapping

from ..children import Asked
from ..steps import Steps
from ..tool import as_text
from .aside import AskedModel, answer_to, aside, check_model, numbered
from .checks import check_count
from .replies import array_in, list_in

PLANNER = """\
For this message you plan the work and do not do it. Split what the user asks into 3 to 7 steps, each a task that can \
be carried out by thinking and writing, in the order in which they build on one another. Reply with a JSON array of \
strings, one a step, and nothing else."""

EXECUTOR = """\
You carry out a plan, one step a message. Do the step that you are given, using the results of those before it, and \
reply with its result alone."""

SYNTHESIZER = """\
The steps of your plan have been carried out. Answer the user from their results, as if in one go: do not mention the \
plan or its steps."""


class PlanAndExecute:
    """A plan, its steps, an answer: the planner's model call, one for each step, and the synthesizer's.

    Nothing calls tools, and the plan is not made anew. Without a plan the synthesizer answers by itself; then, and when
    the plan was too long, the run is `degraded` (`plan:none: …`, `plan:cut: …`).

    Args:
        max_steps: Steps that are carried out; those that the planner asked for beyond are dropped, and it is said.
    """

    name = "plan-and-execute"
    calls_tools = False

    def __init__(
        self,
        max_steps: int = 8,
        *,
        planner_prompt: str = PLANNER,
        executor_prompt: str = EXECUTOR,
        synthesizer_prompt: str = SYNTHESIZER,
        planner_model: AskedModel = None,
        executor_model: AskedModel = None,
        synthesizer_model: AskedModel = None,
    ) -> None:
        self._max_steps = check_count("PlanAndExecute(max_steps)", max_steps)
        self._planner_prompt = planner_prompt
        self._executor_prompt = executor_prompt
        self._synthesizer_prompt = synthesizer_prompt
        self._planner_model = check_model("PlanAndExecute(planner_model)", planner_model)
        self._executor_model = check_model("PlanAndExecute(executor_model)", executor_model)
        self._synthesizer_model = check_model("PlanAndExecute(synthesizer_model)", synthesizer_model)

    def __repr__(self) -> str:
        return f"PlanAndExecute(max_steps={self._max_steps})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {}

    async def run(self, steps: Steps) -> str:
        planned = await aside(steps, self._planner_prompt, model=self._planner_model, whole=True)
        asked_for = plan_in(planned)
        plan, reason = asked_for[: self._max_steps], ""
        if not plan:
            reason = "the planner gave no list of steps"
        elif len(plan) < len(asked_for):
            reason = f"the plan has {len(asked_for)} steps, of which only the first {len(plan)} are carried out"
        await steps.value("plan.made", lambda: {"steps": plan, "asked_for": len(asked_for), "reason": reason})
        steps.shortfall = f"plan:{'cut' if plan else 'none'}: {reason}" if reason else ""
        results: list[str] = []
        for number, step in enumerate(plan, 1):
            task = f"{_so_far(results)}Carry out step {number}: {step}"
            result = await aside(
                steps, self._executor_prompt, numbered(plan), task, model=self._executor_model, whole=True
            )
            results.append(result)
        said = [numbered(plan), _so_far(results) + (f"Note: {reason}.\n\n" if reason else "") + "Now answer."]
        return await answer_to(steps, self._synthesizer_prompt, *said, model=self._synthesizer_model)


def plan_in(text: str) -> list[str]:
    """The steps that a planner's reply has: a JSON array, one in an object, or else a numbered or dotted list."""
    found = array_in(text)
    if found is not None:
        return [step for each in found if each and (step := as_text(each).strip())]
    return list_in(text)


def _so_far(results: list[str]) -> str:
    return "".join(f"Result of step {number}:\n{result}\n\n" for number, result in enumerate(results, 1))
