"""The tools and agents of a Python file: `treadle up --worker tools.py`."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from msgspec import Struct

from ...actors.tool import Tool
from ...events.errors import ConfigError
from ..agent import Agent
from ..workflow import Workflow


class Declared(Struct, frozen=True):
    """What a file declares, by name."""

    tools: tuple[Tool, ...]
    agents: dict[str, Agent | Workflow]


def read_python(path: Path) -> Declared:
    """What stands under the file's public names: those of `__all__`, else those without an underscore.

    An agent without a name of its own has its variable's.

    Raises:
        ConfigError: There is no such file, it raised, or it has neither.
    """
    namespace: dict[str, Any] = vars(_imported(path))
    public = cast("Sequence[str]", namespace.get("__all__") or [name for name in namespace if name[:1] != "_"])
    tools: dict[str, Tool] = {}
    agents: dict[str, Agent | Workflow] = {}
    for name in public:
        value = namespace.get(name)
        if isinstance(value, Tool):
            if tools.setdefault(value.name, value) is not value:
                raise ConfigError(f"{path}: two tools are called {value.name!r}; give one another name: @tool(name=…)")
        elif isinstance(value, Agent | Workflow):
            known = value.name if value.has_name else name
            if agents.setdefault(known, value) is not value:
                raise ConfigError(f"{path}: two agents are called {known!r}; give one another name")
    if not tools and not agents:
        raise ConfigError(f"{path} has neither tools nor agents; make tools of functions with @tool")
    return Declared(tuple(tools.values()), agents)


def _imported(path: Path) -> ModuleType:
    """The file as a module of its own name, so that its classes are found where they say they are."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as exc:  # it is the user's code
        del sys.modules[path.stem]
        raise ConfigError(f"{path} raised {type(exc).__name__}: {exc}") from exc
    return module
