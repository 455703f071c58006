"""How agents think, one file each: code over recorded steps (`actors/steps.py`).

architecture.py   what they have in common
react.py          think, act, look, until the model stops asking for tools

Of several agents:

router.py         one model call chooses who answers
actor_critic.py   one writes, the other criticises
debate.py         several answer, read each other, and answer again
blackboard.py     agents work on one board, a coordinator picks who is next

What these are made of:

replies.py        what is read in a model's words: JSON, scores, lists
templates.py      prompts with places to be filled in
members.py        the agents of an architecture: what they are asked, what becomes of one that fails
agreement.py      whether replies agree
board.py          the board of one run
"""

from collections.abc import Callable, Mapping

from .actor_critic import ActorCritic
from .architecture import Architecture, architecture_of, tools_of
from .blackboard import BlackboardArchitecture
from .debate import MultiAgentDebate
from .react import ReAct
from .router import Router, RouterRoute

ARCHITECTURES: Mapping[str, Callable[[], Architecture]] = {"react": ReAct}
"""Those that can be named: `Agent(architecture="react")`."""

__all__ = [
    "ARCHITECTURES",
    "ActorCritic",
    "Architecture",
    "BlackboardArchitecture",
    "MultiAgentDebate",
    "ReAct",
    "Router",
    "RouterRoute",
    "architecture_of",
    "tools_of",
]
