"""How agents think: `Agent(architecture=Reflexion(base=ReWOO()))`.

See docs/architectures.md, and docs/teams.md for those of several agents.
"""

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
    "LessonStore",
    "MultiAgentDebate",
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
]
