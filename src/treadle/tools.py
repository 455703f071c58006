"""Tools that come along, and what they are made of: `from treadle.tools import make_plan_tools`. See docs/goals.md."""

from .actors.living_plan import LivingPlanPolicy, PlanNote, get_active_plan
from .actors.plan_tools import make_plan_tools
from .actors.plan_words import living_plan_prompt_section
from .gateways.goals import resolve_living_plan

__all__ = [
    "LivingPlanPolicy",
    "PlanNote",
    "get_active_plan",
    "living_plan_prompt_section",
    "make_plan_tools",
    "resolve_living_plan",
]
