"""How agents think: `from treadle.architecture import Router, RouterRoute`.

See docs/architectures.md, and docs/teams.md for those of several agents.
"""

from .actors.strategies import ActorCritic, BlackboardArchitecture, MultiAgentDebate, Router, RouterRoute

__all__ = ["ActorCritic", "BlackboardArchitecture", "MultiAgentDebate", "Router", "RouterRoute"]
