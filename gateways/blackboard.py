"""`Blackboard`: a workspace that agents share, for programs and as tools."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ..actors.context import current_call, current_cause
from ..actors.services import BlackboardPort, current_services
from ..actors.tool import Tool
from ..events.blackboard import Posted, blackboard_stream
from ..events.errors import ConfigError
from .arguments import json_form, well_formed
from .following import follow
from .tools.function import tool

if TYPE_CHECKING:
    from .system import System


class Blackboard:
    """A board by name: `Blackboard("ops").tools()` for agents, `Blackboard("ops", system)` for programs.

    Entries are events: kept, in order, and each once.
    """

    def __init__(self, name: str, system: "System | None" = None) -> None:
        self.name = name
        self._system = system

    def __repr__(self) -> str:
        return f"<Blackboard {self.name}>"

    async def post(self, content: str, *, author: str, kind: str = "note", data: Any = None, entry_id: str = "") -> str:
        """Leave an entry; it is on disk when this returns. Returns its id; posting an id again does nothing.

        Raises:
            ConfigError: `data` has no JSON form, or another argument is not of its type; nothing was posted.
        """
        node = self._bound().node
        entry_id = entry_id or node.clock.new_id()
        entry = Posted(entry_id=entry_id, author=author, content=content, kind=kind, data=json_form("data", data))
        await _port(node.services.blackboard).post(self.name, well_formed(entry, "post"), current_cause())
        return entry_id

    async def read(self, *, limit: int = 100, kind: str = "", author: str = "") -> list[Posted]:
        """The newest entries, oldest first."""
        return await _port(self._bound().node.services.blackboard).read(self.name, limit, kind, author)

    async def watch(self, after: int = 0) -> AsyncIterator[Posted]:
        """All entries above version `after` of the board, then new ones as they come, for ever."""
        journal, stream = self._bound().node.journal, blackboard_stream(self.name)
        async for event in follow(journal, stream, after):
            if isinstance(event, Posted):
                yield event

    def tools(self) -> list[Tool]:
        """`post_to_<name>` and `read_<name>`, for `Agent(tools=…)`."""
        board = self.name

        async def post(content: str, kind: str = "note") -> str:
            call = current_call()
            entry = Posted(entry_id=call.call_id, author=call.agent, content=content, kind=kind)
            await _port(current_services().blackboard).post(board, entry, current_cause())
            return "posted"

        async def read(limit: int = 20) -> list[dict[str, str]]:
            entries = await _port(current_services().blackboard).read(board, limit, "", "")
            return [{"author": entry.author, "kind": entry.kind, "content": entry.content} for entry in entries]

        leave = f"Leave an entry on the {board} blackboard."
        look = f"Read the newest entries of the {board} blackboard."
        return [
            tool(name=f"post_to_{board}", description=leave, idempotent=True)(post),
            tool(name=f"read_{board}", description=look, read_only=True)(read),
        ]

    def _bound(self) -> "System":
        if self._system is None:
            raise ConfigError(f"Blackboard({self.name!r}, system) needs its system here; in a tool, use .tools()")
        return self._system


def _port(port: BlackboardPort | None) -> BlackboardPort:
    if port is None:
        raise ConfigError("this system has no blackboards")
    return port
