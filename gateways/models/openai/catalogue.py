"""Tools in the words of an API."""

from collections.abc import Callable, Sequence
from typing import Any

from ....events.message import ToolSpec


class Catalogue:
    """Tools in an API's words. A run asks with one and the same tuple of them in each turn: said once."""

    def __init__(self, say: Callable[[ToolSpec], dict[str, Any]]) -> None:
        self._say = say
        self._last: tuple[Sequence[ToolSpec], list[dict[str, Any]]] = ((), [])

    def of(self, tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
        asked, said = self._last
        if asked is not tools or not isinstance(tools, tuple):
            said = [self._say(tool) for tool in tools]
            self._last = tools, said
        return said
