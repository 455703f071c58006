"""How agents think: `Agent(architecture=Reflexion(base=ReWOO()))`. See docs/architectures.md."""

from .actors.strategies import (
    Architecture,
    LessonStore,
    PlanAndExecute,
    ReAct,
    Reflexion,
    ReWOO,
    SelfRefine,
    TreeOfThoughts,
)

__all__ = [
    "Architecture",
    "LessonStore",
    "PlanAndExecute",
    "ReAct",
    "ReWOO",
    "Reflexion",
    "SelfRefine",
    "TreeOfThoughts",
]
