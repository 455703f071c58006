"""The model of a run that asks none: a workflow has agents for that."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

from ...events.errors import ConfigError
from ...events.message import Message, ToolSpec
from ..model import ModelChunk


class Silent:
    """`Model` by its methods only: whoever asks it is told to ask an agent."""

    name = "none"

    def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        return _refuse()

    def longest_answer(self, options: Any) -> int:
        return 0


def _refuse() -> NoReturn:
    raise ConfigError("a workflow has no model of its own to ask; make an agent one of its nodes")
