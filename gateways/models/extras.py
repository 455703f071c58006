"""The packages of providers: each is an extra of its name, imported when its model is first asked."""

import asyncio
import importlib
import importlib.util

from ...events.errors import ConfigError


class Package:
    """A provider's package.

    Args:
        name: Its name, as it is imported and as the extra of Treadle is called that installs it.
        parts: Modules of it that it would import with the first request.

    Attributes:
        loaded: It was imported by `load`.
    """

    def __init__(self, name: str, *parts: str) -> None:
        self._name = name
        self._parts = parts
        self.loaded = False

    def check(self) -> None:
        """Look whether it is there, without importing it: that may take a second.

        Raises:
            ConfigError: It is not installed; says what to install.
        """
        if importlib.util.find_spec(self._name) is None:
            raise self.missing()

    def missing(self, exc: ImportError | None = None) -> ConfigError:
        """The error for one that is not installed, or of which something is not: as `exc` says."""
        why = "which is not installed" if exc is None or exc.name in (None, self._name) else f"which lacks {exc.name!r}"
        return ConfigError(f'this needs the package {self._name!r}, {why}: pip install "treadle[{self._name}]"')

    async def load(self) -> None:
        """Import it, in a thread: the event loop goes on meanwhile. Raises as `check` does."""
        try:
            await asyncio.to_thread(self._import)
        except ImportError as exc:
            raise self.missing(exc) from exc
        self.loaded = True

    def _import(self) -> None:
        for module in (self._name, *self._parts):
            importlib.import_module(module)
