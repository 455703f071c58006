"""Agents declared in a TOML file:

    [agents.desk]
    instructions = "You keep watch."
    model = "claude-opus-4-7"                   # as Agent takes it: also "openai:gpt-4o", { name = …, base_url = … }
                                                # or "module:object", where no provider has the module's name
    tools = ["oncall.tools:disk_usage"]         # "module:object" each; one may be a list of tools
    remote = ["fetch"]                          # tools of workers, by name, or "module:object" to declare them here
    delegates = ["prober"]                      # other agents, as tools
    blackboards = ["ops"]
    memory = true
    workspace = "ops"                           # or true: notes that it shares with its team and with later runs
    max_turns = 20
    output_schema = "oncall.types:Finding"      # what its answers have to be: "module:type"
    response_tone = "technical"
    budget = { max_tokens = 100_000 }
    retry_policy = { max_attempts = 5 }         # or "aggressive", "disabled"
    living_plan = true                          # or its steps, or a table
    stop_hooks = ["oncall.hooks:is_acknowledged"]
    run_until = "the alert is resolved"         # or a table: { condition = …, checker = …, max_iterations = … }
    quality = ["names the host and the cause"]  # or a table: { criteria = […], threshold = …, on_fail = … }

    [agents.desk.generation]
    effort = "low"

The file's directory is searched for modules, after the usual places.
"""

import difflib
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from ..actors.generation import Generation
from ..actors.retry import RetryPolicy
from ..events.budget import Limits
from ..events.errors import ConfigError
from .agent import Agent
from .blackboard import Blackboard
from .delegation import delegate
from .memory import Memory
from .models.providers import provider_names
from .models.resolver import names_a_provider
from .workers.remote_tool import remote

S = TypeVar("S", bound=Struct)

_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "instructions": str,
    "model": (str, dict),
    "tools": list,
    "remote": list,
    "delegates": list,
    "blackboards": list,
    "memory": bool,
    "workspace": (str, bool),
    "runtime": str,
    "architecture": str,
    "approvals": str,
    "max_turns": int,
    "output_schema": str,
    "output_validation_retries": int,
    "response_tone": str,
    "timeout_s": (int, float),
    "model_timeout_s": (int, float),
    "approval_timeout_s": (int, float),
    "timeout": (int, float),
    "budget": dict,
    "budget_per_user": dict,
    "options": dict,
    "generation": dict,
    "retry_policy": (str, dict),
    "living_plan": (bool, dict, list),
    "stop_hooks": list,
    "run_until": (str, dict),
    "quality": (list, dict),
}


def read_agents(path: Path) -> dict[str, Agent]:
    """The agents of a TOML file by name.

    Raises:
        ConfigError: The file, a key or a reference is wrong; the message names it, and what was meant perhaps.
    """
    try:
        with path.open("rb") as file:
            config = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is no TOML: {exc}") from exc
    declared = config.get("agents")
    if not isinstance(declared, dict) or not declared:
        raise ConfigError(f"{path} declares no agents; write [agents.<name>] with a model")
    unknown = set(config) - {"agents"}
    if unknown:
        raise ConfigError(f"{path}: unknown table {sorted(unknown)[0]!r}; agents stand in [agents.<name>]")
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.append(directory)
    agents: dict[str, Agent] = {}
    for name, table in cast("dict[str, Any]", declared).items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: agents.{name} is no table; write [agents.{name}]")
        entries = cast("dict[str, Any]", table)
        agents[name] = agent_of({"name": name, **entries}, f"{path}: agents.{name}")
    return agents


def agent_of(config: dict[str, Any], where: str) -> Agent:
    """An agent of the keys above."""
    for key, value in config.items():
        wanted = _KEYS.get(key)
        if wanted is None:
            close = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_KEYS)}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"{where}: {key} = {value!r} is of the wrong type")
    given = dict(config)
    tools: list[Any] = [tool for reference in given.pop("tools", []) for tool in _tools(reference, where)]
    tools += [made for name in _names(given, "remote", where) for made in _remote(name, where)]
    tools += [delegate(name) for name in _names(given, "delegates", where)]
    tools += [tool for name in _names(given, "blackboards", where) for tool in Blackboard(name).tools()]
    if given.get("memory"):
        tools += Memory.tools()
    model = given.pop("model", None)
    if isinstance(model, str) and ":" in model and not names_a_provider(model):
        model = _own_model(model, where)
    for key, kind in (("budget", Limits), ("budget_per_user", Limits), ("generation", Generation)):
        if key in given:
            given[key] = _struct(given[key], kind, f"{where}.{key}")
    if "retry_policy" in given:
        given["retry_policy"] = _retry_policy(given["retry_policy"], f"{where}.retry_policy")
    if "output_schema" in given:
        given["output_schema"] = load(given["output_schema"], where)
    if "stop_hooks" in given:
        given["stop_hooks"] = [load(hook, where) for hook in _names(given, "stop_hooks", where)]
    if "approvals" in given:
        given["approval_handler"] = given.pop("approvals")
    try:
        return Agent(given.pop("instructions", ""), model=model, tools=tools, **given)
    except ConfigError as exc:
        raise ConfigError(f"{where}: {exc}") from exc


def load(reference: str, where: str) -> Any:
    """The object that `module:object` names.

    Raises:
        ConfigError: There is no such module or object.
    """
    module_name, colon, path = reference.partition(":")
    if not colon or not module_name or not path:
        raise ConfigError(f"{where}: {reference!r} is no module:object")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as exc:  # a module may raise anything while it is imported
        raise ConfigError(f"{where}: {reference!r} cannot be imported: {type(exc).__name__}: {exc}") from exc
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"{where}: {reference!r}: module {module_name!r} has no {part!r}") from None
    return found


def _tools(reference: Any, where: str) -> Iterable[Any]:
    if not isinstance(reference, str):
        raise ConfigError(f'{where}: a tool is given as "module:object", not {reference!r}')
    found = load(reference, where)
    return cast("Iterable[Any]", found) if isinstance(found, list | tuple) else [found]


def _remote(reference: str, where: str) -> Iterable[Any]:
    return [remote(tool) for tool in _tools(reference, where)] if ":" in reference else [remote(reference)]


def _own_model(reference: str, where: str) -> Any:
    module = reference.partition(":")[0]
    try:
        model = load(reference, where)
    except ConfigError as exc:
        if not module.isidentifier() or importlib.util.find_spec(module) is not None:
            raise
        known = ", ".join(provider_names())
        raise ConfigError(f"{exc}; there is no provider {module!r} either: {known}") from exc
    return _made(model, where) if isinstance(model, type) else model


def _made(model: type[Any], where: str) -> Any:
    try:
        return model()
    except Exception as exc:  # it is the user's code
        raise ConfigError(f"{where}: {model.__name__}() failed: {type(exc).__name__}: {exc}") from exc


def _names(given: dict[str, Any], key: str, where: str) -> list[str]:
    names: list[Any] = given.pop(key, [])
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{where}: {key} = {names!r} is of the wrong type; names are wanted")
    return names


def _retry_policy(given: str | dict[str, Any], where: str) -> RetryPolicy:
    if isinstance(given, dict):
        return _struct(given, RetryPolicy, where)
    presets = {"aggressive": RetryPolicy.aggressive, "disabled": RetryPolicy.disabled}
    if given not in presets:
        raise ConfigError(f"{where}: {given!r} is none of {', '.join(presets)}; or give a table")
    return presets[given]()


def _struct(table: Mapping[str, Any], kind: type[S], where: str) -> S:
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    try:
        return msgspec.convert(table, kind)
    except (msgspec.ValidationError, ConfigError) as exc:
        raise ConfigError(f"{where}: {exc}") from exc
