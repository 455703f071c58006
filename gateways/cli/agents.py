"""Agents and workflows by name: a TOML or Python file, or `module:object`, which is one, several, or a function that
makes them."""

import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from ...actors.tool import Tool
from ...events.errors import ConfigError
from ..agent import Agent
from ..agents_toml import load, read_agents
from ..workflow import Workflow
from .python_file import Declared, read_python

DEFAULT_FILE = "agents.toml"


def find_agents(references: Sequence[str]) -> dict[str, Agent | Workflow]:
    """The agents and workflows that `references` name; those of `agents.toml` here when there are none.

    Raises:
        ConfigError: One of them names nothing, or two agents have one name.
    """
    _search_here()
    if not references and not Path(DEFAULT_FILE).exists():
        raise ConfigError(
            f"nothing to host: there is no {DEFAULT_FILE} here; name a TOML file or module:object, "
            "as in `treadle up agents.toml`"
        )
    found: dict[str, Agent | Workflow] = {}
    for reference in references or [DEFAULT_FILE]:
        for name, agent in _agents_of(reference):
            if name in found:
                raise ConfigError(f"{reference}: there is an agent {name!r} already; names are unique in a system")
            found[name] = agent
    return found


def find_offered(references: Sequence[str]) -> Declared:
    """What a worker offers: the tools and agents of Python files, the agents of everything else.

    Raises:
        ConfigError: One of the references names nothing, or two things have one name.
    """
    _search_here()
    files = [reference for reference in references if reference.endswith(".py")]
    others = [reference for reference in references if reference not in files]
    agents: dict[str, Agent | Workflow] = find_agents(others) if others or not files else {}
    tools: dict[str, Tool] = {}
    for file in files:
        declared = read_python(Path(file))
        for name, agent in declared.agents.items():
            if agents.setdefault(name, agent) is not agent:
                raise ConfigError(f"{file}: there is an agent {name!r} already; names are unique in a worker")
        for tool in declared.tools:
            if tools.setdefault(tool.name, tool) is not tool:
                raise ConfigError(f"{file}: there is a tool {tool.name!r} already; names are unique in a worker")
    return Declared(tuple(tools.values()), agents)


def _search_here() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _agents_of(reference: str) -> Iterable[tuple[str, Agent | Workflow]]:
    if reference.endswith(".py"):
        declared = read_python(Path(reference))
        if not declared.agents:
            raise ConfigError(f"{reference} has no agents; `treadle up --worker {reference}` offers its tools")
        return declared.agents.items()
    if reference.endswith(".toml") or ":" not in reference:
        return read_agents(Path(reference)).items()
    made = load(reference, "treadle up")
    if inspect.isfunction(made):
        try:
            made = made()
        except Exception as exc:
            raise ConfigError(f"{reference!r} raised {type(exc).__name__}: {exc}") from exc
    return _named(made, reference)


def _named(made: Any, reference: str) -> Iterable[tuple[str, Agent | Workflow]]:
    if isinstance(made, Agent | Workflow):
        made = [made]
    if isinstance(made, dict):
        named = list(cast("dict[str, object]", made).items())
    elif isinstance(made, list | tuple):
        named = [(str(getattr(each, "name", "")), each) for each in cast("list[object]", made)]
    else:
        named = [("", made)]
    found: list[tuple[str, Agent | Workflow]] = []
    for name, agent in named:
        if not isinstance(agent, Agent | Workflow):
            raise ConfigError(
                f"{reference!r} is {type(agent).__name__}; an Agent or a Workflow is wanted, or a list or a dict of "
                "them, or a function that returns one"
            )
        found.append((name, agent))
    return found
