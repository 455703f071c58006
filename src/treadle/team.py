"""Agents that work together: `from treadle.team import Team, Handoff, run_architecture`. See docs/teams.md."""

from .gateways.handoff import Handoff
from .gateways.run_architecture import run_architecture
from .gateways.team import Team

__all__ = ["Handoff", "Team", "run_architecture"]
