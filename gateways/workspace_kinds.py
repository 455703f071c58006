"""Workspaces with a journal of their own, wherever the agents run that use them."""

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Self

from ..events.errors import ConfigError
from .embedded import close_embedded
from .workspace import Workspace

_made = itertools.count(1)


class InMemoryWorkspace(Workspace):
    """Notes that last as long as the process does. Each is a workspace of its own."""

    def __init__(self) -> None:
        super().__init__(f"memory-{next(_made)}", runtime="memory")


class LocalDiskWorkspace(Workspace):
    """Notes in a directory: a journal in SQLite, which several processes may use at a time.

    They are there without the agents' own journal, and a system that relays its journal does not relay them. Who wants
    files of Markdown calls `export`.

    Args:
        root: The directory; it is made where it is missing.
        cleanup_on_close: Delete the directory in `aclose`.
    """

    def __init__(self, root: str | Path, name: str = "default", *, cleanup_on_close: bool = False) -> None:
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"no workspace can be kept in {str(root)!r}: {exc.strerror}") from exc
        super().__init__(name, runtime=f"sqlite:{self.root / 'workspace.db'}")
        self._cleanup = cleanup_on_close

    @classmethod
    def temp(cls) -> Self:
        """One in a new directory, which is deleted in `aclose`."""
        return cls(tempfile.mkdtemp(prefix="treadle-workspace-"), cleanup_on_close=True)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """One that there is.

        Raises:
            ConfigError: There is none.
        """
        if not (Path(path) / "workspace.db").exists():
            raise ConfigError(f"there is no workspace in {str(path)!r}; LocalDiskWorkspace({str(path)!r}) makes one")
        return cls(path)

    async def aclose(self) -> None:
        """Close the journal, on this event loop, for all that share it."""
        if self.runtime is not None:
            await close_embedded(self.runtime)
        if self._cleanup:
            await asyncio.to_thread(shutil.rmtree, self.root)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
