"""What models are told of living plans. Recorded digests are made of these words: a run that goes on under other words
than it began with would differ from its history, so they stay as they are.
"""

from collections.abc import Sequence

from ..events.plan import LivingPlanStep, PlanOpened

SECTION = """\
You have a living plan, which you keep with the tools plan_write and plan_read. For a task of more than two or three \
steps, write the plan before you begin, and write it again whenever a step begins or ends or the plan turns out to be \
wrong. plan_write replaces the whole plan: send every step each time, finished ones too, with their descriptions \
unchanged.
- A step is todo, doing, done, blocked or skipped. Have one step doing at a time, and say in its finding why a step is \
blocked or skipped.
- A step becomes done when that can be seen: verified_by names a tool call of this run that completed, as tool#number \
(run_tests#2 is the second call of run_tests) or by the tool alone for its last one, and each call shows one step. \
Where no tool shows it, the finding says in 20 characters or more what came of it.
- Before you give your answer, no step should be todo or doing: finish it, or say that it is blocked or skipped."""

_FROM_AGENT = "Your plan as it stands:"
_FROM_RUN = "The plan that the run before this one left unfinished; go on with it, or write another:"


def section(opened: PlanOpened) -> str:
    """What stands in the system message of a run with a plan."""
    if not opened.plan.steps:
        return SECTION
    return f"{SECTION}\n\n{_FROM_RUN if opened.from_run_id else _FROM_AGENT}\n{opened.plan.render()}"


def living_plan_prompt_section() -> str:
    """How a model is told to use its plan, for agents whose instructions are made by hand."""
    return SECTION


def reminder(open_steps: Sequence[LivingPlanStep]) -> str:
    """What a model is told that wants to end with open steps."""
    steps = "\n".join(f"- {step.description} ({step.status})" for step in open_steps)
    return (
        f"Your plan has open steps:\n{steps}\n\nGo on with them. If one of them cannot or need not be done, write that "
        "into the plan as blocked or skipped. Give your answer when no step is todo or doing."
    )
