"""In the place of an agent that this process does not host: enough to end its run, and nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..events.budget import Limits
from ..events.errors import ConfigError
from ..events.message import Message, ToolSpec
from .model import ModelChunk
from .spec import AgentSpec
from .strategies.react import ReAct


class _Nobody:
    """A model that is not asked."""

    name = "nobody"

    def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        raise ConfigError("the agent is not hosted here, and its model is not known")


def absent(agent: str) -> AgentSpec:
    """An agent of this name, whose runs can be ended.

    It has the names of the budgets that the agent may have, so that what the run holds there is given back: where it
    holds nothing, nothing is recorded.
    """
    return AgentSpec(name=agent, model=_Nobody(), architecture=ReAct(), budget=Limits(), budget_per_user=Limits())
