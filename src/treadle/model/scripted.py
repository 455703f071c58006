"""Models that say what they are told to."""

from ..gateways.models.scripted import FunctionModel, ScriptedModel, ScriptedTurn

__all__ = ["FunctionModel", "ScriptedModel", "ScriptedTurn"]
