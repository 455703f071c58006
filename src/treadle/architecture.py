"""How agents think: `Agent(architecture=Reflexion(base=ReWOO()))`.

See docs/architectures.md, and docs/teams.md for those of several agents.
"""

from .actors.decider import Choice, Decider, Decision, Score
from .actors.strategies import (
    ActorCritic,
    Architecture,
    BlackboardArchitecture,
    LessonStore,
    MultiAgentDebate,
    PlanAndExecute,
    ReAct,
    Reflexion,
    ReWOO,
    Router,
    RouterRoute,
    SelfRefine,
    Supervisor,
    Swarm,
    TreeOfThoughts,
)

__all__ = [
    "ActorCritic",
    "Architecture",
    "BlackboardArchitecture",
    "Choice",
    "Decider",
    "Decision",
    "LessonStore",
    "MultiAgentDebate",
    "PlanAndExecute",
    "ReAct",
    "ReWOO",
    "Reflexion",
    "Router",
    "RouterRoute",
    "Score",
    "SelfRefine",
    "Supervisor",
    "Swarm",
    "TreeOfThoughts",
]
