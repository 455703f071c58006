"""The gate of a living plan: a run does not end while a step of it is open."""

from typing import TYPE_CHECKING, Any

import msgspec

from ..events.plan import LivingPlanStep, RunPlan
from .gate import NotPassed, Pass
from .plan_words import reminder
from .stop_hooks import MOST_ITERATIONS

if TYPE_CHECKING:
    from .steps import Steps

MOST_REMINDERS = 3
"""How often in a row a model is reminded of open steps while it leaves its plan as it is."""


class PlanGate:
    """Sends a run on while a step of its plan is todo or doing.

    It gives up, as `living_plan:unfinished`, when the plan stays as it is after so many reminders in a row, and after
    as many in all as stop hooks have.
    """

    prefix = ""

    def __init__(self, most: int = MOST_ITERATIONS) -> None:
        self._most = most

    def judge(self) -> "_Judge":
        return _Judge(self._most)


class _Judge:
    def __init__(self, most: int) -> None:
        self._most = most
        self._reminders = 0
        self._in_vain = 0
        self._revision = -1

    async def objection(self, passed: Pass, steps: "Steps") -> str | None:
        def look() -> dict[str, Any]:
            found = steps.so_far.plan or RunPlan()
            return {"revision": found.revision, "open": found.plan.open_steps}

        seen: dict[str, Any] = await steps.value("living_plan.open", look)
        if not seen["open"]:
            return None
        self._in_vain = self._in_vain + 1 if seen["revision"] == self._revision else 0
        self._revision = seen["revision"]
        if self._in_vain == MOST_REMINDERS or self._reminders == self._most:
            why = f"{len(seen['open'])} steps of the plan are open after {self._reminders} reminders"
            raise NotPassed("living_plan:unfinished", why)
        self._reminders += 1
        return reminder(msgspec.convert(seen["open"], list[LivingPlanStep]))
