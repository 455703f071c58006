"""How agents think, one file each: code over recorded steps (`actors/steps.py`).

architecture.py       what they have in common
react.py              think, act, look, until the model stops asking for tools
self_refine.py        answer, criticise, improve
reflexion.py          try, score, learn a lesson, try again; lessons.py keeps them for later runs
tree_of_thoughts.py   a beam search over thoughts
plan_and_execute.py   plan, carry out, put together
rewoo.py              plan all tool calls, make them, answer; rewoo_plan.py reads the plan
aside.py              what is said beside the conversation: to critics, planners, judges
replies.py            what is read in models' words
"""

from collections.abc import Callable, Mapping

from .architecture import Architecture, architecture_of, base_of, tools_of
from .lessons import LessonStore
from .plan_and_execute import PlanAndExecute
from .react import ReAct
from .reflexion import Reflexion
from .rewoo import ReWOO
from .self_refine import SelfRefine
from .tree_of_thoughts import TreeOfThoughts

ARCHITECTURES: Mapping[str, Callable[[], Architecture]] = {
    "react": ReAct,
    "self-refine": SelfRefine,
    "reflexion": Reflexion,
    "tree-of-thoughts": TreeOfThoughts,
    "plan-and-execute": PlanAndExecute,
    "rewoo": ReWOO,
}
"""Those that can be named: `Agent(architecture="react")`."""

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "LessonStore",
    "PlanAndExecute",
    "ReAct",
    "ReWOO",
    "Reflexion",
    "SelfRefine",
    "TreeOfThoughts",
    "architecture_of",
    "base_of",
    "tools_of",
]
