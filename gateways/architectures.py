"""Architectures by their names: those that come along, and those of other packages.

[project.entry-points."treadle.architectures"]
committee = "acme_treadle:Committee"
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ..actors.strategies import ARCHITECTURES, Architecture, architecture_of
from ..events.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "treadle.architectures"


def find_architecture(given: Any) -> Architecture:
    """What `architecture=` means.

    Raises:
        ConfigError: It is none, or the package that has it cannot be loaded.
    """
    if not isinstance(given, str) or given in ARCHITECTURES:
        return architecture_of(given, ARCHITECTURES)
    return architecture_of(given, {**ARCHITECTURES, **_installed()})


@cache
def _installed() -> Mapping[str, Callable[[], Architecture]]:
    """What installed packages offer; read once, since it looks through all of them."""
    from importlib.metadata import entry_points  # a tenth of what importing treadle takes

    return {entry.name: partial(_load, entry) for entry in entry_points(group=ENTRY_POINTS)}


def _load(entry: "EntryPoint") -> Architecture:
    try:
        made = entry.load()()
    except Exception as exc:  # it is somebody's module
        raise ConfigError(
            f"the architecture {entry.name!r} ({entry.value}) cannot be made: {type(exc).__name__}: {exc}"
        ) from exc
    return architecture_of(made, {})
