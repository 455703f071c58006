"""How agents think, one file each: code over recorded steps (`actors/steps.py`).

architecture.py       what they have in common

Of one agent:

react.py              think, act, look, until the model stops asking for tools
self_refine.py        answer, criticise, improve
reflexion.py          try, score, learn a lesson, try again; lessons.py keeps them for later runs
tree_of_thoughts.py   a beam search over thoughts
plan_and_execute.py   plan, carry out, put together
rewoo.py              plan all tool calls, make them, answer; rewoo_plan.py reads the plan

Of several agents:

supervisor.py         one leads the others; delegating.py has its tools
swarm.py              peers pass control to one another; handoff.py has their tools
router.py             one model call chooses who answers
actor_critic.py       one writes, the other criticises
debate.py             several answer, read each other, and answer again
blackboard.py         agents work on one board, a coordinator picks who is next

What these are made of:

replies.py            what is read in a model's words: JSON, scores, lists
aside.py              what is said beside the conversation: to critics, planners, judges
templates.py          prompts with places to be filled in
arguments.py          the arguments of tools that architectures bring
checks.py             what numbers architectures are made with
members.py            the agents of an architecture: what they are asked, what becomes of one that fails
worker_ids.py         agents that are known by ids of their own
agreement.py          whether replies agree
board.py              the board of one run
"""

from collections.abc import Callable, Mapping

from .actor_critic import ActorCritic
from .architecture import Architecture, architecture_of, base_of, tools_of
from .blackboard import BlackboardArchitecture
from .debate import MultiAgentDebate
from .handoff import InputFilter, Peer
from .lessons import LessonStore
from .plan_and_execute import PlanAndExecute
from .react import ReAct
from .reflexion import Reflexion
from .rewoo import ReWOO
from .router import Router, RouterRoute
from .self_refine import SelfRefine
from .supervisor import Supervisor
from .swarm import Swarm
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
    "ActorCritic",
    "Architecture",
    "BlackboardArchitecture",
    "InputFilter",
    "LessonStore",
    "MultiAgentDebate",
    "Peer",
    "PlanAndExecute",
    "ReAct",
    "ReWOO",
    "Reflexion",
    "Router",
    "RouterRoute",
    "SelfRefine",
    "Supervisor",
    "Swarm",
    "TreeOfThoughts",
    "architecture_of",
    "base_of",
    "tools_of",
]
